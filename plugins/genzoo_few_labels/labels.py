"""What models that learn from few labels share: the cost of labels, and the rows that have none."""

from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks, SettingsError
from genzoo.nn import JointCritic, at_least_float32
from genzoo.types import Batch, DataSpec, Round


def classes_of(data: DataSpec) -> int:
    """Return the number of classes; raise `SettingsError` for data without any."""
    if not data.class_names:
        raise SettingsError("this model learns classes, and these data have none", "choose data with classes")
    return len(data.class_names)


def class_logits(networks: Networks, x: Tensor) -> Tensor:
    """Return the logits (N, K) of the part `classifier` of these networks at `x` (N, *shape)."""
    logits: Tensor = networks.part("classifier", JointCritic)(Joint(x=x)).logits
    return logits


def class_cost(logits: Tensor, batch: Batch) -> Tensor:
    """Return the mean cross-entropy () of the batch's y with class `logits` (N, K), over labelled rows; 0 for none."""
    assert batch.y is not None
    costs = -(batch.y * at_least_float32(logits).log_softmax(1)).sum(1)
    if batch.labelled is None:
        return costs.mean()
    labelled = batch.labelled.to(costs.dtype)
    return (costs * labelled).sum() / labelled.sum().clamp(min=1)


def unlabelled(rows: Tensor, batch: Batch) -> Tensor:
    """Return the rows (M, …) of a tensor (N, …) that were drawn from all data.

    Rows that were drawn for their labels would make a few rows of the data a large part of q(x).
    """
    return rows[batch.labelled_rows :]


def log_odds(game: AdversarialGame, batch: Batch, round: Round) -> tuple[Tensor, Tensor]:
    """Return what the objective takes for the logits (M, …) of both sides, without rows drawn for their labels."""
    return unlabelled(game.evidence(round.on_q), batch), unlabelled(game.evidence(round.on_p), batch)
