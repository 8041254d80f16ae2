"""Codebooks: vectors that stand for the pieces of a code, and an encoder that gives them alone."""

import torch
from torch import Tensor, nn

from genzoo.nn import Encoder, at_least_float32, keeps_start
from genzoo.types import Code


@keeps_start
class Codebook(nn.Embedding):
    """K rows of numbers, which start as close to 0 as in the authors' code: uniform within 1/K."""

    def __init__(self, rows: int, size: int) -> None:
        """Make `rows` rows of `size` numbers."""
        super().__init__(rows, size)
        nn.init.uniform_(self.weight, -1 / rows, 1 / rows)

    @torch.no_grad()
    def nearest(self, pieces: Tensor) -> Tensor:
        """Return the indices (N, codes) of the rows nearest to `pieces` (N, codes, size)."""
        distances = torch.cdist(pieces, self.weight, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(-1)


class QuantisedEncoder(Encoder):
    """An encoder whose code, piece by piece, is the nearest row of a codebook.

    Gradients pass through it as if it left the code as it was (straight-through), so the codebook gets none from z.
    """

    def __init__(self, encoder: Encoder, codebook: Codebook) -> None:
        super().__init__()
        self.encoder, self.codebook = encoder, codebook

    def pieces(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the code of `x` (N, *shape) before the codebook, in pieces (N, codes, size)."""
        z = at_least_float32(self.encoder(x, noise, y).z)
        return z.view(len(z), -1, self.codebook.embedding_dim)

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code (N, codes·size) of `x` (N, *shape), of rows of the codebook."""
        pieces = self.pieces(x, noise, y)
        return Code(z=straight_through(pieces, self.codebook(self.codebook.nearest(pieces))).flatten(1))

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return those of the encoder."""
        return self.encoder.features(x, y)


def straight_through(pieces: Tensor, rows: Tensor) -> Tensor:
    """Return `rows` exactly, with the gradient of `pieces`, both (N, codes, size)."""
    return rows.detach() + (pieces - pieces.detach())


def perplexity(indices: Tensor, rows: int) -> Tensor:
    """Return e^H () of how often each of `rows` rows is among `indices` (N, codes): from 1 to the number of rows."""
    is_row = indices.flatten().unsqueeze(1) == torch.arange(rows, device=indices.device)
    entropy: Tensor = torch.special.entr(is_row.float().mean(0)).sum()
    return entropy.exp()
