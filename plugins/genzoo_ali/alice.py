"""ALICE: ALI whose reconstructions must come back, by a distance or by critics of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from genzoo import Joint, Networks
from genzoo.games import Players
from genzoo.nn import Architecture, JointCritic, at_least_float32
from genzoo.types import Batch, DataSpec, Round
from genzoo_ali.ali import ALI


@dataclass(frozen=True, kw_only=True)
class ALICE(ALI):
    """ALI with an explicit cycle (Li et al., 2017): reconstructions must also be close by a distance d.

    Losses:
        E, G:  ALI's loss + λ_x·d(x, x̂) + λ_z·‖z − ẑ(x̃)‖²
        D:     ALI's loss

    d is the cross-entropy of x̂ for data in [0, 1], and the squared distance for others. Both are means over the
    numbers of x or z. With both weights 0, it is ALI bit for bit.
    """

    name: ClassVar[str] = "alice"
    x_weight: float = 1.0
    """λ_x."""
    z_weight: float = 0.0
    """λ_z."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.x_weight, self.z_weight) < 0:
            raise ValueError("x_weight and z_weight are expected to be at least 0")

    def generator_cost(self, networks: Networks, batch: Batch, q: Joint, p: Joint) -> Tensor | None:
        """Return the weighted misfit of x → z → x and of z → x → z; None if both weights are 0."""
        costs = []
        if self.x_weight:
            costs.append(self.x_weight * _misfit(networks, batch, q))
        if self.z_weight:
            assert p.x is not None
            recovered = networks.encode(p.x, batch.noise, batch.y).z
            costs.append(self.z_weight * mse_loss(at_least_float32(recovered), batch.z))
        return torch.stack(costs).sum() if costs else None


@dataclass(frozen=True, kw_only=True)
class ImplicitALICE(ALI):
    """ALI with an adversarial cycle (Li et al., 2017): critics tell (x, x) from (x, x̂), and (z, z) from (z, ẑ(x̃)).

    Losses:
        E, G:         ALI's loss + w·[loss of E, G against A(x, x̂) and B(z, ẑ(x̃))]
        D, A and B:   ALI's loss + w·[loss of A on (x, x) and (x, x̂), of B on (z, z) and (z, ẑ(x̃))]

    Both play the same objective as the critic of (x, z), with a weight.
    """

    name: ClassVar[str] = "alice-implicit"
    weight: float = 0.1
    """Of the pairs' losses, for both players."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight:g}, expected at least 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return ALI's networks and a critic of pairs for x and for z."""
        networks = super().build(architecture, data)
        channels, *positions = data.shape
        pairs = replace(data, shape=(2 * channels, *positions))
        networks.add_module("x_pairs", architecture.critic(pairs, sees="x"))
        twice = replace(architecture, latent=2 * architecture.latent)
        networks.add_module("z_pairs", twice.critic(data, sees="z"))
        return networks

    def players(self, networks: Networks) -> Players:
        """Return the critics of pairs as the critic's, and all other parameters as in ALI."""
        pairs = [*networks.get_submodule("x_pairs").parameters(), *networks.get_submodule("z_pairs").parameters()]
        taken = {id(parameter) for parameter in pairs}
        players = super().players(networks)
        others = [parameter for parameter in players["generator"] if id(parameter) not in taken]
        return {"critic": [*players["critic"], *pairs], "generator": others}

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return ALI's loss and the weighted losses of both critics of pairs."""
        losses = [self.objective.critic(*sides) for sides in self._judge_pairs(networks, batch, round)]
        return super().critic_loss(networks, batch, round) + self.weight * torch.stack(losses).sum()

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return ALI's loss and the weighted losses against both critics of pairs."""
        losses = [self.objective.generator(*sides) for sides in self._judge_pairs(networks, batch, round)]
        return super().generator_loss(networks, batch, round) + self.weight * torch.stack(losses).sum()

    def _judge_pairs(self, networks: Networks, batch: Batch, round: Round) -> Sequence[tuple[Tensor, Tensor]]:
        """Return the logits (N,) of equal and of unequal pairs, for x and for z."""
        assert round.q.z is not None
        assert round.p.x is not None
        x, z = batch.x, batch.z
        returned_x = networks.decode(round.q.z, batch.y)
        returned_z = networks.encode(round.p.x, batch.noise, batch.y).z
        x_pairs = torch.cat([torch.cat([x, x], 1), torch.cat([x, returned_x], 1)])
        z_pairs = torch.cat([torch.cat([z, z], 1), torch.cat([z, returned_z], 1)])
        on_x = networks.part("x_pairs", JointCritic)(Joint(x=x_pairs)).logits
        on_z = networks.part("z_pairs", JointCritic)(Joint(z=z_pairs)).logits
        equal_x, unequal_x = at_least_float32(on_x).chunk(2)
        equal_z, unequal_z = at_least_float32(on_z).chunk(2)
        return (equal_x, unequal_x), (equal_z, unequal_z)


def _misfit(networks: Networks, batch: Batch, q: Joint) -> Tensor:
    """Return the distance () of x from its reconstructions, a mean over all numbers."""
    assert q.z is not None
    assert networks.decoder is not None
    logits = at_least_float32(networks.decode_logits(q.z, batch.y))
    x = at_least_float32(batch.x)
    if networks.decoder.support == "unit":
        return binary_cross_entropy_with_logits(logits, x)
    return mse_loss(logits, x)
