"""Jobs: what a run is to be, between the names on a command line and the record in a run folder."""

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch

from genzoo import __version__
from genzoo.components import from_json, to_json, to_text
from genzoo.data.labels import label_frequencies
from genzoo.errors import PluginError, SettingsError, UnreadableError
from genzoo.games.game import Game
from genzoo.host.discovery import registry as installed_registry
from genzoo.host.registry import Registry
from genzoo.runs.request import TrainingRequest
from genzoo.storage.record import RunRecord, SourceRecord
from genzoo.storage.run_folder import Run
from genzoo.training import torchrun
from genzoo.training.devices import choose_precision
from genzoo.training.execution import Execution, Precision, gradients_record
from genzoo.training.initialization import Plan
from genzoo.training.settings import MAY_CHANGE, Recipe, Settings, differences, resolve_settings, with_steps
from genzoo.types import Splits


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides a run."""

    model: str
    recipe: str
    seed: int
    precision: Precision
    plan: Plan
    overrides: dict[str, str]
    source: SourceRecord | None = None

    @property
    def settings(self) -> Settings:
        """The resolved settings."""
        return self.plan.settings

    @property
    def label(self) -> str:
        """How its run folder is called, after the number."""
        return f"{self.model}-{self.recipe}-s{self.seed}"

    def with_found_classes(self, root: Path) -> "Job":
        """Return the job with what only the data set's files below `root` tell, such as class names, filled in."""
        return self.with_settings(replace(self.settings, dataset=self.settings.dataset.with_found_classes(root)))

    def with_settings(self, settings: Settings) -> "Job":
        """Return the job with other settings."""
        return replace(self, plan=replace(self.plan, settings=settings))

    def record(
        self,
        registry: Registry,
        *,
        splits: Splits,
        data: str | None,
        device: torch.device,
        execution: Execution,
        per_player_reason: str | None,
        created: str,
    ) -> RunRecord:
        """Return the record of its run."""
        return RunRecord(
            model=self.model,
            recipe=self.recipe,
            seed=self.seed,
            precision=self.precision,
            settings=to_json(self.settings, name_of=registry.name_of),
            overrides=self.overrides,
            source=self.source,
            label_frequencies=label_frequencies(splits.train.labels, self.settings.dataset.spec),
            data=data,
            device=str(device),
            execution=execution,
            **gradients_record(per_player_reason),
            ranks=torchrun.size(),
            versions={
                "genzoo": __version__,
                "torch": torch.__version__,
                "numpy": numpy.__version__,
                "python": platform.python_version(),
            },
            plugins={plugin.distribution: plugin.version for plugin in registry.plugins if not plugin.cause},
            created=created,
        )


def resolve_job(registry: Registry, request: TrainingRequest, source: SourceRecord | None = None) -> Job:
    """Return the job that a request describes; `source` is the run it inherits from, and its recipe the default."""
    game = find_game(registry, request.model)
    base: Recipe | Settings
    if request.recipe is None and source is not None:
        base, recipe_name = _settings_of(registry, source), source.recipe
    else:
        base = find_recipe(registry, request.recipe)
        recipe_name = base.name
    texts = {path: to_text(value) for path, value in request.overrides.items()}
    settings = resolve_settings(game, base, list(texts.items()), resolve=registry.resolve)
    return Job(
        model=registry.name_of(game),
        recipe=recipe_name,
        seed=request.seed,
        precision=choose_precision(request.precision, request.device, settings.dataset.spec),
        plan=Plan(
            settings=settings if request.steps is None else with_steps(settings, request.steps),
            source=None if source is None else plan_of(registry, source),
        ),
        overrides=texts,
        source=source,
    )


def job_of(registry: Registry, record: RunRecord) -> Job:
    """Return the job that a run's record describes."""
    return Job(
        model=record.model,
        recipe=record.recipe,
        seed=record.seed,
        precision="bf16" if record.precision == "bf16" else "fp32",
        plan=plan_of(registry, record),
        overrides=record.overrides,
        source=record.source,
    )


def plan_of(registry: Registry, record: RunRecord | SourceRecord) -> Plan:
    """Return what the networks of a recorded run are made from."""
    registry = registry.preferring(record.plugins)  # not those that took a name meanwhile
    source = record.source
    return Plan(settings=_settings_of(registry, record), source=None if source is None else plan_of(registry, source))


def find_game(registry: Registry, model: str | Game) -> Game:
    """Return the game called `model` with its defaults, or the game itself."""
    if isinstance(model, Game):
        return model
    registry.find("models", model)
    game = from_json(Game, {"name": model}, resolve=registry.resolve, path="game")
    assert isinstance(game, Game)
    return game


def default_recipe() -> str:
    """Return the name of the recipe of a training that names none; raise `SettingsError` where no plugin offers one."""
    return installed_registry().recipe_or_default(None)


def find_recipe(registry: Registry, recipe: str | Recipe | None) -> Recipe:
    """Return the recipe of that name, the recipe itself, or the plugins' default for None."""
    if isinstance(recipe, Recipe):
        return recipe
    name = registry.recipe_or_default(recipe)
    loaded = registry.load("recipes", name)
    if not isinstance(loaded, Recipe):
        raise PluginError(f"what is registered as the recipe '{name}' is not a Recipe: {loaded!r}")
    return loaded


def refuse_differences(run: Run, record: RunRecord, job: Job, registry: Registry) -> None:
    """Raise `SettingsError` listing every difference between a run and a job that is to continue it."""
    # Read again, so that a setting which the record is too old to have stands at its default.
    before, now = (
        to_json(settings, name_of=registry.name_of) for settings in (plan_of(registry, record).settings, job.settings)
    )
    old = {"settings": before, "seed": record.seed, "precision": record.precision, "ranks": record.ranks}
    new = {"settings": now, "seed": job.seed, "precision": job.precision, "ranks": torchrun.size()}
    lines = [line.removeprefix("settings.") for line in differences(old, new)]
    former, present = (None if source is None else source.sha256 for source in (record.source, job.source))
    if former != present:
        lines.append("--from: another source")
    refused = [line for line in lines if line.partition(":")[0] not in MAY_CHANGE]
    if refused:
        raise SettingsError(
            f"{run.path} was started with other settings: {'; '.join(refused)}",
            f"continue it as it is with: genzoo resume {run.path}, or choose another --run",
        )


def _settings_of(registry: Registry, record: RunRecord | SourceRecord) -> Settings:
    try:
        settings = from_json(Settings, record.settings, resolve=registry.resolve)
    except SettingsError as error:
        raise UnreadableError(
            f"the run's record does not fit the installed plugins: {error.found}", error.remedy
        ) from error
    assert isinstance(settings, Settings)
    return settings
