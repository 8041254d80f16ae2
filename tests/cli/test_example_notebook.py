"""The notebook of the documents runs from top to bottom, and what it ends with can be seen."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "first_steps.ipynb"


def test_the_notebook_runs_and_shows_its_run_its_pictures_and_its_comparison(tmp_path):
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count("steps=300") == 2
    notebook = nbformat.reads(text.replace("steps=300", "steps=6"), as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    trained, sampled, looked, compared = (cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    assert "reconstruction" in trained[-1]["data"]["text/html"]
    assert looked[0]["text"] == "torch.Size([16, 16])\n"
    for output, caption in ((sampled[-1], "64 × 1 × 8 × 8"), (looked[-1], "16 × 1 × 8 × 8")):
        assert "data:image/png;base64," in output["data"]["text/html"]
        assert f"<br>{caption}<" in output["data"]["text/html"]
    assert "gan" in compared[-1]["data"]["text/html"]
