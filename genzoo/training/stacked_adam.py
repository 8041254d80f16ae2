"""Adam for all replicas of a population at once."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genzoo.training.rows import ReplicaRows


class StackedAdam:
    """`torch.optim.Adam` of all players of R replicas, with learning rates, betas and epsilon of each replica's own.

    It takes the operations of torch's Adam in their order; torch's fused kernels round some of them together.
    `optimizers` are those of every player, a replica each: their moments become rows here, so that they can still be
    saved, restored and used alone. `parameters` are the rows of every player's parameters.
    """

    def __init__(
        self, optimizers: Mapping[str, Sequence[torch.optim.Adam]], parameters: Mapping[str, ReplicaRows]
    ) -> None:
        self._parameters = {name: parameters[name].whole for name in optimizers}
        self._first, self._second, self._steps = (
            {name: ReplicaRows([_states(optimizer, key) for optimizer in part]) for name, part in optimizers.items()}
            for key in ("exp_avg", "exp_avg_sq", "step")
        )
        some = next(iter(self._parameters.values()))
        groups = [optimizer.param_groups[0] for part in optimizers.values() for optimizer in part]
        # The replicas' numbers are (players, R), in float64 like those of torch's Adam, which are Python's.
        self._shape = len(optimizers), len(some)
        self._rates = [
            rate if isinstance(rate, Tensor) else torch.tensor(rate, dtype=torch.float64, device=some.device)
            for rate in (group["lr"] for group in groups)
        ]
        betas = torch.tensor([group["betas"] for group in groups], dtype=torch.float64, device=some.device).T
        self._betas = betas.reshape(2, *self._shape)
        self._complements = 1 - self._betas
        self._half = torch.tensor(0.5, dtype=torch.float64, device=some.device)
        self._epsilons = torch.tensor([group["eps"] for group in groups], dtype=some.dtype, device=some.device).view(
            *self._shape, 1
        )
        self._factors = self._complements[1, ..., None].to(some.dtype)

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], skipped: Tensor) -> None:
        """Update the players of `gradients`, (R, P) each, in all replicas but those where `skipped`, (R,), is 1."""
        taken = 1 - skipped
        is_skipped = skipped.bool()[:, None]
        numbers = self._numbers(skipped, taken)
        for place, name in enumerate(self._parameters):
            if name in gradients:
                weight, decay, root, size = numbers[:, place]
                gradient = gradients[name].masked_fill_(is_skipped, 0)
                first, second = self._first[name].whole, self._second[name].whole
                first.lerp_(gradient, weight)
                second.mul_(decay).addcmul_(gradient * self._factors[place], gradient)
                deviation = second.sqrt().div_(root).add_(self._epsilons[place])
                self._parameters[name].addcdiv_(first * size, deviation)
                self._steps[name].whole.add_(taken[:, None])

    def _numbers(self, skipped: Tensor, taken: Tensor) -> Tensor:
        """Return the weight of the gradient in the first moments, the decay of the second moments, the root of their
        bias correction, and minus the step's size, (4, players, R, 1); they change nothing where `skipped` is 1.
        """
        steps = torch.stack([rows.parts[0] for rows in self._steps.values()]) + 1
        corrections = 1 - self._betas**steps
        weight = self._complements[0] * taken
        decay = torch.addcmul(self._betas[1], self._complements[1], skipped)  # β2 + (1 − β2) rounds to 1 for every β2
        size = torch.stack(self._rates).view(self._shape) / corrections[0] * -taken
        root = corrections[1] ** self._half  # as Python's; torch's square root of float64 differs on some CPUs
        return torch.stack([weight, decay, root, size]).to(self._factors.dtype)[..., None]


def _states(optimizer: torch.optim.Adam, key: str) -> list[Tensor]:
    return [optimizer.state[parameter][key] for parameter in optimizer.param_groups[0]["params"]]
