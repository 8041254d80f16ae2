"""The 25-Gaussian toy task: the networks of the released scripts, on a quick schedule and on the scripts' own."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo.nn import Architecture, BatchNorm, Linear, Maxout, ReLU, TableCritic, TableDecoder, TableEncoder
from genzoo.training import Recipe, Training
from genzoo.types import DataSpec, Posterior, Sees
from genzoo_data.mixture import Mixture25

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


QUICK = Recipe(
    name="mixture25",
    summary="the paper's toy task, two minutes on two CPU cores",
    dataset=Mixture25(),
    architecture=Mixture25Networks(),
    training=Training(steps=4000, batch_size=100, learning_rate=1e-3, beta1=0.5, log_every=200, picture_every=2000),
)

PAPER = Recipe(
    name="mixture25-paper",
    summary="the same with the released script's schedule",
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
