"""M1+M2: M2 on the codes of a VAE, which is M1."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior, StandardNormal
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec
from genzoo_few_labels.code_networks import networks_of_codes
from genzoo_few_labels.labels import classes_of
from genzoo_few_labels.m2 import M2


@dataclass(frozen=True, kw_only=True)
class M1M2(Game):
    """Stacked semi-supervised VAE M1+M2 (Kingma et al., 2014): M2 on codes of x, which M1's encoder draws afresh.

    Losses:
        as M2, with a code of M1's encoder in place of x

    M1 is a VAE, whose run is given and whose encoder is frozen. All numbers of its code are read, also those that say
    nothing; M2 is fully connected, whatever the architecture.
    """

    name: ClassVar[str] = "m1+m2"
    inherits: ClassVar[tuple[str, ...]] = ("encoder",)
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    label_weight: float = 1.0
    """As in M2."""
    sigma: float = 0.5
    """Standard deviation of p(code of M1|y, z)."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return M2's networks of codes as the part `inner`; the encoder comes from the other run."""
        classes_of(data)
        return Networks(inner=networks_of_codes(architecture.latent, data))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the loss of M2 on drawn codes; the prior's draws are the noise of its own encoder."""
        codes = networks.encode(batch.x, batch.noise).z.detach()
        return self._m2.losses(networks.part("inner", Networks), batch._replace(x=codes, noise=batch.z), movers)

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the classifier's logits (N, K) at the mean code of `x`."""
        return self._m2.classify(networks.part("inner", Networks), networks.encode(x, noise).centre, noise)

    @property
    def _m2(self) -> M2:
        return M2(label_weight=self.label_weight, sigma=self.sigma)
