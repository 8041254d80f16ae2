"""The terms of a VAE's bound: p(x|z), Bernoulli for unit support and Gaussian for real support, and KL(q ‖ p(z))."""

from math import log, pi

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from genzoo import Networks
from genzoo.nn import at_least_float32
from genzoo.types import Batch, Code, DataSpec, Support


def misfit(networks: Networks, batch: Batch, z: Tensor, *, sigma: float) -> Tensor:
    """Return −log p(x|z) (N,) of the batch's x for `z` (N, latent); `sigma` is the Gaussian's standard deviation."""
    assert networks.decoder is not None
    return misfit_of(networks.decode_logits(z, batch.y), batch.x, support=networks.decoder.support, sigma=sigma)


def misfit_of(logits: Tensor, x: Tensor, *, support: Support, sigma: float) -> Tensor:
    """Return −log p(x|z) (N,) of `x` (N, *shape) for the decoder's `logits` (N, *shape) at z."""
    logits = at_least_float32(logits)
    if support == "unit":
        of_numbers = binary_cross_entropy_with_logits(logits, x, reduction="none")
    else:
        # −log N(x; logits, σ²) for every number of x; the decoder's logits are its mean.
        of_numbers = ((x - logits) / sigma).square() / 2 + log(sigma) + log(2 * pi) / 2
    return of_numbers.flatten(1).sum(1)


def divergence(code: Code) -> Tensor:
    """Return KL(N(μ, σ²) ‖ N(0, I)) (N,) of a Gaussian code: the sum over z of (μ² + σ² − 1 − 2 log σ)/2."""
    assert code.mean is not None
    assert code.log_std is not None
    mean, log_std = at_least_float32(code.mean), at_least_float32(code.log_std)
    return (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1) / 2


def name_of_likelihood(data: DataSpec, *, sigma: float) -> str:
    """Return what p(x|z) is, for the protocol of a score."""
    return "Bernoulli on [0, 1]" if data.support == "unit" else f"Gaussian, standard deviation {sigma:g}"
