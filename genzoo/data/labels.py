"""Labels: those that may be used, condition vectors y made from them, their frequencies, and draws by these."""

import torch
from torch import Tensor

from genzoo.errors import SettingsError
from genzoo.randomness import generator
from genzoo.types import DataSpec, Split


def with_few_labels(split: Split, spec: DataSpec, *, labels: int, seed: int) -> Split:
    """Return the split with the labels of all rows but `labels` hidden, as −1: equally many of every class stay.

    Those are the first of their class in a permutation of all rows, drawn from `seed`. Raises `SettingsError` where the
    data have no classes, or too few labels.
    """
    classes = len(spec.class_names)
    if not classes or split.labels is None:
        raise SettingsError(f"training.labels is {labels}, and these data have no classes", "leave it out")
    share, rest = divmod(labels, classes)
    if rest:
        nearest = f"{labels - rest} or {labels - rest + classes}" if share else str(classes)
        raise SettingsError(
            f"training.labels is {labels}, which cannot be equally many of each of {classes} classes",
            f"choose a multiple: {nearest}",
        )
    order = torch.randperm(len(split.x), generator=generator("cpu", seed, "labels"))
    hidden = torch.full_like(split.labels, -1)
    for number, name in enumerate(spec.class_names):
        rows = order[split.labels[order] == number]
        if len(rows) < share:
            raise SettingsError(
                f"training.labels is {labels}, {share} of each of {classes} classes, and class {name} has {len(rows)}",
                f"the most that all classes have: {_most(split.labels, classes)}",
            )
        hidden[rows[:share]] = number
    return split._replace(labels=hidden)


def labelled_part(split: Split) -> Split:
    """Return the rows of the split whose labels may be used; without classes, the split itself."""
    if split.labels is None or split.labels.ndim != 1 or not (split.labels < 0).any():
        return split
    rows = (split.labels >= 0).nonzero().squeeze(1)
    return Split(split.x[rows], split.labels[rows])


def _most(labels: Tensor, classes: int) -> int:
    """Return the largest number of labels that can be equally many of every class."""
    return classes * int(labels[labels >= 0].bincount(minlength=classes).min())


def condition(labels: Tensor | None, spec: DataSpec) -> Tensor | None:
    """Return labels (N,) or (N, attributes) as condition vectors y (N, condition_size), float32; None for None.

    Class indices become one-hot vectors, −1 the zero vector, and attributes stay 0 or 1.
    """
    if labels is None:
        return None
    if labels.ndim == 1:
        # one_hot reads the labels to check them, which would synchronise with the device
        vectors = torch.eye(spec.condition_size + 1, device=labels.device)[:, 1:]  # the first is 0, for −1
        return vectors.index_select(0, labels.long() + 1)
    return labels.float()


def label_frequencies(labels: Tensor | None, spec: DataSpec) -> list[float] | None:
    """Return how often every class or attribute occurs in `labels`, (N,) or (N, attributes), in [0, 1].

    Rows whose label is −1 are left out.
    """
    if labels is None:
        return None
    if labels.ndim == 1:
        usable = labels[labels >= 0].long()
        shares = usable.bincount(minlength=spec.condition_size).double() / len(usable)
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
