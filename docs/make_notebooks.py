"""Runs the notebooks of docs/examples and saves what their cells show: `python docs/make_notebooks.py`.

Each is run in an empty folder that is removed afterwards, so that no run lies beside it. A name, such as `first_steps`,
runs that one alone. Both take three minutes of one CPU core.
"""

import base64
import io
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from PIL import Image

EXAMPLES = Path(__file__).with_name("examples")
ERASED_LINE = "\x1b[2K"
"""What a bar ends with."""
COLOURS, WIDTH = 64, 480
"""Of a picture, so that a notebook stays small."""
PNG = re.compile(r"(?<=data:image/png;base64,)[A-Za-z0-9+/=]+")


def run(notebook, folder):
    """Run a notebook in `folder`, where `genzoo` is the command beside this Python."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder)}}).execute()


def save(path):
    """Run a notebook and write it with what its cells show."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        run(notebook, folder)
    for cell in notebook.cells:
        tidy(cell)
    nbformat.write(notebook, path)


def tidy(cell):
    """Leave out bars, times of day and texts beside pictures, and make pictures small."""
    cell.metadata.pop("execution", None)
    outputs = cell.get("outputs", [])
    lines = "".join(output.text for output in outputs if output.output_type == "stream").rpartition(ERASED_LINE)[2]
    shown = [output for output in outputs if output.output_type != "stream" and "<progress" not in str(output)]
    for output in shown:
        kinds = [kind for kind in ("text/html", "image/png") if kind in output.data] or list(output.data)
        output.data = {kind: _in_small(kind, output.data[kind]) for kind in kinds}
    if "outputs" in cell:
        cell.outputs = [nbformat.v4.new_output("stream", text=lines), *shown] if lines else shown


def _in_small(kind, content):
    """Return an output of a cell with its pictures in fewer pixels and colours."""
    if kind == "image/png":
        return _small(content)
    return PNG.sub(lambda png: _small(png[0]), content) if kind == "text/html" else content


def _small(png):
    """Return a picture, both in base64, in fewer pixels and colours where that takes fewer bytes."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.quantize(COLOURS, Image.Quantize.MEDIANCUT).save(file, "PNG", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


if __name__ == "__main__":
    for name in sys.argv[1:] or [path.stem for path in sorted(EXAMPLES.glob("*.ipynb"))]:
        save(EXAMPLES / f"{name}.ipynb")
