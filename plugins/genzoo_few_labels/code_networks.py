"""Fully connected networks of codes, for M2 on top of M1."""

from genzoo import Networks
from genzoo.nn import BatchNorm, LeakyReLU, Linear, LinearEmbedder, TableCritic, TableDecoder, TableEncoder
from genzoo.types import DataSpec

_HIDDEN = Linear(width=256, batch_norm=BatchNorm(), nonlinearity=LeakyReLU(0.1))
_BODY = (_HIDDEN, _HIDDEN)


def networks_of_codes(latent: int, data: DataSpec) -> Networks:
    """Return M2's networks for codes (N, latent) of these data, whose own z is as long."""
    codes = DataSpec(shape=(latent,), support="real", class_names=data.class_names)
    classes = len(data.class_names)
    return Networks(
        encoder=TableEncoder(
            codes,
            latent=latent,
            posterior="gaussian",
            body=_BODY,
            head=(Linear(width=2 * latent),),
            condition=latent,
        ),
        decoder=TableDecoder(codes, latent=latent, table=(*_BODY, Linear(width=latent)), condition=latent),
        embedder=LinearEmbedder(codes, latent),
        classifier=TableCritic(
            codes,
            latent=latent,
            x_table=_BODY,
            z_table=(),
            joint_table=(Linear(width=classes),),
            sees="x",
            outputs=classes,
        ),
    )
