"""Versions: whether a plugin was made for this genzoo, and which earlier one had a name that it asks for."""

import re
from importlib.metadata import Distribution

from genzoo.public.names import FORMER
from genzoo.text import in_a_line


def misfit(distribution: Distribution | None, version: str) -> str | None:
    """Return `made for genzoo >=9, and this is 0.1.0` if the requirement of a distribution says so, else None."""
    declared = [] if distribution is None else distribution.requires or []
    if not any(line.startswith("genzoo") for line in declared):
        return None
    from packaging.requirements import Requirement

    for requirement in (Requirement(line) for line in declared if line.startswith("genzoo")):
        if requirement.name == "genzoo" and not requirement.specifier.contains(version, prereleases=True):
            return f"made for genzoo {requirement.specifier}, and this is {version}"
    return None


def cause_of(error: BaseException) -> str:
    """Return an error in a line; for an import of a name that genzoo no longer has, with the version that had it."""
    cause = in_a_line(error)
    name = (
        re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error)) if isinstance(error, ImportError) else None
    )
    former = None if name is None else FORMER.get(f"{name[2]}.{name[1]}")
    return cause if former is None else f"{cause}; {former}"
