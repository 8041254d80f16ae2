"""Recipes in files: a base and what differs from it, or all parts."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from genzoo.components import override
from genzoo.data.dataset import Dataset
from genzoo.errors import SettingsError
from genzoo.games.game import Game
from genzoo.games.priors import Prior, StandardNormal
from genzoo.host.registry import Registry
from genzoo.nn.architecture import Architecture
from genzoo.runs.configuration import RECIPE_KEYS, Configuration, is_file, read_configuration
from genzoo.text import in_words, nearest
from genzoo.training.settings import Recipe, Training, told_where

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXPLAINED = "name a base in it, recipe: RECIPE, or all of dataset, architecture and training.steps below settings"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The root of a recipe's settings, before it is known that none is missing."""

    dataset: Dataset | None = None
    architecture: Architecture | None = None
    prior: Prior = StandardNormal()
    training: Training = Training(steps=1)


Find = Callable[[Registry, str], Recipe]
"""Returns a recipe by its name."""


def recipe_in_file(registry: Registry, path: Path, find: Find, *, derived: tuple[Path, ...] = ()) -> Recipe:
    """Return the recipe in a file, which is called like the file; one in a run's record, like the run's folder.

    Another recipe that it derives from is found by `find`; `derived` are the files that derive from this one. Raises
    `SettingsError` with file and line.
    """
    if path.resolve() in derived:
        raise SettingsError(f"{path} derives from itself", "name another base in it, recipe: RECIPE")
    read = read_configuration(str(path), keys=RECIPE_KEYS)
    if read.is_record:
        return recipe_of(registry, read, path.resolve().parent.name, find)
    is_taken = registry.has("recipes", path.stem)
    if is_taken or not _NAME.fullmatch(path.stem):
        problem = "is the name of a recipe that a plugin offers" if is_taken else "is no name for a recipe"
        raise SettingsError(f"{path}: '{path.stem}' {problem}", "rename the file: a recipe is called like its file")

    def find_base(registry: Registry, base: str) -> Recipe:
        if is_file(base):
            return recipe_in_file(registry, Path(base), find, derived=(*derived, path.resolve()))
        return find(registry, base)

    return recipe_of(registry, read, path.stem, find_base)


def recipe_of(registry: Registry, read: Configuration, name: str, find: Find) -> Recipe:
    """Return the recipe called `name` that a document says; that of a run's record has the run's settings."""
    base = None
    if "recipe" in read.values and not read.is_record:
        with told_where(read.places["recipe"]):
            base = find(registry, read.values["recipe"])
    parts, of_game = _Parts(), {} if base is None else dict(base.game)
    if base is not None:
        parts = _Parts(**{field.name: getattr(base, field.name) for field in fields(_Parts)})
    # Shorter paths first: architecture must be chosen before its fields are set.
    for path, text in sorted(read.overrides.items(), key=lambda pair: pair[0].count(".")):
        root, _, below = path.partition(".")
        with told_where(read.places[path]):
            if root == "game":
                of_game |= {} if read.is_record else _game_setting(registry, below, text)
            else:
                parts = override(parts, path, text, resolve=registry.resolve)
    missing = [root for root in ("dataset", "architecture") if getattr(parts, root) is None]
    missing += [] if base is not None or "training.steps" in read.overrides else ["training.steps"]
    if missing or parts.dataset is None or parts.architecture is None:
        raise SettingsError(f"{read.name} is no whole recipe: it has no {in_words(missing, 'or')}", _EXPLAINED)
    summary = read.values.get("summary") or ("" if base is None else base.summary) or f"The settings of {read.name}."
    return Recipe(
        name=name,
        summary=summary,
        dataset=parts.dataset,
        architecture=parts.architecture,
        prior=parts.prior,
        training=parts.training,
        game=of_game,
        places=read.places,
    )


def _game_setting(registry: Registry, path: str, text: str) -> dict[str, Any]:
    """Return a setting below `game`; raise `SettingsError` if no game has it, as no game would tell of it."""
    if not path:
        raise SettingsError("a recipe names no game", "name the model where it is trained: genzoo train MODEL")
    games = [entry.load() for entry in registry.of("models") if entry.implements(Game)]
    names = {field.name for game in games for field in fields(game)}
    first = path.partition(".")[0]
    if first not in names:
        raise SettingsError(
            f"no game has the setting 'game.{first}'{nearest(first, names)}", "leave it out, or mend it"
        )
    return {path: text}
