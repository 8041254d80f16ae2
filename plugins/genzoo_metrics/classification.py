"""The error of a model that predicts classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from genzoo import SettingsError
from genzoo.data import labelled_part
from genzoo.evaluation import Metric, Model, Score
from genzoo.types import Split


@dataclass(frozen=True, kw_only=True)
class Classification(Metric):
    """Share of rows, in [0, 1], whose most probable class by the model is not their label.

    The protocol says how many labels the training could use, and the seed of their draw.
    """

    name: ClassVar[str] = "classification"
    about: ClassVar[Mapping[str, str]] = {
        "classification": "Share of rows whose most probable class by the model is wrong.",
    }

    def obstacle(self, model: Model) -> str | None:
        """Return an obstacle for models that predict no classes."""
        return None if model.predicts_classes else "it predicts no classes"

    def measure(self, model: Model, split: Split, *, train: Split, seed: int) -> list[Score]:
        """Classify every row of the split that has a label."""
        split = labelled_part(split)
        if split.labels is None:
            raise SettingsError("this split has no labels", "choose another: --split …")
        x, _ = model.rows(split)
        wrong = model.classify(x, seed=seed).argmax(1).cpu() != split.labels
        draw = {"labels": "all"} if model.labels is None else {"labels": model.labels, "label_seed": model.label_seed}
        return [
            Score(
                metric="classification",
                value=wrong.double().mean().item(),
                protocol={"rows": len(x), **draw},
                better="lower",
                headline=True,
            )
        ]
