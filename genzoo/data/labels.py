"""Labels: condition vectors y made from them, their frequencies, and draws by these frequencies."""

import torch
from torch import Tensor

from genzoo.types import DataSpec


def condition(labels: Tensor | None, spec: DataSpec) -> Tensor | None:
    """Return labels (N,) or (N, attributes) as condition vectors y (N, condition_size), float32; None for None.

    Class indices become one-hot vectors, attributes stay 0 or 1.
    """
    if labels is None:
        return None
    if labels.ndim == 1:
        # one_hot reads the labels to check them, which would synchronise with the device
        return torch.eye(spec.condition_size, device=labels.device).index_select(0, labels.long())
    return labels.float()


def label_frequencies(labels: Tensor | None, spec: DataSpec) -> list[float] | None:
    """Return how often every class or attribute occurs in `labels`, (N,) or (N, attributes), in [0, 1]."""
    if labels is None:
        return None
    if labels.ndim == 1:
        shares = labels.long().bincount(minlength=spec.condition_size).double() / len(labels)
    else:
        shares = labels.double().mean(0)
    return [float(share) for share in shares]


def draw_conditions(frequencies: list[float], spec: DataSpec, rows: int, source: torch.Generator) -> Tensor:
    """Return y (rows, condition_size), float32: a class per row, or each attribute independently, by frequency."""
    shares = torch.tensor(frequencies, device=source.device)
    if spec.class_names:
        classes = torch.multinomial(shares, rows, replacement=True, generator=source)
        return torch.nn.functional.one_hot(classes, len(frequencies)).float()
    return torch.bernoulli(shares.expand(rows, -1), generator=source)
