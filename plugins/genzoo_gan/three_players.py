"""Games of three players: the critic of a GAN, its decoder, and an encoder that the critic is not shown."""

from dataclasses import dataclass

from genzoo import AdversarialGame, Joint, Networks
from genzoo.games import Players
from genzoo.types import Batch


@dataclass(frozen=True, kw_only=True)
class ThreePlayers(AdversarialGame):
    """A GAN of critic and decoder with an encoder, each a player of its own."""

    def players(self, networks: Networks) -> Players:
        """Return every network as a player."""
        return {name: list(networks.get_submodule(name).parameters()) for name in ("critic", "encoder", "decoder")}

    def q(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x from the data."""
        return Joint(x=batch.x)

    def p(self, networks: Networks, batch: Batch) -> Joint:
        """Draw x̃ from the decoder."""
        return Joint(x=networks.decode(batch.z))
