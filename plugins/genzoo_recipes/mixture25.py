"""The 25-Gaussian toy task: the networks of the released scripts, on a quick schedule and on the scripts' own."""

from dataclasses import dataclass, replace
from typing import ClassVar

from genzoo.games import CosineSchedule
from genzoo.nn import Architecture, BatchNorm, LeakyReLU, Linear, Maxout, ReLU, TableCritic, TableDecoder, TableEncoder
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.mixture import Mixture25
from genzoo_recipes.steady import STEADY

_HIDDEN = Linear(width=400, batch_norm=BatchNorm(eps=1e-4, momentum=0.05), nonlinearity=ReLU())
_MAXOUT = Linear(width=200, nonlinearity=Maxout(pieces=5, counted="after"))


@dataclass(frozen=True, kw_only=True)
class Mixture25Networks(Architecture):
    """The toy networks of the released scripts: fully connected, for vector data of any length.

    The encoder's default posterior is implicit (noise at its input); `gaussian` and `point` heads are offered too. No
    dropout: the scripts define it and switch it off.
    """

    name: ClassVar[str] = "mixture25"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("implicit", "gaussian", "point")
    latent: int = 2
    init_std: float | None = 0.02

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return two hidden layers of 400 and a linear head."""
        chosen = self.choose(posterior)
        outputs = 2 * self.latent if chosen == "gaussian" else self.latent
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=(_HIDDEN, _HIDDEN),
            head=(Linear(width=outputs),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return four hidden layers of 400 and a linear output."""
        table = (_HIDDEN,) * 4 + (Linear(width=data.shape[0]),)
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return three maxout layers of 200 on the plain concatenation of what the critic sees."""
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(_MAXOUT,) * 3 + (Linear(width=outputs),),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )


@dataclass(frozen=True, kw_only=True)
class DenseNetworks(Architecture):
    """Fully connected networks without batch norm, for vector data of any length.

    The encoder's default posterior is implicit (noise at its input); `gaussian` and `point` heads are offered too.
    """

    name: ClassVar[str] = "dense"
    posteriors: ClassVar[tuple[Posterior, ...]] = ("implicit", "gaussian", "point")
    latent: int = 2
    width: int = 128
    """Of every hidden layer, of which each network has three."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected at least 1")

    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> TableEncoder:
        """Return three hidden layers of ReLU and a linear head."""
        chosen = self.choose(posterior)
        outputs = 2 * self.latent if chosen == "gaussian" else self.latent
        return TableEncoder(
            data,
            latent=self.latent,
            posterior=chosen,
            body=(self._hidden,) * 3,
            head=(Linear(width=outputs),),
            condition=condition,
        )

    def decoder(self, data: DataSpec, *, condition: int = 0) -> TableDecoder:
        """Return three hidden layers of ReLU and a linear output."""
        table = (self._hidden,) * 3 + (Linear(width=data.shape[0]),)
        return TableDecoder(data, latent=self.latent, table=table, condition=condition)

    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> TableCritic:
        """Return three hidden layers of leaky ReLU on the plain concatenation of what the critic sees."""
        hidden = replace(self._hidden, nonlinearity=LeakyReLU(0.2))
        return TableCritic(
            data,
            latent=self.latent,
            x_table=(),
            z_table=(),
            joint_table=(hidden,) * 3 + (Linear(width=outputs),),
            sees=sees,
            condition=condition,
            outputs=outputs,
        )

    @property
    def _hidden(self) -> Linear:
        return Linear(width=self.width, nonlinearity=ReLU())


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
        picture_every=20_000,
        checkpoint_every=5000,
    ),
    notes=(
        "β1 is 0.2 and β2 0.999; the scripts' 0.8 and 0.001 are in the convention of their time, which wrote 1 − β",
        "training and held-out data are drawn from different seeds; the released script drew them from the same",
        "figure 8's runs drew learning rate, β1 and initial weights at random; this is the one released schedule",
    ),
)
