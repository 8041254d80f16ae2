"""The notebooks of the documents run from top to bottom, what they end with can be seen, and is saved in them."""

import json
import re
import runpy
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "examples").glob("*.ipynb"))
PICTURE = "data:image/png;base64,"


def outputs_of(name, folder, **shorter):
    """Run a notebook with other texts in place of some, and return the outputs of every cell of code."""
    notebook = nbformat.read(DOCS / "examples" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        for text, other in shorter.items():
            cell.source = cell.source.replace(text, other)
    make = runpy.run_path(str(DOCS / "make_notebooks.py"))
    make["run"](notebook, folder)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_runs_and_shows_its_run_its_pictures_and_its_comparison(tmp_path):
    outputs = outputs_of("first_steps", tmp_path, **{"steps=300": "steps=6"})
    trained, sampled, looked, compared = outputs
    assert "<td>6 of 6</td>" in trained[-1]["data"]["text/html"]
    assert "reconstruction" in trained[-1]["data"]["text/html"]
    assert looked[0]["text"] == "torch.Size([16, 16])\n"
    for output, caption in ((sampled[-1], "64 × 1 × 8 × 8"), (looked[-1], "16 × 1 × 8 × 8")):
        assert PICTURE in output["data"]["text/html"]
        assert f"<br>{caption}<" in output["data"]["text/html"]
    assert "gan" in compared[-1]["data"]["text/html"]


@pytest.mark.slow
def test_the_notebook_on_photographs_prepares_trains_reconstructs_and_finds_neighbours(tmp_path):
    shorter = {"range(400)": "range(40)", "steps=1000": "steps=4"}
    scenes, prepared, trained, sampled, reconstructed, nearest = outputs_of("own_photographs", tmp_path, **shorter)
    assert "image/png" in scenes[-1]["data"]
    assert "classes, by sub-folder: china 40, flower 40" in "".join(output["text"] for output in prepared)
    assert "<td>4 of 4</td>" in trained[-1]["data"]["text/html"]
    assert PICTURE in sampled[-1]["data"]["text/html"]
    assert "<br>20 × 3 × 32 × 32<" in reconstructed[-1]["data"]["text/html"]
    assert nearest[-1]["data"]["image/png"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_shows_is_saved_in_it_and_is_small_and_names_no_place(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in cells), "type: python docs/make_notebooks.py"
    shown = json.dumps([cell.outputs for cell in cells])
    assert shown.count(PICTURE) + shown.count('"image/png"') >= 4
    texts = re.sub(r"[A-Za-z0-9+/=]{100,}", "", shown)  # without the pictures
    assert not any(text in texts for text in ('"error"', "Traceback", "/tmp", "/home", "/root", "<progress"))
    assert path.stat().st_size < 600_000
