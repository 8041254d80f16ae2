"""The kit: the checks of anything that a plugin offers, for its tests, and a batch to look at."""

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genzoo.components import Component
from genzoo.data.root import data_root
from genzoo.games.game import Game
from genzoo.host.discovery import registry
from genzoo.host.registry import KINDS, SINGULAR, Entry
from genzoo.host.unregistered import class_called, import_code, import_named, is_code_name
from genzoo.randomness import generator
from genzoo.runs.job import find_recipe
from genzoo.testing.checking import Check, check_of
from genzoo.testing.games import game_checks, toy_trainer
from genzoo.testing.parts import command_checks, component_checks, part_checks, recipe_checks
from genzoo.testing.toys import IMAGE_TOY, VECTOR_TOY, ToyGame
from genzoo.training.settings import Recipe
from genzoo.training.trainer import Trainer
from genzoo.types import Batch

if TYPE_CHECKING:
    import pytest

Target = Component | type[Component] | Recipe | click.Command | str


def checks(
    component: Target,
    *,
    recipes: Sequence[str | Recipe] = (),
    compiled: bool = False,
    data: str | Path | None = None,
) -> Iterator[Check]:
    """Yield the checks of a component, recipe or command: a value, a class, a registered name, or FILE.py:CLASS.

    A name that several kinds have is told as `genzoo show` is: `dataset:NAME`.

    Games, architectures and metrics are checked on `recipes`, by default on toys of vectors and of images: random rows
    in the shape of their data, in memory. `compiled` adds the steps compiled by torch, which take seconds each. `data`
    is the folder of data sets; of a data set without its files there, the spec alone is checked.
    """
    target = _found(component) if isinstance(component, str) else component
    if isinstance(target, click.Command):
        yield from command_checks(target)
        return
    if isinstance(target, Recipe):
        yield from recipe_checks(target)
        return
    kind = target if isinstance(target, type) else type(target)
    try:
        value: Component = target() if isinstance(target, type) else target
    except Exception as error:  # a class may need fields, or refuse its own
        problem = error
        yield check_of("makes", kind, lambda: _raise(problem))
        return
    chosen = [find_recipe(registry(), recipe) for recipe in recipes] or [VECTOR_TOY, IMAGE_TOY]
    yield from component_checks(value)
    if isinstance(value, Game):
        yield from game_checks(value, chosen, compiled=compiled)
    else:
        yield from part_checks(value, chosen, data_root(data))


def parametrize(
    *components: Target,
    expected_failures: Mapping[str, str] | None = None,
    recipes: Sequence[str | Recipe] = (),
    compiled: bool = False,
) -> "pytest.MarkDecorator":
    """Return a decorator that has pytest run a test once for each of the components' checks, as `check`.

    `expected_failures` says why a check, by its name, is expected to fail: such a test must fail.
    """
    import pytest

    expected = expected_failures or {}
    cases = []
    for component in components:
        for check in checks(component, recipes=recipes, compiled=compiled):
            marks = [pytest.mark.xfail(reason=expected[check.name], strict=True)] if check.name in expected else []
            cases.append(pytest.param(check, id=f"{_label(component)}-{check}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def batch(setup: Recipe | Trainer | str, rows: int = 32, *, seed: int = 0, labelled: float = 1.0) -> Batch:
    """Return a batch of a training, or one of random rows in the shape of a recipe's data.

    With `labelled` below 1, so large a share of the rows has labels that may be used; y is 0 in the others.
    """
    if isinstance(setup, Trainer):
        drawn = setup.batch()
    else:
        recipe = find_recipe(registry(), setup)
        drawn = toy_trainer(ToyGame(), recipe, rows=rows, seed=seed).batch()
    if labelled == 1.0 or drawn.y is None:
        return drawn
    chosen = generator("cpu", seed, "labelled rows")
    import torch

    mask = torch.randperm(len(drawn.x), generator=chosen) < round(labelled * len(drawn.x))
    return drawn._replace(labelled=mask, y=drawn.y * mask[:, None])


def entries_of(name: str) -> list[Entry]:
    """Return what the plugins or the distribution called `name` offer."""
    return [
        entry
        for kind in KINDS
        for entry in registry().of(kind)
        if name in (entry.plugin.name, entry.plugin.distribution)
    ]


def components_of(module: str) -> list[type[Component]]:
    """Return the components that a module, or a file whose name ends in .py, defines at its top; none for others."""
    if is_code_name(module) or not (module.endswith(".py") or find_spec(module.partition(".")[0])):
        return []
    imported = sys.modules[import_code(module)]
    kinds = [kind for kind in vars(imported).values() if isinstance(kind, type) and issubclass(kind, Component)]
    return [kind for kind in kinds if kind.__module__ == imported.__name__ and not inspect.isabstract(kind)]


def _found(name: str) -> Any:
    """Return the class, recipe or command of a name; `kind:NAME` or `distribution:NAME` where several have it."""
    of_kind, _, bare = name.partition(":")
    for kind in (kind for kind in KINDS if SINGULAR[kind] == of_kind):
        return registry().find(kind, bare).load()
    if is_code_name(name) and not any(registry().has(kind, name) for kind in KINDS):
        return class_called(import_named(name))
    for kind in KINDS:
        if registry().has(kind, name):
            return registry().find(kind, name).load()
    raise registry().unknown("component", name, [entry.name for entry in registry().entries])


def _raise(error: Exception) -> None:
    raise error


def _label(component: Target) -> str:
    if isinstance(component, str):
        return component
    return component.__name__ if isinstance(component, type) else str(component.name)
