"""Architectures: families of networks, built for the shape of the data."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor, nn

from genzoo.components import Component
from genzoo.errors import SettingsError
from genzoo.nn.fields import DenseField, Field, UNetField
from genzoo.nn.interfaces import Decoder, Embedder, Encoder, JointCritic, Networks
from genzoo.types import DataSpec, Posterior, Sees


@dataclass(frozen=True, kw_only=True)
class Architecture(Component):
    """A family of networks, from which a game builds the networks that it needs."""

    kind: ClassVar[str] = "architectures"
    posteriors: ClassVar[tuple[Posterior, ...]]
    """The posteriors that its encoder offers; the first is the default."""

    latent: int
    """The length of z, at least 1."""
    init_std: float | None = None
    """Weights of linear maps and convolutions start as N(0, init_std²), biases as 0; None: torch's defaults."""

    def __post_init__(self) -> None:
        if self.latent < 1:
            raise ValueError(f"latent is {self.latent}, expected at least 1")
        if self.init_std is not None and self.init_std <= 0:
            raise ValueError(f"init_std is {self.init_std}, expected more than 0, or none")

    @abstractmethod
    def encoder(self, data: DataSpec, *, posterior: Posterior | None = None, condition: int = 0) -> Encoder:
        """Return an encoder; None is the default `posterior`, `condition` the length of the embedded y (0: no y)."""

    @abstractmethod
    def decoder(self, data: DataSpec, *, condition: int = 0) -> Decoder:
        """Return a decoder whose output has the data's shape and support; `condition` as for `encoder`."""

    @abstractmethod
    def critic(self, data: DataSpec, *, sees: Sees = "xz", condition: int = 0, outputs: int = 1) -> JointCritic:
        """Return a critic that `sees` x, z or both, with `outputs` logits per row; `condition` as for `encoder`."""

    def field(self, data: DataSpec, *, condition: int = 0) -> Field:
        """Return a velocity of x and a time; `condition` is as for `encoder`.

        By default, it is a small U-Net for images, and fully connected for vectors.
        """
        return UNetField(data, condition=condition) if data.is_image else DenseField(data, condition=condition)

    def head(self, role: str, *, reads: int, writes: int) -> nn.Module:
        """Return a network from vectors (N, reads) to (N, writes), such as one that reads the critic's features.

        `role` is what the game calls it; by default, it is a linear map whatever the role.
        """
        return nn.Linear(reads, writes)

    def embedder(self, data: DataSpec) -> Embedder:
        """Return the map from y to its embedding, shared by all networks of a game; by default, the identity."""
        return PassOn(data)

    def initialise(self, networks: Networks, images: Tensor) -> None:
        """Set initial weights that depend on the data; the default does nothing.

        Called once before training; `images` (M, *shape) are up to 500 training rows, as networks read them.
        """

    @final
    def choose(self, posterior: Posterior | None) -> Posterior:
        """Return `posterior`, or the default where it is None; raise `SettingsError` for one that is not offered."""
        posterior = posterior or self.posteriors[0]
        if posterior not in self.posteriors:
            raise SettingsError(
                f"architecture '{self.name}' offers no {posterior} posterior",
                f"it offers: {', '.join(self.posteriors)}",
            )
        return posterior

    @final
    def head_size(self, posterior: Posterior) -> int:
        """Return how many numbers an encoder's head gives per row: two for each of z if it is Gaussian, else z."""
        return 2 * self.latent if posterior == "gaussian" else self.latent


class LinearEmbedder(nn.Linear, Embedder):
    """A linear map from y (N, condition_size) to (N, size); its initial weights are kept unless `trained`."""

    def __init__(self, data: DataSpec, size: int, *, trained: bool = True) -> None:
        super().__init__(_labelled(data), size)
        self.requires_grad_(trained)


class PassOn(Embedder):
    """The identity as an embedding."""

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.out_features = _labelled(data)

    def forward(self, y: Tensor) -> Tensor:
        """Return `y` (N, condition_size)."""
        return y


def _labelled(data: DataSpec) -> int:
    if not data.condition_size:
        raise SettingsError(
            "a conditional model needs labels, and these data have none",
            "choose another recipe or model: genzoo list recipes, genzoo list models",
        )
    return data.condition_size
