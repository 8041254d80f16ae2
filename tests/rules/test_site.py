"""The documentation site: its settings make errors of dead links and anchors, and of pages that no navigation has."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
INDEX = """# Index

```{toctree}
page
```
"""


def built(folder, page, **others):
    """Build a small site with the settings of the real one, and return its exit code and its warnings."""
    shutil.copytree(DOCS / "site", folder / "docs" / "site", dirs_exist_ok=True)
    shutil.copy(DOCS / "conf.py", folder / "docs")
    for name, text in {"index": INDEX, "page": page, **others}.items():
        (folder / "docs" / f"{name}.md").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", "out"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


@pytest.mark.slow
def test_a_dead_link_a_dead_anchor_and_a_page_outside_the_navigation_end_the_build(tmp_path):
    for module in ("sphinx", "myst_nb", "furo", "sphinx_copybutton"):
        pytest.importorskip(module, reason="genzoo[docs] is not installed")
    code, warnings = built(tmp_path, "# A page\n\n[index](index.md) [here](#a-page)\n")
    assert (code, warnings) == (0, "")
    assert (tmp_path / "out" / "index.html").exists()
    links = "[gone](gone.md) [gone](index.md#gone) [gone](#gone)"
    code, warnings = built(tmp_path, f"# A page\n\n{links}\n", alone="# Alone\n")
    assert code == 1
    assert warnings.count("[myst.xref_missing]") == 3
    assert "docs/alone.md: WARNING: document isn't included in any toctree" in warnings
    assert warnings.count("WARNING") == 4
