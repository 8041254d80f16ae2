"""Post-hoc inference: an encoder for the frozen decoder of another run (paper, section 4.5)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch

from genzoo import Game, Losses, Networks
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec, Posterior
from genzoo_ali.ali import ALI


@dataclass(frozen=True, kw_only=True)
class PostHocALI(ALI):
    """ALI with the decoder frozen (Dumoulin et al., 2017, section 4.5): a new encoder, and a new critic of (x, z).

    Losses:
        min over E, max over D:  E ln σ(D(x, ẑ)) + E ln(1 − σ(D(x̃, z)))
    """

    name: ClassVar[str] = "post-hoc-ali"
    inherits: ClassVar[tuple[str, ...]] = ("decoder",)

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return encoder and critic; the decoder comes from the other run."""
        return Networks(
            encoder=architecture.encoder(data, posterior=self.posterior),
            critic=self.critic_of(architecture, data),
        )


@dataclass(frozen=True, kw_only=True)
class InverseMapping(Game):
    """An encoder that recovers z from samples of a frozen decoder, without data (Dumoulin et al., 2017, section 4.5).

    Losses:
        E:  E‖z − ẑ(x̃)‖²
    """

    name: ClassVar[str] = "inverse-mapping"
    inherits: ClassVar[tuple[str, ...]] = ("decoder",)
    posterior: Posterior | None = None
    """None: the architecture's default, as for ALI."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder; the decoder comes from the other run."""
        return Networks(encoder=architecture.encoder(data, posterior=self.posterior))

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the squared distance, summed over z and averaged over rows."""
        with torch.no_grad():
            x = networks.decode(batch.z)
        z = at_least_float32(networks.encode(x, batch.noise).z)
        return Losses(players={"generator": (batch.z - z).square().sum(1).mean()}, watch={})
