"""A training request: what to train and where, as one value from the command line to the process that trains it.

Needs no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genzoo.components import NameOf, Resolve, from_json, to_json, to_text
from genzoo.runs.tracker import Tracker
from genzoo.storage.run_folder import Run
from genzoo.types import SplitName

if TYPE_CHECKING:
    from genzoo.games.game import Game
    from genzoo.training.settings import Recipe

PrecisionName = Literal["auto", "fp32", "tf32", "bf16"]
"""The arithmetic of a training; `auto` is bf16 for larger images on devices that compute it natively, else fp32."""
ExecutionName = Literal["auto", "eager", "captured", "compiled"]
"""How a step is run; `auto` is `captured` (one CUDA graph) on CUDA devices and `eager` elsewhere."""


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """A request for one training; names are looked up, and settings resolved, when it starts."""

    model: "str | Game"
    recipe: "str | Recipe | None" = None
    """None: the recipe of `from_run`, or else the plugins' default."""
    seed: int = 0
    steps: int | None = None
    """None: as many as the recipe says."""
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Values by dotted path, as after `--set`."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where overrides stand, by path, for errors: `run.yaml, line 3`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:INDEX`."""
    precision: PrecisionName = "auto"
    deterministic: bool = False
    """Whether steps on CUDA take only algorithms that repeat themselves to the bit."""
    execution: ExecutionName = "auto"
    """How a step is run: as written, captured as a CUDA graph, or compiled."""
    run: str | Path | None = None
    """The run folder, which is continued if it holds a run with the same settings; None: a new one below `runs`."""
    from_run: str | Path | Run | None = None
    """The run whose networks the game inherits."""
    data: str | Path | None = None
    """The folder of data sets; None: GENZOO_DATA, or the user's cache."""
    runs: str | Path = "runs"
    metrics: Sequence[str] | None = None
    """The metrics to measure, by name; None: all that can measure the model."""
    split: SplitName = "test"
    """What they are measured on: `validation` for a training by which settings are chosen."""
    track: Sequence[str | Tracker] | None = None
    """The trackers to tell of it, as after `--track`, or as values; None: those of the run that is continued."""

    def with_overrides(self, overrides: Mapping[str, object]) -> "TrainingRequest":
        """Return the request with further overrides; its own take precedence."""
        return replace(self, overrides={**overrides, **self.overrides})

    def to_json(self, *, name_of: NameOf) -> dict[str, Any]:
        """Return the request as JSON; games and recipes given as objects are stored with all their fields."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        values["model"], values["recipe"] = (to_json(values[key], name_of=name_of) for key in ("model", "recipe"))
        values["track"] = None if self.track is None else [to_json(each, name_of=name_of) for each in self.track]
        values["overrides"] = {path: to_text(value) for path, value in self.overrides.items()}
        source = self.from_run
        values["from_run"] = source.path if isinstance(source, Run) else source
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, resolve: Resolve) -> "TrainingRequest":
        """Return the request stored as JSON by `to_json`."""
        from genzoo.games.game import Game
        from genzoo.training.settings import Recipe

        model, recipe = data["model"], data["recipe"]
        if isinstance(model, dict):
            model = from_json(Game, model, resolve=resolve, path="model")
        if isinstance(recipe, dict):
            recipe = from_json(Recipe, recipe, resolve=resolve, path="recipe")
        track = data.get("track")
        if track is not None:
            track = [
                from_json(Tracker, each, resolve=resolve, path="track") if isinstance(each, dict) else each
                for each in track
            ]
        return cls(**{**data, "model": model, "recipe": recipe, "track": track})
