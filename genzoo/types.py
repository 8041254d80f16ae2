"""The words that everything else is written in: what data are, what a step draws, and what networks answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Batch",
    "Code",
    "ConditionGrid",
    "DataSpec",
    "Joint",
    "Losses",
    "Mixture",
    "Posterior",
    "Round",
    "Sees",
    "Split",
    "SplitName",
    "Splits",
    "Support",
    "Verdict",
]

Support = Literal["unit", "real"]
"""Where x lives: `unit` is [0, 1] (images), `real` is unbounded."""

Posterior = Literal["gaussian", "point", "implicit"]
"""How an encoder draws z: mean + exp(log σ)·noise, a point, or any function of (x, noise)."""

Sees = Literal["x", "z", "xz"]
"""Which parts of a joint sample a critic is shown: x alone, z alone, or both."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A known mixture of equally likely isotropic Gaussians, the truth behind a toy data set."""

    means: tuple[tuple[float, ...], ...]
    """The component means, in component order."""
    std: float
    """The standard deviation of every component along every axis."""


@dataclass(frozen=True, kw_only=True)
class ConditionGrid:
    """A named grid of conditions, each as `--condition` takes it, all to be decoded from one z."""

    name: str
    rows: tuple[tuple[str, ...], ...]
    """Each condition as text, such as `class=3` or `Male,Smiling`; all rows are of one length."""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What one x of a data set and its labels are, known before any of it is read."""

    shape: tuple[int, ...]
    """The shape of one x: (C, H, W) for images, (D,) for vectors."""
    support: Support
    class_names: tuple[str, ...] = ()
    """One name per class where every x has exactly one label."""
    attributes: tuple[str, ...] = ()
    """One name per attribute where every x has any number of them."""
    grids: tuple[ConditionGrid, ...] = ()
    """Grids of conditions worth drawing."""
    mixture: Mixture | None = None
    """The distribution itself, where it is known."""

    @property
    def condition_size(self) -> int:
        """Length of the condition vector y: one-hot classes or 0/1 attributes; 0 without labels."""
        return len(self.class_names) or len(self.attributes)

    @property
    def is_image(self) -> bool:
        """Whether one x is (C, H, W)."""
        return len(self.shape) == 3


class Split(NamedTuple):
    """One part of a data set as it is stored."""

    x: "Tensor"
    """(N, *shape): uint8 in 0…255 for `unit` support (read as x/255), else float32."""
    labels: "Tensor | None" = None
    """(N,) int64 class indices, or (N, attributes) uint8 of 0/1, or nothing."""


SplitName = Literal["train", "validation", "test"]
"""Which part of a data set is meant."""


class Splits(NamedTuple):
    """A data set's three parts; no row is in two of them."""

    train: Split
    validation: Split
    test: Split


class Batch(NamedTuple):
    """What one step is played with; everything in it is drawn by the engine."""

    x: "Tensor"
    """(N, *shape) data."""
    z: "Tensor"
    """(N, latent) draws from the prior."""
    noise: "Tensor"
    """(N, latent) standard normal draws for the encoder."""
    y: "Tensor | None" = None
    """(N, condition_size) float condition vectors, where the data have labels."""
    labelled: "Tensor | None" = None
    """(N,) bool: whose labels a model may use; None where all may be."""


class Joint(NamedTuple):
    """What the critic is shown of one side; a part it does not see is None."""

    x: "Tensor | None" = None
    """(N, *shape)."""
    z: "Tensor | None" = None
    """(N, latent)."""
    y: "Tensor | None" = None
    """The embedded condition, (N, out_features of the embedder)."""


class Code(NamedTuple):
    """An encoder's answer: z, and the mean and log σ it was drawn with, where there are such."""

    z: "Tensor"
    """(N, latent)."""
    mean: "Tensor | None" = None
    """(N, latent); None for an implicit posterior."""
    log_std: "Tensor | None" = None
    """(N, latent), log σ; None for any but a Gaussian posterior."""


class Verdict(NamedTuple):
    """A critic's answer."""

    logits: "Tensor"
    """(N,) or (N, K); high on the data (q) side."""
    features: "Tensor"
    """(N, F): the critic's last hidden layer."""


class Round(NamedTuple):
    """One round of an adversarial game: both joint samples, the verdicts on them, and what the critic was shown."""

    q: Joint
    """The data side, N rows."""
    p: Joint
    """The prior side, N rows."""
    shown: Joint
    """Both sides in one, q rows first."""
    on_q: Verdict
    on_p: Verdict


class Losses(NamedTuple):
    """One loss per player that moves, and what else is worth logging."""

    players: "dict[str, Tensor]"
    """The scalar that each player minimises, by its name."""
    watch: "dict[str, Tensor]"
    """Scalars for the log, by name: detached, on the device."""
