"""What a game is played with: encoder, decoder, joint critic, and the set of networks that holds them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor, nn

from genzoo.errors import SettingsError
from genzoo.types import Code, Joint, Support, Verdict

_ModuleClass = TypeVar("_ModuleClass", bound=type[nn.Module])
_Found = TypeVar("_Found")

_ROW_WISE: set[type[nn.Module]] = {
    nn.Sequential,
    nn.ModuleList,
    nn.Identity,
    nn.Flatten,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.Embedding,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.SiLU,
    nn.GELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
}


def row_wise(module_class: _ModuleClass) -> _ModuleClass:
    """Declare (as a class decorator) that the class's own code never mixes the rows of a batch."""
    _ROW_WISE.add(module_class)
    return module_class


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a half-precision tensor as float32 and any other as it is, for losses and statistics."""
    return tensor.float() if tensor.element_size() < 4 else tensor


class Encoder(nn.Module, ABC):
    """Draws z given x."""

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code of `x` (N, *shape), drawn with standard normal `noise` (N, latent).

        `y` is the embedded condition. A Gaussian code has z = mean + exp(log_std)·noise (equation 2).
        """

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return named activations (N, …), input side first, for probes; none unless overridden."""
        return {}


class Decoder(nn.Module, ABC):
    """Maps z to x; `support` says where x lives."""

    def __init__(self, *, support: Support) -> None:
        super().__init__()
        self.support: Support = support

    @abstractmethod
    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) before the output nonlinearity, given z (N, latent) and the embedded y."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape): the sigmoid of the logits for `unit` support, the logits for `real`."""
        logits = self.logits(z, y)
        return logits.sigmoid() if self.support == "unit" else logits


class JointCritic(nn.Module, ABC):
    """Tells the data side (high logits) from the prior side of a joint sample."""

    @abstractmethod
    def forward(self, joint: Joint) -> Verdict:
        """Return the verdict on every row of `joint`."""

    @cached_property
    def couples_rows(self) -> bool:
        """Whether a row's verdict may depend on other rows, as with batch statistics; True when unsure."""
        return any(type(module) not in _ROW_WISE for module in self.modules())


class Networks(nn.Module):
    """The networks of one game; parts that it does not have are None, further parts go by any name."""

    encoder: Encoder | None
    decoder: Decoder | None
    critic: JointCritic | None
    embedder: nn.Module | None

    def __init__(
        self,
        *,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        critic: JointCritic | None = None,
        embedder: nn.Module | None = None,
        **parts: nn.Module,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.critic = critic
        self.embedder = embedder
        for name, part in parts.items():
            self.add_module(name, part)
        self._frozen: tuple[str, ...] = ()

    def call(self, rule: Callable[..., _Found], *values: Any) -> _Found:
        """Return `rule(networks, *values)`: the seam at which a step is compiled, or played by many at once."""
        return rule(self, *values)

    def rows_per_update(self, part: str) -> int:
        """Return how often the network called `part` sees a row of the batch in one update: a critic, on both sides."""
        return 2 if part == "critic" else 1

    @property
    def is_conditional(self) -> bool:
        """Whether these networks take a condition y."""
        return self.embedder is not None

    def encode(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the encoder's code of `x`, given the condition vectors `y` (N, condition_size)."""
        return _present(self.encoder, "encoder")(x, noise, self.embed(y))  # type: ignore[no-any-return]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the decoder's x for `z`, given the condition vectors `y` (N, condition_size)."""
        return _present(self.decoder, "decoder")(z, self.embed(y))  # type: ignore[no-any-return]

    def decode_logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return `decode` before its output nonlinearity."""
        return _present(self.decoder, "decoder").logits(z, self.embed(y))

    def judge(self, joint: Joint) -> Verdict:
        """Return the critic's verdict on `joint`, whose y is embedded already."""
        return _present(self.critic, "critic")(joint)  # type: ignore[no-any-return]

    def embed(self, y: Tensor | None) -> Tensor | None:
        """Return the embedding of `y`; None for an unconditional model."""
        if self.embedder is None:
            return None
        if y is None:
            raise SettingsError("a conditional model needs labels, and none are given")
        return self.embedder(y)  # type: ignore[no-any-return]

    def freeze(self, name: str, part: nn.Module) -> None:
        """Put `part` in as the network called `name`, never to be trained nor to leave inference mode."""
        setattr(self, name, part.requires_grad_(False))
        self._frozen = (*self._frozen, name)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Networks":
        """Set training mode for every network but the frozen ones."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self


_Part = TypeVar("_Part", bound=nn.Module)


def _present(part: _Part | None, name: str) -> _Part:
    if part is None:
        raise SettingsError(f"this model has no {name}")
    return part
