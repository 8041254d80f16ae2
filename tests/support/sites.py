"""Distributions of plugins, as pip leaves them in a folder."""

import sys
from contextlib import contextmanager
from importlib import invalidate_caches
from importlib.metadata import distributions
from textwrap import dedent

from genzoo.host.discovery import GROUP, discover

GOOD = """
    '''A good plugin.

    More of it.'''
    from genzoo import hookimpl, lazy

    @hookimpl
    def genzoo_models():
        return [lazy("{name}", "{module}:Nothing", "a model")]
"""


class Site:
    """A folder of installed distributions, as pip leaves them."""

    def __init__(self, folder):
        self.folder = folder

    def install(self, distribution, source, *, version="1.0", points=None):
        """Add a distribution with one module and, by default, one entry point that leads to it."""
        module = distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(dedent(source.replace("{module}", module)), encoding="utf-8")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = [f"{name} = {value}" for name, value in (points or {module: module}).items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))

    def good(self, distribution, *, name=None, **more):
        """Add a distribution that offers one model."""
        self.install(distribution, GOOD.replace("{name}", name or distribution), **more)

    @property
    def points(self):
        """The entry points of everything installed here."""
        return [point for found in distributions(path=[str(self.folder)]) for point in found.entry_points]

    def discover(self, **more):
        """Return what the host makes of them."""
        return discover(self.points, **more)


@contextmanager
def on_the_path(folder):
    """Have this process import what is installed in a folder, and forget it afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    invalidate_caches()
    yield Site(folder)
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


HOOKS = "from genzoo import hookimpl, lazy\n"


def names(found, kind):
    """Return the names that a registry has of one kind."""
    return [entry.name for entry in found.of(kind)]
