"""BiGAN: ALI's game with a deterministic encoder."""

from dataclasses import dataclass
from typing import ClassVar

from genzoo.types import Posterior
from genzoo_ali.ali import ALI


@dataclass(frozen=True, kw_only=True)
class BiGAN(ALI):
    """Bidirectional GAN (Donahue et al., 2017): ALI with an encoder that draws nothing.

    Losses:
        as ALI, with ẑ = E(x)
    """

    name: ClassVar[str] = "bigan"
    posterior: Posterior | None = "point"
