"""Encoder and decoder of a flow: the same differential equation, solved in both directions of time."""

from torch import Tensor

from genzoo.nn import Decoder, Encoder, Field
from genzoo.types import Code, DataSpec, Support
from genzoo_flow.solvers import Solver


def scaled(x: Tensor, support: Support) -> Tensor:
    """Return x as the flow sees it: images in [−1, 1], vectors as they are."""
    return 2 * x - 1 if support == "unit" else x


def as_data(x: Tensor, support: Support) -> Tensor:
    """Return x of the flow as data: images cut off at 0 and 1, vectors as they are."""
    return ((x + 1) / 2).clamp(0, 1) if support == "unit" else x


class FlowEncoder(Encoder):
    """Takes x back in time, from 1 to 0; the noise is not read."""

    def __init__(self, field: Field, data: DataSpec, *, solver: Solver) -> None:
        super().__init__()
        self.field, self._solver, self._support = field, solver, data.support

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the one z (N, latent) of every `x` (N, *shape)."""
        start = scaled(x, self._support)
        z = self._solver.integrate(lambda x, t: self.field(x, t, y), start, start=1.0, end=0.0).flatten(1)
        return Code(z=z, mean=z)


class FlowDecoder(Decoder):
    """Takes z forward in time, from 0 to 1."""

    def __init__(self, field: Field, data: DataSpec, *, solver: Solver) -> None:
        super().__init__(support=data.support)
        self.field, self._solver, self._shape = field, solver, data.shape
        self.evaluations = solver.evaluations

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return where the flow ends (N, *shape): for images in [−1, 1], or outside by what the field lacks."""
        start = z.view(-1, *self._shape)
        return self._solver.integrate(lambda x, t: self.field(x, t, y), start, start=0.0, end=1.0)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x (N, *shape) of z (N, latent), where images are cut off at 0 and 1."""
        return as_data(self.logits(z, y), self.support)
