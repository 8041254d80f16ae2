"""The types that all packages share: data, what a step draws, and what networks and games return."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from genzoo.public.fields import described
from genzoo.public.names import with_former

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Batch",
    "Code",
    "ConditionGrid",
    "DataSpec",
    "Draw",
    "Joint",
    "Losses",
    "Mixture",
    "Picture",
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
"""The range of x: `unit` is [0, 1] (images), `real` is unbounded."""

Posterior = Literal["gaussian", "point", "implicit"]
"""How an encoder draws z: mean + exp(log σ)·noise, a point, or any function of (x, noise)."""

Sees = Literal["x", "z", "xz"]
"""The parts of a joint sample that a critic reads: x alone, z alone, or both."""


@described
@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture of equally likely isotropic Gaussians: the true distribution of a toy data set."""

    means: tuple[tuple[float, ...], ...]
    """The component means, in component order."""
    std: float
    """The standard deviation of every component along every axis."""


@described
@dataclass(frozen=True, kw_only=True)
class ConditionGrid:
    """A named grid of conditions; all its cells are decoded from one z."""

    name: str
    rows: tuple[tuple[str, ...], ...]
    """Each condition as `--condition` takes it, such as `class=3` or `Male,Smiling`; all rows have one length."""


@described
@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The shape and range of one x of a data set, and its labels; known before any data are read."""

    shape: tuple[int, ...]
    """The shape of one x: (C, H, W) for images, (D,) for vectors."""
    support: Support
    class_names: tuple[str, ...] = ()
    """One name per class, if every x has exactly one class; else empty."""
    attributes: tuple[str, ...] = ()
    """One name per attribute, if every x has any number of attributes; else empty."""
    grids: tuple[ConditionGrid, ...] = ()
    """Grids of conditions to draw by name."""
    mixture: Mixture | None = None
    """The true distribution, if it is known."""
    levels: int | None = None
    """The number of grey levels of stored images: x in [0, 1] is of level round(x·(levels − 1)); None for vectors."""

    @property
    def condition_size(self) -> int:
        """Length of the condition vector y: one-hot classes or 0/1 attributes; 0 without labels."""
        return len(self.class_names) or len(self.attributes)

    @property
    def is_image(self) -> bool:
        """Whether one x is (C, H, W)."""
        return len(self.shape) == 3


@described
class Split(NamedTuple):
    """One part of a data set as it is stored, in the memory of the CPU."""

    x: "Tensor"
    """(N, *shape): uint8 in 0…255 for `unit` support, which networks read as x/255; else float32."""
    labels: "Tensor | None" = None
    """(N,) int64 class indices, −1 where the label may not be used, or (N, attributes) uint8 of 0/1, or None."""


SplitName = Literal["train", "validation", "test"]
"""Which part of a data set is meant."""


@described
class Splits(NamedTuple):
    """The three parts of a data set, without common rows."""

    train: Split
    validation: Split
    test: Split


@described
@dataclass(frozen=True)
class Draw:
    """Random numbers that a game reads in every step: how they are distributed, and the shape of a row of them."""

    distribution: Literal["uniform", "normal"]
    """Uniform in [0, 1), or standard normal."""
    _: KW_ONLY
    shape: tuple[int, ...] | Literal["latent", "x"] = ()
    """Of a row: that of z, that of x, or sizes; () is a single number."""
    rows: int | None = None
    """The number of rows, which all ranks share; None: one for every row of the batch."""

    def __post_init__(self) -> None:
        if self.distribution not in ("uniform", "normal"):
            raise ValueError(f"distribution is '{self.distribution}', expected uniform or normal")


@described
class Batch(NamedTuple):
    """The N rows of one step: data, and draws made by the engine."""

    x: "Tensor"
    """(N, *shape) data."""
    z: "Tensor"
    """(N, latent) draws from the prior."""
    noise: "Tensor"
    """(N, latent) standard normal draws for the encoder."""
    y: "Tensor | None" = None
    """(N, condition_size) float condition vectors, 0 in rows that are not `labelled`; None for data without labels."""
    labelled: "Tensor | None" = None
    """(N,) bool: the rows whose labels may be used, where `training.labels` says how many; None for all rows."""
    progress: "Tensor | None" = None
    """() float32: the steps taken so far over `Training.horizon`; schedules of numbers read it."""
    due: tuple[str, ...] = ()
    """What this step does beyond the work of every step, as `Game.due` names it."""
    labelled_rows: int = 0
    """The number of first rows that were drawn from those with a label; 0 where rows are as they fall."""
    rows: "Tensor | None" = None
    """(N,) int64: the number of every row in the training split; None for rows that come from elsewhere."""
    draws: "Mapping[str, Tensor]" = {}
    """What `Game.draws` declares, by name, each (N, *shape), or (rows, *shape) for a draw with rows of its own."""


@described
class Joint(NamedTuple):
    """The joint samples of one side as the critic reads them; a part that it does not see is None."""

    x: "Tensor | None" = None
    """(N, *shape)."""
    z: "Tensor | None" = None
    """(N, latent)."""
    y: "Tensor | None" = None
    """The embedded condition, (N, out_features of the embedder)."""


@described
class Code(NamedTuple):
    """An encoder's output: z, and the mean and log σ that it was drawn with, if any."""

    z: "Tensor"
    """(N, latent)."""
    mean: "Tensor | None" = None
    """(N, latent); None for an implicit posterior."""
    log_std: "Tensor | None" = None
    """(N, latent), log σ; None for any but a Gaussian posterior."""
    log_density: "Tensor | None" = None
    """(N,) ln q(z|x) of the z drawn; None where mean and log σ say it already, or where it is not known."""

    @property
    def centre(self) -> "Tensor":
        """The mean (N, latent), or where there is none, z."""
        return self.z if self.mean is None else self.mean


@described
class Verdict(NamedTuple):
    """A critic's output for N rows."""

    logits: "Tensor"
    """(N,) or (N, K); high on the data (q) side."""
    features: "Tensor"
    """(N, F): the critic's last hidden layer."""


@described
class Round(NamedTuple):
    """One round of an adversarial game: the joint samples of both sides and the critic's verdicts on them."""

    q: Joint
    """The data side, N rows."""
    p: Joint
    """The prior side, N rows."""
    shown: Joint
    """Both sides as the critic reads them at once: 2N rows, those of q first."""
    on_q: Verdict
    on_p: Verdict


@described
class Picture(NamedTuple):
    """Rows of x to be drawn: images in a grid, or vectors as points in a plane."""

    x: "Tensor"
    """(N, *shape), in the range of the data."""
    columns: int | None = None
    """How many images a row of the grid has; None: as many as there are rows."""
    headings: tuple[str, ...] = ()
    """Above the columns of a grid."""
    labels: "Tensor | None" = None
    """(N,) int64: what points are coloured by; None draws them black."""
    joined: bool = False
    """Whether lines join the points of every `columns` that follow each other."""


@described
class Losses(NamedTuple):
    """One loss per player that moves, and further scalars for the log."""

    players: "dict[str, Tensor]"
    """The scalar that each player minimises, by its name."""
    watch: "dict[str, Tensor]"
    """Scalars for the log, by name: detached, on the device."""


if not TYPE_CHECKING:  # or a type checker takes any name for one of this module's
    __getattr__ = with_former(__name__)
