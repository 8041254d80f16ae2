"""Files that commands write: pictures and arrays, by default in the run's folder under a name that is free."""

import io
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genzoo.cli import options
from genzoo.cli.output import result, result_json
from genzoo.errors import SettingsError
from genzoo.storage import files
from genzoo.storage.run_folder import Run
from genzoo.text import in_words

if TYPE_CHECKING:
    from torch import Tensor

PICTURE_OR_ARRAYS = (".png", ".npy", ".safetensors")


def out_option(
    default: str, endings: Sequence[str] = PICTURE_OR_ARRAYS
) -> Callable[[options.CommandFunction], options.CommandFunction]:
    """Return the option that names the file to write; its default lies in RUN's folder, numbered where it exists."""
    text = f"A {in_words(endings, 'or')} file.  [default: RUN/{default}, or with the next number]"
    return click.option("--out", metavar="FILE", help=text)


def out_path(run: str, out: str | None, default: str, endings: Sequence[str] = PICTURE_OR_ARRAYS) -> Path:
    """Return the path to write to: `out` as given, or a name that no file has in the run's folder.

    For a run that is named by its address, that is the current folder.
    """
    if out is None:
        folder = Run.at(run).path if options.address_of(run) is None else Path()
        return _not_taken(folder / default)
    if Path(out).suffix not in endings:
        raise SettingsError(
            f"--out {out}: expected a name that ends in {', '.join(endings)}", f"such as: --out {default}"
        )
    return Path(out)


def write_arrays(path: Path, arrays: "dict[str, Tensor]", *, notes: dict[str, str] | None = None) -> None:
    """Write the first array as .npy, or all of them as .safetensors with `notes` as its metadata."""
    import numpy

    from genzoo.storage.tensors import pack

    on_host = {name: tensor.float().cpu().contiguous() for name, tensor in arrays.items()}
    if path.suffix == ".safetensors":
        files.write(path, pack(on_host, notes=notes))
        return
    content = io.BytesIO()
    numpy.save(content, next(iter(on_host.values())).numpy(), allow_pickle=False)
    files.write(path, content.getvalue())


def show_file(run: str, path: Path, facts: dict[str, object], as_json: bool) -> None:
    """Write the path of the file that was made to stdout, or with `facts` as JSON."""
    if as_json:
        result_json({"run": options.address_of(run) or str(Run.at(run).path), "file": str(path), **facts})
    else:
        result(str(path))


def _not_taken(path: Path) -> Path:
    """Return `path`, or the first of name-2, name-3, … that does not exist."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not path.exists() else next(other for other in numbered if not other.exists())
