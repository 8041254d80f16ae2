"""Where data sets lie on this machine. Needs no torch."""

import os
from pathlib import Path


def data_root(data: str | Path | None = None, remembered: Path | None = None) -> Path:
    """Return the folder of data sets: `data`, the environment's GENZOO_DATA, the one that a run remembers, or default.

    The default is in the user's cache.
    """
    return Path(data or os.environ.get("GENZOO_DATA") or remembered or default_root())


def default_root() -> Path:
    """Return the folder of data sets in the user's cache; below the current folder for a user without a home."""
    try:
        home = Path.home()
    except RuntimeError:  # in a container, a user may have a number alone
        home = Path.cwd()
    return home / ".cache" / "genzoo" / "data"
