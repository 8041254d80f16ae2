"""One backward pass of the critic for both players, in place of one per player.

Let s_i be the critic's logit for row i of what it is shown, v_i the inputs of that row, and L_d and L_g the losses of
critic and generator. If the critic does not couple rows, s_i depends on v_i alone, so

    ∂L_d/∂v_i = ∂L_d/∂s_i · ∂s_i/∂v_i    and    ∂L_g/∂v_i = ∂L_g/∂s_i · ∂s_i/∂v_i = r_i · ∂L_d/∂v_i,

with r_i the ratio of the two slopes at s_i, which the objective gives in closed form (`Objective.slopes`). The backward
pass that the critic needs anyway, from ∂L_d/∂s, gives both the critic's gradient and ∂L_d/∂v. The latter, multiplied
by r row by row, is passed on into encoder and decoder. Both gradients equal those of a backward pass per player, to
rounding.
"""

import torch
from torch import Tensor

from genzoo.games.game import Gradients, Players
from genzoo.games.objectives import Slopes
from genzoo.types import Joint


def one_backward(
    logits: Tensor, shown: Joint, slopes: Slopes, movers: Players, *, generator_cost: Tensor | None = None
) -> Gradients:
    """Return the gradients of critic and generator from a single backward pass of the critic.

    `logits` (N,) are the critic's for the N rows of `shown`, whose tensors (N, …) lie in the graph between generator
    and logits; `slopes` are the objective's at these logits. `generator_cost` () is minimised by the generator as well.
    For R replicas every tensor has R in front, as in (R, N).
    """
    inputs = [part for part in shown if part is not None and part.requires_grad]
    critic = movers["critic"]
    by_critic_and_inputs = torch.autograd.grad(logits, [*critic, *inputs], torch.cat(slopes.critic, -1))
    ratio = torch.cat(slopes.ratio, -1)
    at_inputs = [
        # (N,) becomes (N, 1, …) beside ∂L_d/∂v (N, …); autocast may have left v in half precision
        (slope * ratio.view(*ratio.shape, *(1 for _ in slope.shape[ratio.ndim :]))).to(slope.dtype)
        for slope in by_critic_and_inputs[len(critic) :]
    ]
    if generator_cost is not None:
        inputs, at_inputs = [*inputs, generator_cost], [*at_inputs, torch.ones_like(generator_cost)]
    by_generator = torch.autograd.grad(inputs, movers["generator"], at_inputs)
    return {"critic": by_critic_and_inputs[: len(critic)], "generator": by_generator}
