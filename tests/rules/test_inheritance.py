"""A concrete class is no base to change: who derives from one narrows it, and overrides none of its methods.

What it may give anew is `build`, the networks that a game is played with, beside its name and the defaults of its
fields: ALI without an encoder of its own is still ALI's game. Whatever varies in more than that has an abstract base.
"""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
    for base in (ROOT, ROOT / "plugins")
    for path in sorted(base.glob("genzoo*/**/*.py"))
    if path.name != "__main__.py"
]
MADE_TO_BE_OVERRIDDEN = {"Callback", "StopOnSignal"}
"""Whose methods are hooks: each does nothing, or is called by the one that overrides it."""
EXCEPTIONS = {"Sampler": {"sample"}}
"""`Sampler` stands in the place of a model, of which metrics ask samples alone."""


def is_ours(kind):
    return kind.__module__.partition(".")[0].startswith("genzoo")


def overridden(kind):
    """Return the methods of concrete bases that a class overrides."""
    bases = [base for base in kind.__mro__[1:] if is_ours(base) and not inspect.isabstract(base)]
    return {
        name
        for base in bases
        if base.__name__ not in MADE_TO_BE_OVERRIDDEN
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and inspect.isfunction(vars(base).get(name)) and not name.startswith("__")
    }


@pytest.mark.parametrize("module", MODULES)
def test_a_class_overrides_no_method_of_a_concrete_one(module):
    kinds = [kind for kind in vars(import_module(module)).values() if inspect.isclass(kind)]
    for kind in kinds:
        if kind.__module__ == module:
            assert overridden(kind) - {"build"} == EXCEPTIONS.get(kind.__name__, set()), kind.__name__


def test_the_rule_sees_an_override():
    class Ready:
        def act(self):
            """Act."""

    class Changed(Ready):
        def act(self):
            """Act otherwise."""

    for kind in (Ready, Changed):
        kind.__module__ = "genzoo.example"
    assert overridden(Changed) == {"act"}
