"""Semi-supervised adversarial autoencoder: a code of a class and a style, each matched to its prior by a critic."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from genzoo import AdversarialGame, Joint, Networks, SettingsError
from genzoo.games import CategoricalNormal, Prior
from genzoo.nn import Architecture
from genzoo.types import Batch, DataSpec, Round
from genzoo_few_labels.class_and_style import ClassAndStyle, TwoCritics
from genzoo_few_labels.k_plus_one import PLAIN
from genzoo_few_labels.labels import class_cost, classes_of, log_odds
from genzoo_vae.likelihood import misfit


@dataclass(frozen=True, kw_only=True)
class SemiAAE(AdversarialGame):
    """Semi-supervised adversarial autoencoder (Makhzani et al., 2015): z is a one-hot class, then a normal style.

    Losses:
        D:     mean over both critics of E sp(−D(ẑ)) + E sp(D(z))
        E, G:  mean over both critics of E sp(D(ẑ)) + E sp(−D(z));  − w·E ln p(x|ẑ) + CE(y, class of ẑ)

    A critic for each compares them with the prior; labels enter by the cross-entropy of the class part.
    """

    name: ClassVar[str] = "semi-aae"
    priors: ClassVar[tuple[type[Prior], ...]] = (CategoricalNormal,)
    defaults: ClassVar[Mapping[str, Any]] = {**PLAIN, "prior": "categorical-normal"}
    weight: float = 0.25
    """Of the reconstruction in nats per row, beside the adversarial terms and the cross-entropy of labels."""
    sigma: float = 0.1
    """Standard deviation of p(x|z) for data of real support; for unit support, it is Bernoulli."""

    def check_prior(self, prior: Prior, data: DataSpec) -> None:
        """Raise `SettingsError` unless there are as many categories as classes."""
        super().check_prior(prior, data)
        assert isinstance(prior, CategoricalNormal)
        classes = len(data.class_names)
        if classes and prior.categories != classes:
            found = f"prior.categories is {prior.categories}, and the data have {classes} classes"
            raise SettingsError(found, f"make them equal: --set prior.categories={classes}")

    def latent(self, architecture: Architecture, data: DataSpec) -> int:
        """Return the number of classes and the architecture's length of z together."""
        return classes_of(data) + architecture.latent

    def build(self, architecture: Architecture, data: DataSpec) -> Networks:
        """Return an encoder whose first numbers are class probabilities, a decoder, and both critics as one."""
        classes, both = classes_of(data), replace(architecture, latent=self.latent(architecture, data))
        of_class = replace(architecture, latent=classes).critic(data, sees="z")
        return Networks(
            encoder=ClassAndStyle(both.encoder(data, posterior="point"), classes=classes),
            decoder=both.decoder(data),
            critic=TwoCritics(of_class, architecture.critic(data, sees="z"), classes=classes),
        )

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Encode x."""
        return Joint(z=networks.encode(batch.x, batch.noise).z)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw a class and a style from the prior."""
        return Joint(z=batch.z)

    def critic_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the objective's loss, the mean of both critics'."""
        return self.objective.critic(*log_odds(self, batch, round))

    def generator_loss(self, networks: Networks, batch: Batch, round: Round) -> Tensor:
        """Return the objective's loss, the weighted reconstruction, and the cross-entropy of labels."""
        assert round.q.z is not None
        encoder = networks.part("encoder", ClassAndStyle)
        reconstruction = misfit(networks, batch, round.q.z, sigma=self.sigma).mean()
        labels = class_cost(encoder.log_probabilities(round.q.z), batch)
        return self.objective.generator(*log_odds(self, batch, round)) + self.weight * reconstruction + labels

    def classify(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return the logarithms (N, K) of the encoder's class probabilities."""
        return networks.part("encoder", ClassAndStyle).log_probabilities(networks.encode(x, noise).z)

    def categorise(self, networks: Networks, x: Tensor, noise: Tensor) -> Tensor:
        """Return what `classify` does: without labels, its classes are categories of its own."""
        return self.classify(networks, x, noise)
