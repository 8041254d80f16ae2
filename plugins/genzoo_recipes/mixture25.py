"""The 25-Gaussian toy task: the networks of the released scripts, on a quick schedule and on the scripts' own."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from genzoo.games import CosineSchedule
from genzoo.nn import (
    Architecture,
    BatchNorm,
    LeakyReLU,
    Linear,
    Maxout,
    ReLU,
    Table,
    TableCritic,
    TableDecoder,
    TableEncoder,
)
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.mixture import Mixture25
from genzoo_recipes.steady import STEADY

_HIDDEN = Linear(width=400, batch_norm=BatchNorm(eps=1e-4, momentum=0.05), nonlinearity=ReLU())
_MAXOUT = Linear(width=200, nonlinearity=Maxout(pieces=5, counted="after"))


@dataclass(frozen=True, kw_only=True)
class VectorNetworks(Architecture):
    """Fully connected networks for vector data of any length, given by their hidden rows.

    The encoder's default posterior is implicit (noise at its input); `gaussian` and `point` heads are offered too. The
    critic reads the plain concatenation of what it sees.
    """

    posteriors: ClassVar[tuple[Posterior, ...]] = ("implicit", "gaussian", "point")
    latent: int = 2

    @abstractmethod
    def encoder_rows(self) -> Table:
        """Return the encoder's hidden rows."""

    @abstractmethod
    def decoder_rows(self) -> Table:
        """Return the decoder's hidden rows."""

    @abstractmethod
    def critic_rows(self) -> Table:
        """Return the critic's hidden rows."""

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return the hidden rows and a linear head."""
        chosen = self.choose(posterior)
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=self.encoder_rows(),
            head=(Linear(width=self.head_size(chosen)),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return the hidden rows and a linear output."""
        table = (*self.decoder_rows(), Linear(width=data.shape[0]))
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return the hidden rows and linear logits."""
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(*self.critic_rows(), Linear(width=outputs)),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


@dataclass(frozen=True, kw_only=True)
class Mixture25Networks(VectorNetworks):
    """The toy networks of the released scripts, without dropout: the scripts define it and switch it off."""

    name: ClassVar[str] = "mixture25"
    init_std: float | None = 0.02

    def encoder_rows(self) -> Table:
        """Return two hidden layers of 400."""
        return (_HIDDEN,) * 2

    def decoder_rows(self) -> Table:
        """Return four hidden layers of 400."""
        return (_HIDDEN,) * 4

    def critic_rows(self) -> Table:
        """Return three maxout layers of 200."""
        return (_MAXOUT,) * 3


@dataclass(frozen=True, kw_only=True)
class DenseNetworks(VectorNetworks):
    """Three hidden layers each, without batch norm."""

    name: ClassVar[str] = "dense"
    width: int = 128
    """Of every hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected at least 1")

    def encoder_rows(self) -> Table:
        """Return three hidden layers of ReLU."""
        return (Linear(width=self.width, nonlinearity=ReLU()),) * 3

    def decoder_rows(self) -> Table:
        """Return three hidden layers of ReLU."""
        return self.encoder_rows()

    def critic_rows(self) -> Table:
        """Return three hidden layers of leaky ReLU."""
        return (Linear(width=self.width, nonlinearity=LeakyReLU(0.2)),) * 3


QUICK = Recipe(
    name="mixture25",
    summary="the paper's toy task as one trains today, two minutes on two CPU cores",
    dataset=Mixture25(),
    architecture=DenseNetworks(),
    training=Training(
        steps=16_000,
        batch_size=200,
        learning_rate=1e-3,
        learning_rate_schedule=CosineSchedule(last=0.1, start=0.6),
        beta1=0.0,
        beta2=0.99,
        averaging=0.999,
        log_every=400,
        picture_every=4000,
        checkpoint_every=1000,
    ),
    game=STEADY,
    notes=(
        "the data and the size of z are the paper's; networks, objective, penalty and schedules are of the years after "
        "it (R3GAN, 2024), because the paper's own reach few samples of high quality: mixture25-paper has those",
    ),
)

PAPER = Recipe(
    name="mixture25-paper",
    summary="the paper's toy task with the released script's networks and schedule",
    dataset=Mixture25(),
    architecture=Mixture25Networks(),
    training=Training(
        steps=200_000,
        batch_size=100,
        learning_rate=1e-4,
        beta1=0.2,
        beta2=0.999,
        log_every=1000,
    ),
    notes=(
        "β1 is 0.2 and β2 0.999; the scripts' 0.8 and 0.001 are in the convention of their time, which wrote 1 − β",
        "training and held-out data are drawn from different seeds; the released script drew them from the same",
        "figure 8's runs drew learning rate, β1 and initial weights at random; this is the one released schedule",
    ),
)
