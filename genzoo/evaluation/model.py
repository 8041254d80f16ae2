"""A trained model in inference mode: sample, encode, reconstruct and interpolate."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genzoo.data.dataset import as_input
from genzoo.data.labels import condition, draw_conditions
from genzoo.errors import SettingsError
from genzoo.games.priors import Prior
from genzoo.nn.interfaces import Networks
from genzoo.randomness import generator
from genzoo.training.settings import Settings
from genzoo.types import Code, DataSpec, Split

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Model:
    """Trained networks in inference mode: batch norm uses its running statistics, and dropout is off.

    Every draw depends on the given seed alone, and is the same on every device. x is (N, *shape), in [0, 1] for
    images; z is (N, latent); y, for a conditional model, is (N, condition_size). An x or y of the wrong shape, a
    condition that the model does not take, and a network that it does not have raise `SettingsError`.
    """

    networks: Networks = field(repr=False)
    data: DataSpec
    """The data set it was trained on."""
    prior: Prior
    latent: int
    """The length of z."""
    label_frequencies: list[float] | None
    """The share of training rows with each class or attribute, in [0, 1]; None without labels."""
    device: torch.device
    step: int = 0
    """The number of steps it was trained for."""
    weights: str = "raw"
    """`averaged` or `raw`."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        networks: Networks,
        *,
        device: torch.device,
        label_frequencies: list[float] | None,
        step: int = 0,
        weights: str = "raw",
    ) -> "Model":
        """Return the networks of a training with these settings, which lie on `device`, as a model."""
        return cls(
            networks=networks,
            data=settings.dataset.spec,
            prior=settings.prior,
            latent=settings.architecture.latent,
            label_frequencies=label_frequencies,
            device=device,
            step=step,
            weights=weights,
        )

    def sample(self, count: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Return (count, *shape) decoded prior draws; for None, y is drawn from the label frequencies."""
        z = self.draw_z(count, seed=seed)
        if self.networks.is_conditional and y is None:
            y = self.draw_y(count, seed=seed)
        return self.decode(z, y)

    def sample_grid(self, y: Tensor, *, seed: int = 0, one_z: bool = False) -> Tensor:
        """Return (rows, columns, *shape) for conditions `y` (rows, columns, condition_size).

        Every row has its own draw of z; with `one_z`, all cells share one.
        """
        rows, columns = y.shape[:2]
        z = self.draw_z(1 if one_z else rows, seed=seed)
        z = z.expand(rows, -1).repeat_interleave(columns, dim=0)
        return self.decode(z, y.flatten(0, 1)).reshape(rows, columns, *self.data.shape)

    def draw_z(self, count: int, *, seed: int = 0) -> Tensor:
        """Return (count, latent) draws from the prior."""
        return self.prior.draw(count, self.latent, generator("cpu", seed, "sample", "z")).to(self.device)

    def draw_y(self, count: int, *, seed: int = 0) -> Tensor:
        """Return (count, condition_size) conditions, drawn from the label frequencies."""
        if self.label_frequencies is None:
            raise SettingsError("this model's run stored no label frequencies: name a condition")
        source = generator("cpu", seed, "sample", "y")
        return draw_conditions(self.label_frequencies, self.data, count, source).to(self.device)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the decoder's x (N, *shape) for `z` (N, latent)."""
        self._check_condition(y, len(z))
        return torch.cat([self._decode(part, part_y) for part, part_y in self._in_parts(z, y)])

    def encode(self, x: Tensor, *, y: Tensor | None = None, seed: int = 0) -> Code:
        """Return the codes of `x` (N, *shape), a tensor or array, with z sampled; uint8 is divided by 255."""
        self.require("encoder")
        x = as_input(torch.as_tensor(x)).float()
        if tuple(x.shape[1:]) != self.data.shape:
            raise SettingsError(f"x is (N, {tuple(x.shape[1:])}), this model takes (N, {self.data.shape})")
        self._check_condition(y, len(x))
        noise = torch.randn(len(x), self.latent, generator=generator("cpu", seed, "encode"))
        parts = [
            self._encode(part, part_noise, part_y)
            for (part, part_y), (part_noise, _) in zip(self._in_parts(x, y), self._in_parts(noise, None), strict=True)
        ]
        columns = zip(*parts, strict=True)
        z, mean, log_std = (None if column[0] is None else torch.cat(column) for column in columns)
        assert z is not None
        return Code(z, mean, log_std)

    def features(self, x: Tensor, *, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the encoder's activations (N, …) of `x` (N, *shape) by name, input side first, if it names any."""
        self.require("encoder")
        self._check_condition(y, len(x))
        parts = [self._features(part, part_y) for part, part_y in self._in_parts(x, y)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def reconstruct(self, x: Tensor, *, y: Tensor | None = None, seed: int = 0) -> Tensor:
        """Return the decoder's x (N, *shape) for sampled codes of `x` (N, *shape)."""
        self.require("decoder")
        return self.decode(self.encode(x, y=y, seed=seed).z, y)

    def interpolate(
        self,
        a: Tensor,
        b: Tensor,
        *,
        steps: int = 11,
        y: tuple[Tensor, Tensor] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Return (N, steps + 1, *shape): decodings along the straight lines between sampled codes of a and b.

        `y` holds the conditions of a and of b, between which a conditional model interpolates as well.
        """
        if steps < 1:
            raise SettingsError(f"steps is {steps}, expected at least 1")
        self.require("decoder")
        y_a, y_b = (None, None) if y is None else y
        start, end = self.encode(a, y=y_a, seed=seed).z, self.encode(b, y=y_b, seed=seed + 1).z
        along = torch.linspace(0, 1, steps + 1, device=self.device)
        z = _between(start, end, along)
        conditions = None if y_a is None or y_b is None else _between(y_a.to(z), y_b.to(z), along)
        return self.decode(z, conditions).reshape(len(a), steps + 1, *self.data.shape)

    def rows(self, split: Split, count: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the first `count` rows (None: all) of a split: x (N, *shape), and y if the model takes one."""
        x, labels = split.x[:count], None if split.labels is None else split.labels[:count]
        y = condition(labels, self.data) if self.networks.is_conditional else None
        return as_input(x).to(self.device), None if y is None else y.to(self.device)

    def require(self, part: str) -> None:
        """Raise `SettingsError` unless the model has the network called `part`."""
        if getattr(self.networks, part) is None:
            present = [name for name in ("encoder", "decoder") if getattr(self.networks, name) is not None]
            raise SettingsError(f"this model has no {part}", f"it has: {', '.join(present) or 'neither'}")

    def _check_condition(self, y: Tensor | None, rows: int) -> None:
        if y is None:
            return
        if not self.networks.is_conditional:
            raise SettingsError("this model takes no condition: it was trained without labels")
        if tuple(y.shape) != (rows, self.data.condition_size):
            raise SettingsError(f"y is {tuple(y.shape)}, expected ({rows}, {self.data.condition_size})")

    @torch.no_grad()
    def _decode(self, z: Tensor, y: Tensor | None) -> Tensor:
        with self._inference():
            return self.networks.decode(z, y)

    @torch.no_grad()
    def _encode(self, x: Tensor, noise: Tensor, y: Tensor | None) -> Code:
        with self._inference():
            return self.networks.encode(x, noise, y)

    @torch.no_grad()
    def _features(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        with self._inference():
            return self.networks.features(x, y)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        before = self.networks.training
        self.networks.eval()
        try:
            yield
        finally:
            self.networks.train(before)

    def _in_parts(self, rows: Tensor, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, max(len(rows), 1), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            yield rows[part].to(self.device), None if y is None else y[part].to(self.device)


def _between(start: Tensor, end: Tensor, along: Tensor) -> Tensor:
    """Return (N·steps, …): for every pair of rows, the points at `along` (steps,) of the line between them."""
    return (start[:, None] + along[None, :, None] * (end - start)[:, None]).flatten(0, 1)
