"""The facts and scores that stand in a model's card, and the card that trackers show."""

from collections.abc import Sequence
from typing import Any

from genzoo.components import to_json
from genzoo.evaluation.cards import evaluations_text
from genzoo.evaluation.model import Model
from genzoo.storage.record import RunRecord
from genzoo.storage.scores import value_text
from genzoo.text import in_markdown, markdown_table


def facts_table(record: RunRecord, model: Model) -> list[str]:
    """Return what a model is and how it was made, as the lines of a Markdown table."""
    shape = " × ".join(map(str, model.data.shape))
    parameters = sum(parameter.numel() for parameter in model.networks.parameters())
    facts = {
        "model": record.model,
        "recipe": record.recipe,
        "data set": f"{record.settings['dataset'].get('name')}"
        + ("" if record.data is None else f" (SHA-256 {record.data})"),
        "x": f"{shape}, {'in [0, 1]' if model.data.support == 'unit' else 'unbounded'}",
        "z": f"{model.latent} numbers, prior {to_json(model.prior).get('name')}",
        "classes": ", ".join(model.data.class_names) if model.networks.is_conditional else None,
        "parameters": f"{parameters:,}",
        "network evaluations per sample": evaluations_text(model.networks.evaluations),
        "weights": f"{model.weights}, after {model.step:,} steps with seed {record.seed}",
        "made with": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
    }
    return markdown_table(("", ""), *((key, value) for key, value in facts.items() if value))


def score_table(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Return scores and how they were measured, as the lines of a Markdown table."""
    return markdown_table(("score", "value", "how it was measured"), *map(_score_row, scores))


def tracked_card(record: RunRecord, model: Model, scores: Sequence[dict[str, Any]]) -> str:
    """Return the card of a run for trackers, as Markdown: its facts, and scores if there are any."""
    lines = [f"# {in_markdown(record.model)} on {in_markdown(record.recipe)}", "", *facts_table(record, model), ""]
    return "\n".join([*lines, *(["## Scores", "", *score_table(scores), ""] if scores else [])])


def _score_row(score: dict[str, Any]) -> tuple[str, str, str]:
    value = value_text(score["value"])
    protocol = ", ".join(f"{key} {value}" for key, value in score["protocol"].items() if value is not None)
    return score["metric"], value, protocol
