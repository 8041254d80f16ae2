"""The notebook of the documents runs from top to bottom, and what it ends with can be seen."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "first_steps.ipynb"


def test_the_notebook_runs_and_shows_its_run_and_its_comparison(tmp_path):
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count("steps=300") == 2
    notebook = nbformat.reads(text.replace("steps=300", "steps=6"), as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    trained, looked, compared = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert "reconstruction" in trained[-1]["data"]["text/html"]
    assert looked[-1]["data"]["text/plain"].count("torch.Size([4, 1, 8, 8])") == 2
    assert "gan" in compared[-1]["data"]["text/html"]
