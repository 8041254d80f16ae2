"""What all image networks here share: an embedding of the condition, and a decoder that starts at the mean image."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from genzoo import Networks, SettingsError
from genzoo.nn import Architecture, LinearEmbedder, TableDecoder
from genzoo.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class ImageNetworks(Architecture):
    """Networks of layer tables for images in [0, 1], whose decoder ends in an untied bias."""

    embedding: int
    """Size of the embedded condition."""
    train_embedding: Literal["generator", "frozen"] = "generator"
    """Which player trains the embedding; `frozen`: none, as in the paper's code."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding < 1:
            raise ValueError(f"embedding is {self.embedding}, expected at least 1")

    def embedder(self, data: DataSpec) -> LinearEmbedder:
        """Return one linear map for all three networks."""
        return LinearEmbedder(data, self.embedding, trained=self.train_embedding == "generator")

    def initialise(self, networks: Networks, images: Tensor) -> None:
        """Start the decoder's output bias at the log-odds of the mean image."""
        if isinstance(networks.decoder, TableDecoder):
            networks.decoder.start_at_mean(images)


def halvings(data: DataSpec) -> int:
    """Return how often the sides of the images are halved down to 4; raise `SettingsError` if they never come to 4."""
    side = data.shape[-1]
    if not data.is_image or data.shape[1] != side or side < 8 or side & (side - 1):
        raise SettingsError(
            f"an x of these data is {'×'.join(map(str, data.shape))}, expected square images of side 8, 16, 32, 64 …",
            "choose another architecture: genzoo list architectures",
        )
    return side.bit_length() - 3
