"""Jobs: requests with all names looked up and all settings resolved, as a run's record stores them."""

import platform
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch

from genzoo import __version__
from genzoo.components import from_json, to_json, to_text
from genzoo.data.dataset import Dataset
from genzoo.data.labels import label_frequencies
from genzoo.data.prepared import PreparedDataset
from genzoo.data.prepared_card import CARD
from genzoo.errors import PluginError, SettingsError, UnreadableError
from genzoo.games.game import Game
from genzoo.host.discovery import registry as installed_registry
from genzoo.host.isolation import removal
from genzoo.host.registry import Registry
from genzoo.runs.configuration import is_file
from genzoo.runs.recipe_files import recipe_in_file
from genzoo.runs.request import TrainingRequest
from genzoo.storage.record import RunRecord, SourceRecord
from genzoo.storage.run_folder import Run
from genzoo.text import in_words, short_repr
from genzoo.training import torchrun
from genzoo.training.devices import choose_precision, precision_called
from genzoo.training.execution import Execution, Precision, gradients_record
from genzoo.training.settings import (
    MAY_CHANGE,
    Recipe,
    Settings,
    differences,
    not_taken,
    resolve_settings,
    with_horizon,
    with_horizon_of,
    with_steps,
)
from genzoo.types import Splits

_TOLD = 3
"""How many plugins of other versions are named."""
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,40}==[A-Za-z0-9.!+]{1,40}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that determines a run: model, settings, seed and arithmetic."""

    model: str
    recipe: str
    seed: int
    precision: Precision
    deterministic: bool
    settings: Settings
    overrides: dict[str, str]
    source: SourceRecord | None = None
    not_taken: tuple[str, ...] = ()
    """`PATH=VALUE` for the recipe's choices below `game` that the model does not take."""

    @property
    def label(self) -> str:
        """The name of its run folder after the number."""
        return f"{self.model}-{self.recipe}-s{self.seed}"

    def with_found_classes(self, root: Path) -> "Job":
        """Return the job with settings read from the data set's files below `root`, such as class names, filled in.

        Raises `UnreadableError` with the commands that prepare the recipe's data if that is not done.
        """
        refuse_unprepared(self.settings.dataset, root, recipe=self.recipe)
        return self.with_settings(replace(self.settings, dataset=self.settings.dataset.with_found_classes(root)))

    def with_settings(self, settings: Settings) -> "Job":
        """Return the job with other settings."""
        return replace(self, settings=settings)

    def record(
        self,
        registry: Registry,
        *,
        splits: Splits,
        data: str | None,
        device: torch.device,
        execution: Execution,
        per_player_reason: str | None,
        players: Iterable[str],
        created: str,
    ) -> RunRecord:
        """Return the record to store in the job's run folder."""
        return RunRecord(
            model=self.model,
            recipe=self.recipe,
            seed=self.seed,
            precision=self.precision,
            deterministic=self.deterministic,
            settings=to_json(self.settings, name_of=registry.name_of),
            overrides=self.overrides,
            source=self.source,
            label_frequencies=label_frequencies(splits.train.labels, self.settings.dataset.spec),
            data=data,
            device=str(device),
            execution=execution,
            **gradients_record(per_player_reason),
            not_taken=[*self.not_taken],
            players=[*players],
            unused=[*self.settings.game.unused],
            ranks=torchrun.size(),
            threads=torch.get_num_threads(),
            versions={
                "genzoo": __version__,
                "torch": torch.__version__,
                "numpy": numpy.__version__,
                "python": platform.python_version(),
            },
            plugins={plugin.distribution: plugin.version for plugin in registry.plugins if not plugin.cause},
            created=created,
            sessions=(),
            requires={},
        )


def resolve_job(registry: Registry, request: TrainingRequest, source: SourceRecord | None = None) -> Job:
    """Return the job of a request; `source` is the run it inherits from, whose recipe is then the default."""
    game = find_game(registry, request.model)
    base: Recipe | Settings
    if request.recipe is None and source is not None:
        base, named = settings_of(registry, source), source.recipe
        is_installed = named in {entry.name for entry in registry.of("recipes")}
        of_game = find_recipe(registry, named).game if is_installed else {}
    else:
        base = find_recipe(registry, request.recipe)
        named, of_game = base.name, base.game
    texts = {path: to_text(value) for path, value in request.overrides.items()}
    settings = resolve_settings(
        game, base, list(texts.items()), of_game=of_game, places=request.places, resolve=registry.resolve
    )
    if request.steps is not None:
        settings = with_steps(settings, request.steps)
    return Job(
        model=registry.name_of(game),
        recipe=named,
        seed=request.seed,
        precision=choose_precision(request.precision, request.device, settings.dataset.spec),
        deterministic=request.deterministic,
        settings=replace(settings, source=None if source is None else settings_of(registry, source)),
        overrides=texts,
        source=source,
        not_taken=(*not_taken(game, of_game, texts),),
    )


def with_labels(request: TrainingRequest, labels: int) -> TrainingRequest:
    """Return the request with `labels` usable labels, from whose rows a third of every batch is drawn."""
    registry = installed_registry()
    size = request.overrides.get("training.batch_size", "")
    default = find_recipe(registry, recipe_name(registry, request)).training.batch_size
    rows = int(str(size)) if str(size).isdecimal() else default
    return request.with_overrides({"training.labels": labels, "training.labelled_rows": max(1, rows // 3)})


def job_of(registry: Registry, record: RunRecord) -> Job:
    """Return the job of a recorded run."""
    return Job(
        model=record.model,
        recipe=record.recipe,
        seed=record.seed,
        precision=precision_called(record.precision),
        deterministic=record.deterministic,
        settings=settings_of(registry, record),
        overrides=record.overrides,
        source=record.source,
    )


def find_game(registry: Registry, model: str | Game) -> Game:
    """Return the game named `model` with its defaults, or `model` itself if it is a game.

    FILE.py:CLASS and MODULE:CLASS name a class that no plugin registers, and import it.
    """
    if isinstance(model, Game):
        return model
    game = from_json(Game, {"name": registry.named("models", model)}, resolve=registry.resolve, path="game")
    assert isinstance(game, Game)
    return game


def default_recipe() -> str:
    """Return the recipe used when none is named; raise `SettingsError` if no plugin declares one."""
    return installed_registry().recipe_or_default(None)


def recipe_name(registry: Registry, request: TrainingRequest) -> str:
    """Return the name of the recipe that a request is for."""
    if request.recipe is None and request.from_run is not None:
        return Run.of(request.from_run).record.recipe
    return find_recipe(registry, request.recipe).name


def find_recipe(registry: Registry, recipe: str | Recipe | None) -> Recipe:
    """Return the recipe of that name or in that file, `recipe` itself if it is one, or for None the default."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe is not None and is_file(recipe):
        return recipe_in_file(registry, Path(recipe), find_recipe)
    name = registry.recipe_or_default(recipe)
    loaded = registry.load("recipes", name)
    if not isinstance(loaded, Recipe):
        raise PluginError(
            f"what is registered as the recipe '{name}' is not a Recipe: {short_repr(loaded)}",
            removal(registry.find("recipes", name).plugin.distribution),
        )
    return loaded


def refuse_unprepared(dataset: Dataset, root: Path, *, recipe: str) -> None:
    """Raise `UnreadableError` if a data set needs preparing and is not below `root`; the remedy names the recipe."""
    if not isinstance(dataset, PreparedDataset) or (root / dataset.place / CARD).is_file():
        return
    registry = installed_registry()
    base = find_recipe(registry, recipe).dataset if registry.has("recipes", recipe) else None
    if isinstance(base, type(dataset)):
        raise dataset.unprepared(root, name=recipe, base=base)
    raise dataset.unprepared(root)


def continued(run: Run, record: RunRecord, job: Job, registry: Registry) -> Job:
    """Return the job that continues a run; raise `SettingsError` with every difference that forbids it."""
    former = settings_of(registry, record)
    job = job.with_settings(with_horizon_of(job.settings, former))
    # The record is parsed and written again, so that settings added since it was written have their defaults.
    before, now = (to_json(with_horizon(settings), name_of=registry.name_of) for settings in (former, job.settings))
    old = {"settings": before, "seed": record.seed, "precision": record.precision, "ranks": record.ranks}
    old["deterministic"] = record.deterministic
    new = {"settings": now, "seed": job.seed, "precision": job.precision, "ranks": torchrun.size()}
    new["deterministic"] = job.deterministic
    lines = [line.removeprefix("settings.") for line in differences(old, new)]
    sources = [None if source is None else source.sha256 for source in (record.source, job.source)]
    if sources[0] != sources[1]:
        lines.append("--from: another source")
    refused = [line for line in lines if line.partition(":")[0] not in MAY_CHANGE]
    if refused:
        raise SettingsError(
            f"{run.path} was started with other settings: {'; '.join(refused)}",
            f"continue it as it is with: genzoo resume {run.path}, or choose another --run",
        )
    return job


def made_with_others(error: UnreadableError, record: RunRecord | SourceRecord, registry: Registry) -> UnreadableError:
    """Return the error that a run does not fit, with the versions of plugins that it was made with and are others now.

    To install is named only what is installed in another version: a record may name anything.
    """
    now = {plugin.distribution: plugin.version for plugin in registry.plugins}
    made = record.plugins if isinstance(record, RunRecord) else {}
    others = [(name, version) for name, version in made.items() if now.get(name) != version][:_TOLD]
    if not others or not all(_VERSION.fullmatch(f"{name}=={version}") for name, version in others):
        return error
    made_with = in_words([f"{name} {version} (here: {now.get(name, 'none')})" for name, version in others])
    former = [f"{name}=={version}" for name, version in others if name in now]
    again = f"install again what is missing: {in_words([name for name, _ in others])}"
    remedy = f"type: {shlex.join(['pip', 'install', *former])}" if former else again
    return UnreadableError(f"{error.found}; it was made with {made_with}", remedy)


def settings_of(registry: Registry, record: RunRecord | SourceRecord) -> Settings:
    """Return the settings of a recorded run, and with them those of the run that it inherits from."""
    registry = registry.preferring(record.plugins)  # not those that took a name meanwhile
    try:
        settings = from_json(Settings, record.settings, resolve=registry.resolve)
    except SettingsError as error:
        problem = f"the run's record does not fit the installed plugins: {error.found}"
        raise made_with_others(UnreadableError(problem, error.remedy), record, registry) from error
    assert isinstance(settings, Settings)
    return replace(settings, source=None if record.source is None else settings_of(registry, record.source))


def configuration_text(job: Job, registry: Registry, *, recipe: str | None = None) -> str:
    """Return a job with all its settings as YAML, which `configuration_in` reads; `recipe` is its recipe's file."""
    import yaml

    content: dict[str, Any] = {"model": job.model, "recipe": recipe or job.recipe}
    content |= {"seed": job.seed, "precision": job.precision, "deterministic": job.deterministic}
    content |= {"settings": to_json(job.settings, name_of=registry.name_of)}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
