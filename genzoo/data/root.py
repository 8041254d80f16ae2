"""Where data sets lie on this machine. Needs no torch."""

import os
from pathlib import Path


def data_root(data: str | Path | None = None) -> Path:
    """Return the folder of data sets: `data`, or the environment's GENZOO_DATA, or the user's cache."""
    return Path(data or os.environ.get("GENZOO_DATA") or Path.home() / ".cache" / "genzoo" / "data")
