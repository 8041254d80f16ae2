"""The networks of a game: interfaces of encoder, decoder, joint critic and embedder, and the set of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from math import log, pi
from typing import Protocol, TypeVar, TypeVarTuple

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, type_before_parametrizations

from genzoo.errors import SettingsError
from genzoo.types import Code, Joint, Support, Verdict

_ModuleClass = TypeVar("_ModuleClass", bound=type[nn.Module])
_Answer = TypeVar("_Answer")
_Values = TypeVarTuple("_Values")
_Part = TypeVar("_Part", bound=nn.Module)

_ROW_WISE: set[type[nn.Module]] = {
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.Identity,
    nn.Flatten,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.AvgPool2d,
    nn.Upsample,
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
    ParametrizationList,
}
_KEEPS_START: set[type[nn.Module]] = set()


def row_wise(module_class: _ModuleClass) -> _ModuleClass:
    """Declare, as a class decorator, that the class's own code never mixes the rows of a batch."""
    _ROW_WISE.add(module_class)
    return module_class


def keeps_start(module_class: _ModuleClass) -> _ModuleClass:
    """Declare, as a class decorator, that modules of the class keep the weights that they are built with.

    That holds for everything below them and for subclasses. They are built under a seed of the run, and no
    `init_std` or `reset_parameters` touches them.
    """
    _KEEPS_START.add(module_class)
    return module_class


def modules_that_keep_their_start(networks: nn.Module) -> set[nn.Module]:
    """Return the modules of classes declared with `keeps_start`, and all below them."""
    classes = tuple(_KEEPS_START)
    return {inner for module in networks.modules() if isinstance(module, classes) for inner in module.modules()}


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a half-precision tensor of any shape as float32, and any other unchanged, for losses and statistics."""
    return tensor.float() if tensor.element_size() < 4 else tensor


def posterior_log_density(code: Code) -> Tensor | None:
    """Return ln q(z|x) (N,) of the z of `code`: what the encoder says, or that of its Gaussian; None if not known."""
    if code.log_density is not None or code.mean is None or code.log_std is None:
        return code.log_density
    mean, log_std = at_least_float32(code.mean), at_least_float32(code.log_std)
    away = (code.z - mean) * (-log_std).exp()
    return -(away.square() / 2 + log_std + log(2 * pi) / 2).sum(1)


class Encoder(nn.Module, ABC):
    """Draws z given x."""

    @abstractmethod
    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code of `x` (N, *shape), drawn with standard normal `noise` (N, latent).

        `y` is the embedded condition. A Gaussian code has z = mean + exp(log_std)·noise (equation 2), and leaves
        `log_density` to `posterior_log_density`.
        """

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return activations (N, …) of `x` (N, *shape) by name, input side first, for probes; by default, none."""
        return {}


class Decoder(nn.Module, ABC):
    """Maps z to x; `support` is the range of x."""

    evaluations: int | None = 1
    """How often it runs its network, one time after another, for an x; None where that depends on z."""

    def __init__(self, *, support: Support) -> None:
        super().__init__()
        self.support: Support = support

    @abstractmethod
    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) before the output nonlinearity, for z (N, latent) and the embedded y (N, condition)."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape): the sigmoid of the logits for `unit` support, the logits for `real`."""
        logits = self.logits(z, y)
        return logits.sigmoid() if self.support == "unit" else logits


class JointCritic(nn.Module, ABC):
    """Distinguishes joint samples of the data side (high logits) from those of the prior side (low logits)."""

    outputs: int = 1
    """Logits per row: the logits of a verdict are (N,) for 1 and (N, K) for K."""
    feature_size: int | None = None
    """F, the length of a verdict's features, for networks that read them; None: the critic does not say."""

    @abstractmethod
    def forward(self, joint: Joint) -> Verdict:
        """Return the logits and features of the N rows of `joint`; parts that the critic does not see may be None."""

    def layers(self, joint: Joint) -> dict[str, Tensor]:
        """Return the outputs (N, …) of the hidden layers for `joint`, by name, input side first; by default, none."""
        return {}

    @cached_property
    def couples_rows(self) -> bool:
        """Whether a row's verdict may depend on other rows, as with batch norm; True for unknown modules."""
        return any(type_before_parametrizations(module) not in _ROW_WISE for module in self.modules())


class Embedder(nn.Module, ABC):
    """Maps a condition vector y to its embedding, which the networks of a game read in place of y."""

    out_features: int
    """The size of the embedding: what encoder, decoder and critic take as `condition`."""

    @abstractmethod
    def forward(self, y: Tensor) -> Tensor:
        """Return the embedding (N, out_features) of `y` (N, condition_size)."""


class Networks(nn.Module):
    """The networks of one game. Absent networks are None; `parts` are further ones, by name.

    A method that needs an absent network raises `SettingsError`.
    """

    encoder: Encoder | None
    decoder: Decoder | None
    critic: JointCritic | None
    embedder: Embedder | None

    def __init__(
        self,
        *,
        encoder: Encoder | None = None,
        decoder: Decoder | None = None,
        critic: JointCritic | None = None,
        embedder: Embedder | None = None,
        **parts: nn.Module,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.critic = critic
        self.embedder = embedder
        for name, part in parts.items():
            self.add_module(name, part)
        self.frozen: dict[str, nn.Module] = {}
        """Networks of another run by the names that they have there, which are not trained."""

    def call(self, rule: "Callable[[Networks, *_Values], _Answer]", *values: *_Values) -> _Answer:
        """Return `rule(self, *values)`; other `GameNetworks` batch the rule over replicas."""
        return rule(self, *values)

    def part(self, name: str, kind: Callable[..., _Part]) -> _Part:
        """Return the network called `name`, of the class `kind`; raise `SettingsError` where there is no such one."""
        network: _Part = _present(getattr(self, name, None), name)
        assert isinstance(kind, type)  # which mypy would take for concrete classes alone
        if not isinstance(network, kind):
            raise SettingsError(
                f"the {name} of this model is a {type(network).__name__}, expected a {kind.__name__}",
                "choose another recipe or model",
            )
        return network

    def rows_per_update(self, part: str) -> int:
        """Return how many rows the network `part` reads per row of the batch in an update: 2 for a critic."""
        return 2 if part == "critic" else 1

    @property
    def is_conditional(self) -> bool:
        """Whether these networks take a condition y."""
        return self.embedder is not None

    def encode(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the encoder's code of `x` (N, *shape), drawn with standard normal `noise` (N, latent).

        A conditional model needs the condition vectors `y` (N, condition_size); any other leaves them unread.
        """
        return _present(self.encoder, "encoder")(x, noise, self._condition(y))  # type: ignore[no-any-return]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the decoder's x (N, *shape) for `z` (N, latent); `y` as in `encode`."""
        return _present(self.decoder, "decoder")(z, self._condition(y))  # type: ignore[no-any-return]

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the encoder's activations (N, …) of `x` (N, *shape) by name, input side first; `y` as in `encode`."""
        return _present(self.encoder, "encoder").features(x, self._condition(y))

    def decode_logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return what `decode` returns, (N, *shape), before the output nonlinearity."""
        return _present(self.decoder, "decoder").logits(z, self._condition(y))

    def judge(self, joint: Joint) -> Verdict:
        """Return the critic's verdict on `joint` (N rows), whose y is embedded already."""
        return _present(self.critic, "critic")(joint)  # type: ignore[no-any-return]

    def embed(self, y: Tensor | None) -> Tensor:
        """Return the embedding (N, out_features) of the condition vectors `y` (N, condition_size).

        Raises `SettingsError` for networks without an embedder, and where `y` is None.
        """
        embedder = _present(self.embedder, "embedder")
        if y is None:
            raise SettingsError("a conditional model needs labels, and none are given", "give them as y")
        return embedder(y)  # type: ignore[no-any-return]

    @property
    def evaluations(self) -> int | None:
        """How often a network runs for a sample: what the decoder says, and 0 without one."""
        return 0 if self.decoder is None else self.decoder.evaluations

    def freeze(self, name: str, part: nn.Module) -> None:
        """Set the network called `name` to `part`, which is not trained and stays in inference mode."""
        setattr(self, name, part.requires_grad_(False))
        self.frozen = {**self.frozen, name: part}
        self.train(self.training)

    def _condition(self, y: Tensor | None) -> Tensor | None:
        """Return the embedding of `y` for a conditional model, and None for any other."""
        return self.embed(y) if self.is_conditional else None

    def train(self, mode: bool = True) -> "Networks":
        """Set training mode for every network but the frozen ones."""
        super().train(mode)
        for part in self.frozen.values():
            part.eval()
        return self


class GameNetworks(Protocol):
    """The networks through which a game takes its gradients: plain, or many replicas at once."""

    def call(self, rule: Callable[[Networks, *_Values], _Answer], *values: *_Values) -> _Answer:
        """Return `rule(networks, *values)`; with R replicas, the tensors of values and answer are (R, …)."""


def _present(part: _Part | None, name: str) -> _Part:
    if part is None:
        raise SettingsError(
            f"this model has no {name}", "choose another; what models can do is shown by: genzoo show MODEL"
        )
    return part
