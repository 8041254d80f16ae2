"""The page of genzoo on a package index: the README, whose relative links lead nowhere from there.

All else about the package stands in pyproject.toml. With `Source` among its URLs, an address at GitHub, links become
absolute; without one, pictures become their descriptions, and links their texts.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
RELATIVE = re.compile(r"(!?)\[([^]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def page(readme: str, source: str | None) -> str:
    """Return the README for a package index, given the address of the repository."""

    def link(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        if source is None:
            return f"*(a picture in the repository: {text})*" if mark else text
        return f"{mark}[{text}]({source.rstrip('/')}/{'raw' if mark else 'blob'}/main/{target})"

    return RELATIVE.sub(link, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=page((ROOT / "README.md").read_text(encoding="utf-8"), project["urls"].get("Source")),
        long_description_content_type="text/markdown",
    )
