"""Documents: pages that are generated from the code are what the code says."""

import re
import runpy
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
API = runpy.run_path(str(DOCS / "make_api.py"))


@pytest.mark.parametrize(("page", "script"), [("paper-recipes.md", "make_paper_recipes.py"), ("api.md", "make_api.py")])
def test_a_generated_page_is_what_the_code_says(page, script):
    made = runpy.run_path(str(DOCS / script))
    assert (DOCS / page).read_text() == made["page"](), f"type: python docs/{script}"


@pytest.mark.parametrize("module", API["public_modules"]())
def test_the_reference_has_every_public_name_and_no_other(module):
    is_module = {f"{module}.{name}" for name in import_module(module).__all__} & set(API["public_modules"]())
    offered = {name for name in import_module(module).__all__ if f"{module}.{name}" not in is_module}
    assert set(API["names_of"](module)) == offered - {"__version__"}


def test_every_name_in_the_reference_is_linked_and_has_one_heading():
    page = (DOCS / "api.md").read_text()
    anchors = [API["anchor"](heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) == set(anchors) - {"api-reference"}
    names = {name for module in API["public_modules"]() for name in API["names_of"](module)}
    assert {API["anchor"](name) for name in names} <= set(anchors)
