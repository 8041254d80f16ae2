"""Perceptual autoencoder: a VAE whose reconstructions must look alike to a classifier, and to a critic."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch

from genzoo import Joint, Losses, Networks
from genzoo.games import NonSaturating, Objective
from genzoo.nn import Architecture, JointCritic, at_least_float32
from genzoo.types import Batch, DataSpec
from genzoo_autoencoders.features import feature_distances
from genzoo_vae.likelihood import divergence, misfit_of
from genzoo_vae.vae import VAE


@dataclass(frozen=True, kw_only=True)
class PerceptualAutoencoder(VAE):
    """VAE that also compares hidden layers C_l of a frozen classifier (Lamb et al., 2016; Dosovitskiy and Brox, 2016).

    Losses:
        E, G:  −w_x·E ln p(x|ẑ) + β·KL(q(z|x) ‖ N(0, I)) + w_f·½Σ_l ‖C_l(x) − C_l(x̂)‖² + w_a·E sp(−D(x̂))
        D:     E sp(−D(x)) + E sp(D(x̂)), where w_a is not 0

    Without a critic it is discriminative regularisation (Lamb et al., 2016) at a standard deviation of 1 per feature,
    where theirs are learned; with `adversarial_weight` it is DeePSiM (Dosovitskiy and Brox, 2016, equation 2). The sum
    bounds no ln p(x): the plain reconstruction is watched beside it, and `elbo` and `iwae` measure the VAE's bound.
    """

    name: ClassVar[str] = "perceptual-autoencoder"
    inherits: ClassVar[tuple[str, ...]] = ("classifier",)
    image_weight: float = 1.0
    """Of −ln p(x|z), the plain reconstruction in nats per row."""
    feature_weight: float = 1.0
    """Of the distances in the classifier's layers."""
    adversarial_weight: float = 0.0
    """Of the objective's loss against a critic of x; with 0 there is no critic."""
    objective: Objective = NonSaturating()

    def __post_init__(self) -> None:
        if min(self.beta, self.image_weight, self.feature_weight, self.adversarial_weight) < 0:
            raise ValueError("beta and weights are expected to be at least 0")

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a VAE's networks, and a critic of x if it has a weight; the classifier comes from the other run."""
        networks = super().build(architecture, data)
        if self.adversarial_weight:
            networks.critic = architecture.critic(data, sees="x")
        return networks

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the weighted sum, of terms that are sums over numbers and means over rows, and the critic's loss."""
        code, classifier = networks.encode(batch.x, batch.noise), networks.part("classifier", JointCritic)
        assert networks.decoder is not None
        logits, support = networks.decode_logits(code.z), networks.decoder.support
        again = logits.sigmoid() if support == "unit" else logits
        distances = feature_distances(classifier, batch.x, again)
        terms = {
            "reconstruction": misfit_of(logits, batch.x, support=support, sigma=self.sigma).mean(),
            "features": torch.stack(list(distances.values())).sum(0).mean(),
            "kl": divergence(code).mean(),
        }
        weighted = self.image_weight * terms["reconstruction"] + self.feature_weight * terms["features"]
        players = {"generator": weighted + self.beta * terms["kl"]}
        if self.adversarial_weight:
            on_q, on_p = at_least_float32(networks.judge(Joint(x=torch.cat([batch.x, again]))).logits).chunk(2)
            players["generator"] = players["generator"] + self.adversarial_weight * self.objective.generator(on_q, on_p)
            players["critic"] = self.objective.critic(on_q, on_p)
        watch = {name: term.detach() for name, term in terms.items()}
        return Losses({name: players[name] for name in movers}, watch)
