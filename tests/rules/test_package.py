"""The package as an index would show it: its page, whose links lead nowhere from there unless they are absolute."""

import re
import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/example/genzoo"
BUILD = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('.')"


def page_of_package(folder, *, source):
    """Return the page in the metadata that are built with this address of the repository."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "plugins").mkdir()
    if source is not None:
        settings = (folder / "pyproject.toml").read_text(encoding="utf-8")
        with_source = settings.replace("[project.urls]\n", f'[project.urls]\nSource = "{source}"\n')
        (folder / "pyproject.toml").write_text(with_source, encoding="utf-8")
    subprocess.run([sys.executable, "-c", BUILD], cwd=folder, check=True, capture_output=True)
    (metadata,) = folder.glob("*.dist-info/METADATA")
    message = message_from_string(metadata.read_text(encoding="utf-8"))
    assert message["Description-Content-Type"] == "text/markdown"
    return message.get_payload()


@pytest.mark.parametrize("source", [None, ADDRESS], ids=["no address", "address"])
def test_no_link_on_the_page_of_the_package_is_relative(tmp_path, source):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.compile(r"(!?)\[([^]]*)\]\(([^)]*)\)")
    shown = links.findall(page_of_package(tmp_path, source=source))
    assert all(target.startswith(("https://", "#")) for _, _, target in shown)
    relative = [(mark, target) for mark, _, target in links.findall(readme) if not target.startswith(("https://", "#"))]
    assert sum(mark == "!" for mark, _ in relative) >= 6
    made = [(mark, target) for mark, _, target in shown if target.startswith(ADDRESS)]
    kinds = {"!": "raw", "": "blob"}
    absolute = [(mark, f"{ADDRESS}/{kinds[mark]}/main/{target}") for mark, target in relative]
    assert made == ([] if source is None else absolute)
