"""M2: a VAE given the class y, with a classifier that infers y where there is no label."""

from collections.abc import Collection
from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
from torch import Tensor

from genzoo import Game, Losses, Networks
from genzoo.games import Prior, StandardNormal
from genzoo.nn import Architecture, at_least_float32
from genzoo.types import Batch, DataSpec
from genzoo_few_labels.labels import class_cost, class_logits, classes_of
from genzoo_vae.likelihood import divergence, misfit


@dataclass(frozen=True, kw_only=True)
class M2(Game):
    """Semi-supervised VAE M2 (Kingma et al., 2014, equations 6 to 9), in nats per row of the batch.

    Losses:
        L(x, y) = −E ln p(x|y, ẑ) + KL(q(z|x, y) ‖ N(0, I)) + ln K
        all:  L(x, y) with a label, else Σ_y P(y|x)·L(x, y) − H(P(y|x));  + α·CE(y, P(x))

    The sum over the classes of a row without a label is taken exactly, with a pass of encoder and decoder for each.
    """

    name: ClassVar[str] = "m2"
    takes_few_labels: ClassVar[bool] = True
    priors: ClassVar[tuple[type[Prior], ...]] = (StandardNormal,)
    label_weight: float = 1.0
    """α over the number of training rows, of the mean cross-entropy of labels; the paper takes 0.1."""
    sigma: float = 0.1
    """Standard deviation of p(x|y, z) for data of real support; for unit support, it is Bernoulli."""

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return a Gaussian encoder and a decoder given y, their embedding of y, and a classifier of x."""
        embedder = architecture.embedder(data)
        size = embedder.out_features
        return Networks(
            encoder=architecture.encoder(data, posterior="gaussian", condition=size),
            decoder=architecture.decoder(data, condition=size),
            embedder=embedder,
            classifier=architecture.critic(data, sees="x", outputs=classes_of(data)),
        )

    def losses(self, networks: Networks, batch: Batch, movers: Collection[str]) -> Losses:
        """Return the mean over rows of −L(x, y) or −U(x), plus the weighted cross-entropy of labels."""
        assert batch.y is not None
        first, (rows, classes) = batch.labelled_rows, batch.y.shape
        logits = at_least_float32(self.classify(networks, batch.x, batch.noise))
        # Rows that are known to be labelled have their own y, and all others every y in turn.
        every = torch.eye(classes, device=logits.device).repeat(rows - first, 1)
        x, noise = (_repeated(part, first, classes) for part in (batch.x, batch.noise))
        costs = self._costs(networks, batch._replace(x=x, noise=noise, y=torch.cat([batch.y[:first], every])))
        of_classes = costs[first:].view(rows - first, classes)
        guess, log_guess = logits[first:].softmax(1), logits[first:].log_softmax(1)
        expected = (guess * (of_classes + log_guess)).sum(1)
        if batch.labelled is None:
            expected = (batch.y[first:] * of_classes).sum(1)
        elif not first:
            expected = torch.where(batch.labelled, (batch.y * of_classes).sum(1), expected)
        bound, labels = torch.cat([costs[:first], expected]).mean(), class_cost(logits, batch)
        watch = {"bound": bound.detach(), "labels": labels.detach()}
        return Losses(players={"generator": bound + self.label_weight * labels}, watch=watch)

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the classifier's logits (N, K)."""
        return class_logits(networks, x)

    def _costs(self, networks: Networks, batch: Batch) -> Tensor:
        """Return −L(x, y) (M,): −ln p(x|y, z) + KL(q(z|x, y) ‖ p(z)) + ln K."""
        code = networks.encode(batch.x, batch.noise, batch.y)
        assert batch.y is not None
        return misfit(networks, batch, code.z, sigma=self.sigma) + divergence(code) + log(batch.y.shape[1])


def _repeated(rows: Tensor, first: int, times: int) -> Tensor:
    """Return the `first` rows, and every later one so many times."""
    return torch.cat([rows[:first], rows[first:].repeat_interleave(times, 0)])
