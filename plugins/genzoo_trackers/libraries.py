"""The libraries of trackers, each of which is optional and an extra of its own name."""

from importlib.util import find_spec


def obstacle_without(library: str) -> str | None:
    """Return that a library is not installed and what to type, or None."""
    return None if find_spec(library) else f"it is not installed; type: pip install 'genzoo[{library}]'"
