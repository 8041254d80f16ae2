"""A trained model in inference mode: sample, encode, reconstruct, interpolate and classify."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from genzoo.data.dataset import Dataset, as_input
from genzoo.data.decoding import ImageSource, image_files
from genzoo.data.labels import condition, draw_conditions
from genzoo.errors import PluginError, SettingsError, place_of
from genzoo.evaluation.decodings import Decodings
from genzoo.games.game import Game
from genzoo.games.priors import Prior
from genzoo.nn.interfaces import Networks
from genzoo.randomness import generator
from genzoo.training.execution import arithmetic
from genzoo.training.settings import Settings
from genzoo.types import Batch, Code, DataSpec, Picture, Split

Rows = Tensor | NDArray[Any] | ImageSource | Sequence[ImageSource]
"""N rows of data: a tensor or array (N, *shape), or images and paths of image files and folders."""

_ROWS_AT_ONCE = 500


class Neighbours(NamedTuple):
    """For N rows, the rows whose codes are nearest, the nearest first."""

    rows: Tensor
    """(N, count) int64."""
    distances: Tensor
    """(N, count): Euclidean, between codes."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Trained networks in inference mode: batch norm uses its running statistics, and dropout is off.

    Every draw depends on the given seed alone, and is the same on every device. z is (N, latent); y, for a conditional
    model, is (N, condition_size). x is (N, *shape), finite, and for images in [0, 1] or uint8, which is divided by 255;
    in its place, an image of Pillow's, the path of an image file, or a list of these goes through the transform of the
    data set; a folder stands for the image files below it, sorted by name, with a `GenzooWarning` of what is left out.
    An x or y of another shape or range, a condition that the model does not take, and a network that it does not have
    raise `SettingsError`.
    """

    game: Game
    """The game by whose rules the networks were trained."""
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
    labels: int | None = None
    """How many labels its training could use; None: all."""
    label_seed: int = 0
    """Decided which labels those were."""
    dataset: Dataset | None = field(default=None, repr=False)
    """Reads images; without it, x is a tensor or array."""

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
            game=settings.game,
            networks=networks,
            data=settings.dataset.spec,
            prior=settings.prior,
            latent=settings.latent,
            label_frequencies=label_frequencies,
            device=device,
            step=step,
            weights=weights,
            labels=settings.training.labels,
            label_seed=settings.training.label_seed,
            dataset=settings.dataset,
        )

    @property
    def sampling_obstacle(self) -> str | None:
        """Why it has no samples, such as `it has no decoder`; None if it has."""
        return "it has no decoder" if self.networks.decoder is None else self.game.sampling_obstacle

    def require_samples(self) -> None:
        """Raise `SettingsError` if decoded draws from the prior are no samples."""
        if self.sampling_obstacle is not None:
            raise SettingsError(
                f"this model cannot sample: {self.sampling_obstacle}",
                "reconstruct or encode rows with it, or choose another model: genzoo list models",
            )

    def sample(self, count: int, *, seed: int = 0, y: Tensor | None = None) -> Decodings:
        """Return (count, *shape) decoded prior draws on `device`; for None, y is drawn from the label frequencies."""
        self.require_samples()
        z = self.draw_z(count, seed=seed)
        if self.networks.is_conditional and y is None:
            y = self.draw_y(count, seed=seed)
        return self.decode(z, y)

    def sample_grid(self, y: Tensor, *, seed: int = 0, one_z: bool = False) -> Decodings:
        """Return (rows, columns, *shape) for conditions `y` (rows, columns, condition_size).

        Every row has its own draw of z; with `one_z`, all cells share one.
        """
        self.require_samples()
        rows, columns = y.shape[:2]
        z = self.draw_z(1 if one_z else rows, seed=seed)
        z = z.expand(rows, -1).repeat_interleave(columns, dim=0)
        return Decodings.of(self.decode(z, y.flatten(0, 1)).reshape(rows, columns, *self.data.shape), self.data)

    def draw_z(self, count: int, *, seed: int = 0) -> Tensor:
        """Return (count, latent) draws from the prior."""
        return self.prior.draw(count, self.latent, generator("cpu", seed, "sample", "z")).to(self.device)

    def draw_y(self, count: int, *, seed: int = 0) -> Tensor:
        """Return (count, condition_size) conditions, drawn from the label frequencies."""
        if self.label_frequencies is None:
            raise SettingsError(
                "this model's run stored no label frequencies", "name a condition: --condition C, in Python y="
            )
        source = generator("cpu", seed, "sample", "y")
        return draw_conditions(self.label_frequencies, self.data, count, source).to(self.device)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Decodings:
        """Return the decoder's x (N, *shape) for `z` (N, latent)."""
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise SettingsError(
                f"z is {tuple(z.shape)}, this model takes (N, {self.latent})",
                "draw it with model.draw_z(count), or encode rows with the same model",
            )
        self._check_condition(y, len(z))
        x = torch.cat([self._decode(part, part_y) for part, part_y in self._in_parts(z, y)])
        return Decodings.of(x, self.data)

    def inputs(self, x: Rows) -> Tensor:
        """Return `x` as networks read it: float32 (N, *shape)."""
        return as_input(self._stored(x))

    def encode(self, x: Rows, *, y: Tensor | None = None, seed: int = 0) -> Code:
        """Return the codes of `x` (N, *shape), whose z is drawn.

        Beside it is the mean, where the encoder gives one, which `genzoo encode` writes; `reconstruct` decodes z.
        """
        self.require("encoder")
        x, noise = self._stored_with_noise(x, seed)
        self._check_condition(y, len(x))
        parts = [
            self._encode(part, part_noise, part_y)
            for (part, part_y), (part_noise, _) in zip(self._in_parts(x, y), self._in_parts(noise, None), strict=True)
        ]
        columns = zip(*parts, strict=True)
        z, mean, log_std, log_density = (None if column[0] is None else torch.cat(column) for column in columns)
        assert z is not None
        return Code(z, mean, log_std, log_density)

    @property
    def predicts_classes(self) -> bool:
        """Whether `classify` gives an answer, which the game is asked with one row of zeros."""
        return self._answers(self.game.classify, torch.zeros(1, *self.data.shape), 0)[0] is not None

    def classify(self, x: Rows, *, seed: int = 0) -> Tensor:
        """Return class logits (N, K) of `x` (N, *shape).

        A classifier that reads codes reads those of `encode` with the same seed. A model that predicts no classes
        raises `SettingsError`.
        """
        answers = self._answers(self.game.classify, x, seed)
        return torch.cat([self._checked_logits(answer) for answer in answers])

    @property
    def makes_out_categories(self) -> bool:
        """Whether `categorise` gives an answer, which the game is asked with one row of zeros."""
        return self._answers(self.game.categorise, torch.zeros(1, *self.data.shape), 0)[0] is not None

    def categorise(self, x: Rows, *, seed: int = 0) -> Tensor:
        """Return logits (N, K) of the categories that the model itself made out, for `x` (N, *shape).

        Their order says nothing of classes. A model that makes out none raises `SettingsError`.
        """
        parts = [answer for answer in self._answers(self.game.categorise, x, seed) if answer is not None]
        if not parts:
            raise SettingsError(
                "this model makes out no categories", "train one that does; models are listed by: genzoo list models"
            )
        return torch.cat(parts)

    def features(self, x: Rows, *, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the encoder's activations (N, …) of `x` (N, *shape) by name, input side first, if it names any."""
        self.require("encoder")
        x = self._stored(x)
        self._check_condition(y, len(x))
        parts = [self._features(part, part_y) for part, part_y in self._in_parts(x, y)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def reconstruct(self, x: Rows, *, y: Tensor | None = None, seed: int = 0) -> Decodings:
        """Return the decoder's x (N, *shape) for codes of `x` (N, *shape), which are drawn.

        What `genzoo encode` writes are means; the decodings of these are `decode(encode(x, y=y).centre, y)`.
        """
        self.require("decoder")
        self.require("encoder")
        x = self._stored(x)
        return Decodings.of(self.decode(self.encode(x, y=y, seed=seed).z, y), self.data, x)

    def log_weights(self, x: Rows, *, y: Tensor | None = None, draws: int = 1, seed: int = 0) -> Tensor | None:
        """Return ln p(x, z) − ln q(z|x) (N, draws) of `x` (N, *shape) for that many draws of z each, in nats.

        None if the game or the prior offers no density.
        """
        x = self._stored(x)
        self._check_condition(y, len(x))
        weights = [self._log_weight(x, y, seed=seed, draw=draw) for draw in range(draws)]
        columns = [column for column in weights if column is not None]
        return torch.stack(columns, dim=1) if columns else None

    def log_probabilities(self, x: Rows, *, y: Tensor | None = None) -> Tensor | None:
        """Return ln P(x) (N,) in nats of images `x` (N, *shape) as grey levels; None if the game offers none."""
        x = self._stored(x)
        self._check_condition(y, len(x))
        parts = [self._log_probability(part, part_y) for part, part_y in self._in_parts(x, y)]
        offered = [part for part in parts if part is not None]
        return torch.cat(offered) if offered else None

    @torch.no_grad()
    def pictures(self, split: Split, *, count: int = 64, seed: int = 0) -> Mapping[str, Picture]:
        """Return the pictures by which its game shows itself, of up to `count` rows of a split, by name."""
        x, y = self.rows(split, count)
        noise = torch.randn(len(x), self.latent, generator=generator("cpu", seed, "encode")).to(self.device)
        batch = Batch(x=x, z=self.draw_z(len(x), seed=seed), noise=noise, y=y)
        with self._inference():
            return self.game.pictures(self.networks, batch, self.prior)

    def interpolate(
        self,
        a: Rows,
        b: Rows,
        *,
        steps: int = 11,
        y: tuple[Tensor, Tensor] | None = None,
        seed: int = 0,
    ) -> Decodings:
        """Return (N, steps + 1, *shape): decodings along the straight lines between codes of a and b, which are drawn.

        `y` holds the conditions of a and of b, between which a conditional model interpolates as well.
        """
        if steps < 1:
            raise SettingsError(f"steps is {steps}, expected at least 1", "give a larger number of steps")
        self.require("decoder")
        a, b = self._stored(a), self._stored(b)
        if len(a) != len(b):
            raise SettingsError(f"a has {len(a)} rows and b has {len(b)}, expected pairs", "give as many of both")
        y_a, y_b = (None, None) if y is None else y
        start, end = self.encode(a, y=y_a, seed=seed).z, self.encode(b, y=y_b, seed=seed + 1).z
        along = torch.linspace(0, 1, steps + 1, device=self.device)
        z = _between(start, end, along)
        conditions = None if y_a is None or y_b is None else _between(y_a.to(z), y_b.to(z), along)
        x = self.decode(z, conditions).reshape(len(a), steps + 1, *self.data.shape)
        return Decodings.of(x, self.data, a, b)

    def nearest(
        self, x: Rows, among: Rows, *, count: int = 8, y: tuple[Tensor, Tensor] | None = None, seed: int = 0
    ) -> Neighbours:
        """Return, for every row of `x`, the `count` rows of `among` with the nearest codes: all if there are fewer.

        Codes are means, or where the encoder gives none, draws. `y` holds the conditions of x and of among.
        """
        if count < 1:
            raise SettingsError(f"count is {count}, expected at least 1", "give a larger count")
        y_x, y_among = (None, None) if y is None else y
        codes, others = self.encode(x, y=y_x, seed=seed).centre, self.encode(among, y=y_among, seed=seed).centre
        distances = torch.cdist(codes, others, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.topk(min(count, len(others)), largest=False)
        return Neighbours(nearest.indices, nearest.values)

    def rows(self, split: Split, count: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the first `count` rows (None: all) of a split: x (N, *shape), and y if the model takes one."""
        labels = None if split.labels is None else split.labels[:count]
        return as_input(split.x[:count]).to(self.device), self.conditions(labels)

    def conditions(self, labels: Tensor | None) -> Tensor | None:
        """Return y (N, condition_size) for the labels of a split, if the model takes one."""
        y = condition(labels, self.data) if self.networks.is_conditional else None
        return None if y is None else y.to(self.device)

    def require(self, part: str) -> None:
        """Raise `SettingsError` unless the model has the network called `part`."""
        if getattr(self.networks, part) is None:
            present = [name for name in ("encoder", "decoder") if getattr(self.networks, name) is not None]
            raise SettingsError(f"this model has no {part}", f"it has: {', '.join(present) or 'neither'}")

    def _stored(self, x: Rows) -> Tensor:
        """Return `x` (N, *shape), once it is checked: bytes as bytes, of which networks read a part at a time."""
        if isinstance(x, str | Path | Image.Image):
            x = [x]
        if isinstance(x, Sequence) and x and all(isinstance(picture, str | Path | Image.Image) for picture in x):
            if self.dataset is None:
                raise SettingsError("this model was made without a data set, which reads images", "give a tensor")
            x = self.dataset.read(image_files(x))
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise SettingsError(
                f"x is no tensor, array or image: {error}", "give a tensor (N, …), or paths of image files"
            ) from error
        if tuple(x.shape[1:]) != self.data.shape:
            raise _other_shape(tuple(x.shape), self.data.shape)
        if x.dtype != torch.uint8:
            x = x.float()
            _check_range(x, self.data)
        return x

    def _stored_with_noise(self, x: Rows, seed: int) -> tuple[Tensor, Tensor]:
        """Return `x` as `_stored` does, and the noise (N, latent) of `seed`."""
        x = self._stored(x)
        return x, torch.randn(len(x), self.latent, generator=generator("cpu", seed, "encode"))

    def _checked_logits(self, logits: Tensor | None) -> Tensor:
        if logits is None:
            remedy = "train one that learns classes; models are listed by: genzoo list models"
            raise SettingsError("this model predicts no classes", remedy)
        classes = len(self.data.class_names)
        if logits.ndim != 2 or (classes and logits.shape[1] != classes):
            raise PluginError(
                f"the game's classify gave {tuple(logits.shape)}, expected (N, {classes or 'K'})",
                f"mend it there: {place_of(type(self.game), 'classify')}",
            )
        return logits

    def _check_condition(self, y: Tensor | None, rows: int) -> None:
        if y is None:
            return
        if not self.networks.is_conditional:
            raise SettingsError("this model takes no condition: it was trained without labels", "leave out y")
        if tuple(y.shape) != (rows, self.data.condition_size):
            raise SettingsError(
                f"y is {tuple(y.shape)}, expected ({rows}, {self.data.condition_size})",
                "give a row for every row of x or z: 1 at the class, or at every attribute that is on",
            )

    @torch.no_grad()
    def _decode(self, z: Tensor, y: Tensor | None) -> Tensor:
        with self._inference():
            return self.networks.decode(z, y)

    @torch.no_grad()
    def _encode(self, x: Tensor, noise: Tensor, y: Tensor | None) -> Code:
        with self._inference():
            return self.networks.encode(x, noise, y)

    @torch.no_grad()
    def _log_weight(self, x: Tensor, y: Tensor | None, *, seed: int, draw: int) -> Tensor | None:
        """Return the log weights (N,) of one draw of z per row of `x`."""
        source = generator("cpu", seed, "weigh", draw)
        noise, z = torch.randn(len(x), self.latent, generator=source), self.prior.draw(len(x), self.latent, source)
        draws = zip(self._in_parts(x, y), self._in_parts(noise, None), self._in_parts(z, None), strict=True)
        with self._inference():
            batches = [Batch(x=rows, z=z, noise=noise, y=row_y) for (rows, row_y), (noise, _), (z, _) in draws]
            parts = [self.game.log_weight(self.networks, batch, self.prior) for batch in batches]
        weights = [part for part in parts if part is not None]
        return torch.cat(weights) if weights else None

    @torch.no_grad()
    def _log_probability(self, x: Tensor, y: Tensor | None) -> Tensor | None:
        with self._inference():
            return self.game.log_probability(self.networks, x, y)

    @torch.no_grad()
    def _answers(
        self, rule: Callable[[Networks, Tensor, Tensor], Tensor | None], x: Rows, seed: int
    ) -> list[Tensor | None]:
        """Return what a rule of the game answers for the rows `x`, with the noise of `seed`, a part at a time."""
        x, noise = self._stored_with_noise(x, seed)
        parts = zip(self._in_parts(x, None), self._in_parts(noise, None), strict=True)
        with self._inference():
            return [rule(self.networks, rows, part_noise) for (rows, _), (part_noise, _) in parts]

    @torch.no_grad()
    def _features(self, x: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        with self._inference():
            return self.networks.features(x, y)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        before = self.networks.training
        self.networks.eval()
        try:
            with arithmetic(self.device):
                yield
        finally:
            self.networks.train(before)

    def _in_parts(self, rows: Tensor, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        for start in range(0, max(len(rows), 1), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            yield as_input(rows[part]).to(self.device), None if y is None else y[part].to(self.device)


def _other_shape(shape: tuple[int, ...], expected: tuple[int, ...]) -> SettingsError:
    """Return the error of an x of another shape than (N, *expected), with what mends it where that is plain."""
    text = ", ".join(map(str, ("N", *expected)))
    remedy = None
    if shape == expected:
        remedy = "this is a single x: give x[None]"
    elif len(expected) == 3 and shape[1:] == (*expected[1:], expected[0]):
        remedy = "the channels come last: give them after N, or give images of Pillow's"
    return SettingsError(f"x is {shape}, this model takes ({text})", remedy)


def _check_range(x: Tensor, data: DataSpec) -> None:
    """Raise `SettingsError` unless `x` is finite and, for images, in [0, 1]."""
    if not x.numel():
        return
    low, high = (float(end) for end in x.aminmax())  # of which one that is not a number makes both so
    if not math.isfinite(high - low):
        raise SettingsError("x holds numbers that are not finite", "leave out those rows")
    if data.support == "unit" and not 0 <= low <= high <= 1:
        remedy = "divide it by 255, or give it as uint8" if low >= 0 and 1 < high <= 255 else "scale it to [0, 1]"
        raise SettingsError(f"x runs from {low:.6g} to {high:.6g}, this model takes values in [0, 1]", remedy)


def _between(start: Tensor, end: Tensor, along: Tensor) -> Tensor:
    """Return (N·steps, …): for every pair of rows, the points at `along` (steps,) of the line between them."""
    return (start[:, None] + along[None, :, None] * (end - start)[:, None]).flatten(0, 1)
