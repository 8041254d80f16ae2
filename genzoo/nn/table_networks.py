"""Encoder, decoder and joint critic made of layer tables, wired as in the paper."""

from math import prod

import torch
from torch import Tensor

from genzoo.errors import SettingsError
from genzoo.nn.interfaces import Decoder, Encoder, JointCritic, row_wise
from genzoo.nn.layers import UntiedBias
from genzoo.nn.table_modules import Stack, build
from genzoo.nn.tables import Linear, Shape, Table
from genzoo.types import Code, DataSpec, Joint, Posterior, Sees, Verdict


@row_wise
class TableEncoder(Encoder):
    """An encoder of two tables: `body` reads x, `head` reads the body's output joined with y.

    For a `gaussian` posterior the head's output is [mean, log σ] (2·latent numbers), otherwise z (latent numbers).
    For an `implicit` posterior, which needs vector data, the body reads [x, noise] (D + latent numbers).
    """

    def __init__(
        self,
        data: DataSpec,
        *,
        latent: int,
        posterior: Posterior,
        body: Table,
        head: Table,
        condition: int = 0,
    ) -> None:
        super().__init__()
        given = data.shape
        if posterior == "implicit":
            if data.is_image:
                raise SettingsError(
                    "an implicit posterior reads [x, noise]: expected vector data, not images",
                    "choose another posterior: --set game.posterior=gaussian",
                )
            given = (data.shape[0] + latent,)
        self.posterior: Posterior = posterior
        self.body = build(body, given)
        joined = (self.body.output[0] + condition, *self.body.output[1:])
        numbers = 2 * latent if posterior == "gaussian" else latent
        self.head = build(head, joined, gives=(numbers, *(1 for _ in joined[1:])))

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code of `x` (N, *shape), with `noise` (N, latent) and the embedded `y` (N, condition) or None."""
        inputs = torch.cat([x, noise], dim=1) if self.posterior == "implicit" else x
        outputs = self.head(_join(self.body(inputs), y)).flatten(1)
        if self.posterior != "gaussian":
            return Code(z=outputs, mean=outputs if self.posterior == "point" else None)
        mean, log_std = outputs.chunk(2, dim=1)
        return Code(z=mean + log_std.exp() * noise, mean=mean, log_std=log_std)

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the preactivations of the body's rows, and the mean (N, latent); nothing for an implicit posterior."""
        if self.posterior == "implicit":
            return {}
        *rows, output = self.body.preactivations(x)
        features = {f"body.{number}": row for number, row in enumerate(rows, start=1)}
        outputs = self.head(_join(output, y)).flatten(1)
        return features | {"mean": outputs.chunk(2, dim=1)[0] if self.posterior == "gaussian" else outputs}


@row_wise
class TableDecoder(Decoder):
    """A decoder of one table that reads z joined with y.

    The last row must end in `Sigmoid` for data of `unit` support, and in `Identity` for `real` support.
    """

    def __init__(self, data: DataSpec, *, latent: int, table: Table, condition: int = 0) -> None:
        super().__init__(support=data.support)
        self.stack = build(table, _as_input(table, latent + condition), gives=data.shape)
        last = str(table[-1].nonlinearity)
        expected = "sigmoid" if data.support == "unit" else "linear"
        if last != expected:
            raise SettingsError(
                f"row {len(table)} ends in {last}, expected {expected} for {data.support} support",
                "change the nonlinearity of that row",
            )

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) before the output nonlinearity, for z (N, latent) and the embedded y (N, condition)."""
        return self.stack.logits(_join(z, y))

    def start_at_mean(self, images: Tensor) -> None:
        """Set the untied output bias to the log-odds of the mean of `images` (M, *shape) in [0, 1].

        Means are clipped to [1e-7, 1 − 1e-7], as in the official code.
        """
        biases = [module for module in self.stack.layers[-1].modules() if isinstance(module, UntiedBias)]
        with torch.no_grad():
            biases[0].bias.copy_(images.double().mean(0).clamp(1e-7, 1 - 1e-7).logit())


@row_wise
class TableCritic(JointCritic):
    """A critic of three tables: D(x, z) reads the outputs of D(x) and D(z), joined with y.

    A part that it does not see has no table; an empty table passes its part through.
    """

    def __init__(
        self,
        data: DataSpec,
        *,
        latent: int,
        x_table: Table,
        z_table: Table,
        joint_table: Table,
        sees: Sees = "xz",
        condition: int = 0,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.x = build(x_table, data.shape) if "x" in sees else None
        self.z = build(z_table, _as_input(z_table, latent)) if "z" in sees else None
        widths = [prod(stack.output) for stack in (self.x, self.z) if stack is not None]
        given = _as_input(joint_table, sum(widths) + condition)
        self.joint = build(joint_table, given, gives=(outputs, *(1 for _ in given[1:])))
        self.feature_size = prod(self.joint.cards[-1].given)

    def forward(self, joint: Joint) -> Verdict:
        """Return the verdict on every row of `joint`: logits (N,), or (N, outputs) for several outputs."""
        parts = [stack(part) for _, stack, part in self._seen(joint)]
        hidden = self.joint.until(_side_by_side(parts, joint.y), len(self.joint.layers) - 1)
        logits = self.joint.layers[-1](hidden).flatten(1)
        return Verdict(logits.squeeze(1) if logits.shape[1] == 1 else logits, hidden.flatten(1))

    def layers(self, joint: Joint) -> dict[str, Tensor]:
        """Return the outputs (N, …) of all rows but the last, which gives the logits, as `x.1`, `z.1`, `joint.1`.

        The last one is the verdict's features, where the joint table has a hidden row.
        """
        outputs: dict[str, Tensor] = {}
        parts: list[Tensor] = []
        for name, stack, part in self._seen(joint):
            of_rows = stack.outputs(part, len(stack.layers))
            outputs |= _numbered(name, of_rows)
            parts.append(of_rows[-1] if of_rows else part)
        joined = _side_by_side(parts, joint.y)
        return outputs | _numbered("joint", self.joint.outputs(joined, len(self.joint.layers) - 1))

    def _seen(self, joint: Joint) -> list[tuple[str, Stack, Tensor]]:
        """Return name, table and tensor (N, …) of the parts of `joint` that the critic has a table for."""
        seen = []
        for name, stack, part in (("x", self.x, joint.x), ("z", self.z, joint.z)):
            if stack is not None:
                assert part is not None
                seen.append((name, stack, part))
        return seen


def _as_input(table: Table, numbers: int) -> Shape:
    """Return the shape of a vector of so many numbers as `table` reads it: (numbers,), or (numbers, 1, 1) for maps."""
    return (numbers,) if not table or isinstance(table[0], Linear) else (numbers, 1, 1)


def _side_by_side(parts: list[Tensor], y: Tensor | None) -> Tensor:
    """Return the numbers of the parts (N, …) and of `y` (N, condition) as (N, numbers)."""
    return torch.cat([*(part.flatten(1) for part in parts), *([] if y is None else [y])], dim=1)


def _numbered(name: str, outputs: list[Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{number}": output for number, output in enumerate(outputs, start=1)}


def _join(values: Tensor, y: Tensor | None) -> Tensor:
    """Return (N, C + k, …): `values` (N, C, …) with `y` (N, k) as k more channels, constant over positions."""
    if y is None:
        return values
    maps = y.reshape(*y.shape, *(1 for _ in values.shape[2:])).expand(-1, -1, *values.shape[2:])
    return torch.cat([values, maps], dim=1)
