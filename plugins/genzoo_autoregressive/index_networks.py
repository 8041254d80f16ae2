"""Encoder and decoder of the indices of a code's rows: by their distribution functions, index after index."""

import torch
from torch import Tensor, nn

from genzoo.nn import Decoder, Encoder, at_least_float32
from genzoo.types import Code
from genzoo_autoregressive.codebook import Codebook, QuantisedEncoder
from genzoo_autoregressive.masked import MaskedNetwork
from genzoo_autoregressive.quantiles import code_of, index_of


class IndexNetwork(nn.Module):
    """A masked network of the indices of a code's rows: what it says of one depends on those before it alone."""

    def __init__(self, codes: int, rows: int, *, width: int, layers: int, dropout: float) -> None:
        """Take `codes` indices below `rows`, each by `width` numbers."""
        super().__init__()
        self.codes = codes
        self.embedding = nn.Embedding(rows, width)
        self.network = MaskedNetwork(codes, inputs=width, outputs=rows, width=width, layers=layers, dropout=dropout)

    def forward(self, indices: Tensor) -> Tensor:
        """Return ln P (N, codes, rows) of all rows at every place of `indices` (N, codes) given those before it."""
        logits: Tensor = self.network(self.embedding(indices).flatten(1))
        return at_least_float32(logits).log_softmax(-1)


class CodebookEncoder(Encoder):
    """Takes every index of a quantised code to a point of its interval under the network's distribution function."""

    def __init__(self, network: IndexNetwork, encoder: QuantisedEncoder) -> None:
        super().__init__()
        self.network, self.encoder = network, encoder

    @torch.no_grad()
    def indices(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the indices (N, codes) of the rows that the quantised encoder gives `x` (N, *shape)."""
        return self.encoder.codebook.nearest(self.encoder.pieces(x, noise))

    def forward(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Code:
        """Return the code (N, codes) of `x` (N, *shape), whose place in each interval `noise` (N, codes) decides."""
        indices = self.indices(x, noise)
        return Code(z=code_of(self.network(indices), indices, noise))

    def features(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return those of the quantised encoder."""
        return self.encoder.features(x, y)


class CodebookDecoder(Decoder):
    """Draws index after index by the inverse distribution function at Φ(z), and decodes the rows of a codebook."""

    def __init__(self, network: IndexNetwork, codebook: Codebook, decoder: Decoder) -> None:
        super().__init__(support=decoder.support)
        self.network, self.codebook, self.decoder = network, codebook, decoder
        self.evaluations = network.codes + 1

    @torch.no_grad()
    def indices(self, z: Tensor) -> Tensor:
        """Return the indices (N, codes) that `z` (N, codes) stands for."""
        indices = torch.zeros_like(z, dtype=torch.long)
        for place in range(z.shape[1]):
            indices[:, place] = index_of(self.network(indices)[:, place], z[:, place])
        return indices

    def logits(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the decoder's answer (N, *shape) before its output nonlinearity, for `z` (N, codes)."""
        return self.decoder.logits(self.codebook(self.indices(z)).flatten(1), y)
