"""Recipes, and the settings that a recipe, a game and a user's overrides resolve to."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from genzoo.components import Resolve, beside_settings, override, to_json, to_text
from genzoo.data.dataset import Dataset
from genzoo.data.labels import with_few_labels
from genzoo.errors import GenzooWarning, SettingsError
from genzoo.games.game import Game, Setup
from genzoo.games.number_schedules import Constant, NumberSchedule
from genzoo.games.priors import Prior, StandardNormal
from genzoo.nn.architecture import Architecture
from genzoo.nn.interfaces import Networks
from genzoo.types import Split, Splits


def _check(value: float | None, name: str, least: float, below: float = float("inf")) -> None:
    """Raise `ValueError` unless least ≤ value < below; None passes."""
    if value is not None and not least <= value < below:
        limits = f"at least {least:g}" if below == float("inf") else f"{least:g} ≤ {name} < {below:g}"
        text = f"{value:g}" if isinstance(value, float) else value
        raise ValueError(f"{name} is {text}, expected {limits}")


@dataclass(frozen=True, kw_only=True)
class PlayerTraining:
    """Settings of one player's optimizer; None takes the common value."""

    learning_rate: float | None = None
    learning_rate_schedule: NumberSchedule | None = None
    beta1: float | None = None
    beta2: float | None = None

    def __post_init__(self) -> None:
        _check(self.learning_rate, "learning_rate", 0)
        _check(self.beta1, "beta1", 0, 1)
        _check(self.beta2, "beta2", 0, 1)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a game is trained: Adam per player, in today's convention of β (the paper prints 1 − β2)."""

    steps: int
    """The total number of steps; under an alternating schedule, a critic's and a generator's step count as one each."""
    batch_size: int = 100
    learning_rate: float = 1e-4
    learning_rate_schedule: NumberSchedule = Constant()
    """How the learning rate changes while training."""
    horizon: int | None = None
    """The number of steps over which schedules of numbers run; None: `steps`, as they are when the run begins."""
    beta1: float = 0.5
    beta2: float = 0.999
    epsilon: float = 1e-8
    players: Mapping[str, PlayerTraining] = field(default_factory=dict)
    """Exceptions for single players, by name."""
    labels: int | None = None
    """How many rows' labels may be used, equally many of every class; None: all."""
    label_seed: int = 0
    """Decides whose labels those are."""
    labelled_rows: int = 0
    """Rows of every batch that are drawn from those with a usable label, and come first; 0 takes rows as they fall."""
    averaging: float | None = None
    """Decay per step of the weights' exponential moving average, such as 0.999; None keeps no average."""
    averaging_half_life: int | None = None
    """The same in rows of data, over which a weight's influence on the average halves."""
    averaged_players: tuple[str, ...] = ()
    """The players whose weights are averaged; empty: all."""
    one_backward: bool = True
    """Whether one backward pass of the critic serves both players where that is exact."""
    batch_statistics: Literal["sync", "local"] = "sync"
    """Over which rows batch norm takes its statistics on several ranks: those of all ranks, or of each alone."""
    log_every: int = 100
    picture_every: int | None = None
    """Steps between pictures; None draws them as often as takes at most 2 % of the time."""
    checkpoint_minutes: float | None = 10.0
    """Minutes between checkpoints; None or 0 saves none by time."""
    checkpoint_every: int | None = None
    """Steps between further checkpoints; None saves none by steps."""
    keep_checkpoints: int = 2
    evaluate_every: int | None = None
    """Steps between evaluations while training; None evaluates only at the end."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "picture_every", "checkpoint_every", "evaluate_every"):
            _check(getattr(self, name), name, 1)
        _check(self.checkpoint_minutes, "checkpoint_minutes", 0)
        _check(self.keep_checkpoints, "keep_checkpoints", 2)
        _check(self.labels, "labels", 1)
        _check(self.label_seed, "label_seed", 0)
        _check(self.labelled_rows, "labelled_rows", 0)
        _check(self.learning_rate, "learning_rate", 0)
        _check(self.beta1, "beta1", 0, 1)
        _check(self.beta2, "beta2", 0, 1)
        _check(self.epsilon, "epsilon", 0)
        _check(self.averaging, "averaging", 0, 1)
        _check(self.averaging_half_life, "averaging_half_life", 1)
        _check(self.horizon, "horizon", 1)
        if self.averaging is not None and self.averaging_half_life is not None:
            raise ValueError("averaging and averaging_half_life are two ways to say the same: set one of them")

    @property
    def decay(self) -> float | None:
        """The decay per step of the weights' average; None if none is kept."""
        if self.averaging_half_life is None:
            return self.averaging
        return float(0.5 ** (self.batch_size / self.averaging_half_life))

    def progress(self, step: int) -> float:
        """Return the share of the horizon that is behind a training after `step` steps."""
        return step / (self.horizon or self.steps)

    def of(self, player: str) -> "OptimizerSettings":
        """Return the player's settings with the common values filled in."""
        exceptions = self.players.get(player, PlayerTraining())
        names = [field.name for field in fields(OptimizerSettings)]
        chosen = {name: getattr(exceptions, name) for name in names}
        return OptimizerSettings(
            **{name: getattr(self, name) if value is None else value for name, value in chosen.items()}
        )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The settings of one player's optimizer."""

    learning_rate: float
    learning_rate_schedule: NumberSchedule
    beta1: float
    beta2: float


MAY_CHANGE = (
    "training.steps",
    "training.log_every",
    "training.picture_every",
    "training.checkpoint_minutes",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.evaluate_every",
)
"""The settings in which a run may be continued differently from how it was started."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Data set, architecture, prior and training settings under one name."""

    name: str
    summary: str
    dataset: Dataset
    architecture: Architecture
    prior: Prior = StandardNormal()
    training: Training
    game: Mapping[str, Any] = field(default_factory=dict)
    """Settings below `game` by path, such as `{"objective": "relativistic"}`, for the games that leave them open.

    A game leaves a field open if its class has not chosen another value than the class that introduces the field.
    """
    notes: tuple[str, ...] = ()
    """Where the recipe departs from the published one, and why."""
    places: Mapping[str, str] | None = beside_settings(None)
    """Where settings stand in the file of the recipe, by path, for errors: `mine.yaml, line 3`."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides a run's numbers except its seed; the paths of `--set` start at these fields."""

    game: Game
    dataset: Dataset
    architecture: Architecture
    prior: Prior
    training: Training
    source: "Settings | None" = beside_settings(None)
    """The settings of the run whose networks are inherited."""

    @property
    def latent(self) -> int:
        """The length of z, which the game may choose."""
        return self.game.latent(self.architecture, self.dataset.spec)

    @property
    def setup(self) -> Setup:
        """What the game is told of the settings beside its own."""
        return Setup(self.architecture, self.dataset.spec, self.prior, self.latent)

    def load(self, root: Path) -> Splits:
        """Return the data that a training reads, from files below `root`, without the labels that it may not use."""
        splits = self.dataset.load(root)
        return splits._replace(train=self.usable(splits.train))

    def usable(self, train: Split) -> Split:
        """Return the training split with the labels hidden that `training.labels` does not allow to use."""
        if self.training.labels is None:
            return train
        spec, seed = self.dataset.spec, self.training.label_seed
        return with_few_labels(train, spec, labels=self.training.labels, seed=seed)

    def per_player_reason(self, networks: Networks) -> str | None:
        """Return why a run with these networks takes a backward pass per player; None if one of the critic serves both.

        This is decided once, before the first step: by `training.one_backward`, then by `Game.per_player_reason`.
        """
        if not self.training.one_backward:
            return "training.one_backward is false"
        return self.game.per_player_reason(networks)


Override = tuple[str, str]
"""A dotted path and the text of its value, as in `--set PATH=VALUE`."""


def resolve_settings(
    game: Game,
    recipe: Recipe | Settings,
    overrides: Sequence[Override],
    *,
    of_game: Mapping[str, Any] | None = None,
    places: Mapping[str, str] | None = None,
    resolve: Resolve,
) -> Settings:
    """Return the settings of `game` on `recipe`: recipe < the game's own defaults < overrides.

    `of_game` are the recipe's `Recipe.game`; `places` say by path where overrides stand, for errors.
    """
    in_recipe = (recipe.places if isinstance(recipe, Recipe) else None) or {}
    settings = Settings(
        game=game,
        dataset=recipe.dataset,
        architecture=recipe.architecture,
        prior=recipe.prior,
        training=recipe.training,
    )
    for path, value in _by_path(of_game or {}):
        if game.leaves_open(path.partition(".")[0]):
            with told_where(in_recipe.get(f"game.{path}")):
                settings = override(settings, f"game.{path}", to_text(value), resolve=resolve)
    for path, value in _by_path(game.defaults):
        settings = override(settings, path, to_text(value), resolve=resolve)
    # Shorter paths first: game.schedule must be chosen before game.schedule.critic_steps is set.
    for path, text in sorted(overrides, key=lambda pair: pair[0].count(".")):
        with told_where((places or {}).get(path)):
            settings = override(settings, path, text, resolve=resolve)
    settings.game.check_prior(settings.prior, settings.dataset.spec)
    _warn_of_old_betas(settings.training)
    return settings


@contextmanager
def told_where(place: str | None) -> Iterator[None]:
    """Name the place in a file, if any, where what a `SettingsError` raised in the `with` block is about stands."""
    try:
        yield
    except SettingsError as error:
        if place is None:
            raise
        raise SettingsError(f"{place}: {error.found}", error.remedy) from error


def _by_path(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield path and value of every setting in a mapping whose values may be mappings.

    Where those say the `name` of a component, as its JSON does, it comes before the component's fields.
    """
    for path, value in settings.items():
        if not isinstance(value, Mapping):
            yield path, value
            continue
        inner = dict(value)
        if "name" in inner:
            yield path, inner.pop("name")
        yield from ((f"{path}.{rest}", item) for rest, item in _by_path(inner))


_OF_OPTIMIZERS = (
    "learning_rate",
    "learning_rate_schedule",
    "beta1",
    "beta2",
    "epsilon",
    "players",
    "averaging",
    "averaging_half_life",
    "averaged_players",
)


def apart_from_optimizers(settings: Settings) -> Any:
    """Return as JSON the settings in which trainings must agree to run as one program.

    These are all but the optimizers' and the standard deviation of the initial weights.
    """
    content = to_json(settings)
    for name in _OF_OPTIMIZERS:
        del content["training"][name]
    content["architecture"].pop("init_std", None)
    return content


def with_horizon(settings: Settings) -> Settings:
    """Return the settings with the number of steps as their horizon unless they have one."""
    training = settings.training
    return replace(settings, training=replace(training, horizon=training.horizon or training.steps))


def with_horizon_of(settings: Settings, run: Settings) -> Settings:
    """Return the settings with which a run is continued: schedules of numbers keep the horizon they began with."""
    training, former = settings.training, run.training
    if training.horizon is not None or (former.horizon is None and training.steps == former.steps):
        return settings
    return replace(settings, training=replace(training, horizon=with_horizon(run).training.horizon))


def with_steps(settings: Settings, steps: int) -> Settings:
    """Return the settings with another number of steps."""
    try:
        return replace(settings, training=replace(settings.training, steps=steps))
    except ValueError as error:
        raise SettingsError(f"--steps {steps}: {error}", "choose another number of steps") from error


def differences(old: object, new: object, path: str = "") -> list[str]:
    """Return `path: old → new` for every field in which two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in {**old, **new}
            for line in differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
        ]
    # A float that a plugin wrote as 10 is read from a record as 10.0; but true is not 1.
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return [] if same else [f"{path}: {old} → {new}"]


def _warn_of_old_betas(training: Training) -> None:
    named = {"training.beta2": training.beta2} | {
        f"training.players.{name}.beta2": player.beta2
        for name, player in training.players.items()
        if player.beta2 is not None
    }
    for path, beta2 in named.items():
        if beta2 < 0.5:
            warnings.warn(
                f"{path} is {beta2:g}: that looks like the old convention, which printed 1 − β "
                f"(Blocks before 2017, and the ALI paper); today's value would be {1 - beta2:g}",
                GenzooWarning,
                stacklevel=4,
            )
