"""What metrics compute once per data and machine: tensors in the user's cache."""

from collections.abc import Callable
from hashlib import sha256

import torch
from torch import Tensor

from genzoo.data.root import data_root
from genzoo.errors import GenzooError, UnreadableError
from genzoo.storage import files
from genzoo.storage.tensors import pack, unpack
from genzoo.types import Split


def cached(what: str, rows: Split, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what `compute` returns for rows of data, which is computed once and then read from the user's cache.

    `what` says what it is, with every setting that it depends on, such as `features of 3 epochs, seed 0`. The rows,
    torch's version and its number of threads count as well. It lies below `metrics` in the folder of data sets.
    """
    path = data_root() / "metrics" / f"{_key(what, rows)}.safetensors"
    try:
        return unpack(path)
    except UnreadableError:
        tensors = compute()
    try:
        with files.storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, pack(tensors))
    except GenzooError:
        pass  # without room or permission it is computed again the next time
    return tensors


def _key(what: str, rows: Split) -> str:
    """Return a name for what is computed of these rows here."""
    digest = sha256("\x1f".join([what, torch.__version__, str(torch.get_num_threads())]).encode())
    for tensor in (rows.x, rows.labels):
        if tensor is not None:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
