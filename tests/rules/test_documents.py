"""Documents: pages that are generated from the code are what the code says."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_papers_recipes_is_generated_from_the_code():
    made = runpy.run_path(str(DOCS / "make_paper_recipes.py"))
    assert (DOCS / "paper-recipes.md").read_text() == made["page"](), "type: python docs/make_paper_recipes.py"
