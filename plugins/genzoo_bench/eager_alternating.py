"""The loop of a tutorial: the critic's step, then the generator's, in fp32, with the losses fetched every step."""

from genzoo import AdversarialGame, Game, Joint
from genzoo_bench.loop import Rows, Start

_PLAYERS = ("critic", "generator")


class EagerAlternating:
    """Separate passes of the critic over both sides, and a fresh one for the generator; torch's default Adam."""

    name = "eager-alternating"

    @staticmethod
    def obstacle(game: Game) -> str | None:
        """Return why a game cannot be trained by this loop, or None."""
        if not isinstance(game, AdversarialGame):
            return "it has no critic"
        extra = game.penalty or game.augment or type(game).generator_cost is not AdversarialGame.generator_cost
        if game.has_own_losses or extra:
            return "it has losses, such as a penalty, or an augmentation that this loop does not have"
        if game.movers(0, _PLAYERS) != _PLAYERS:
            return "its players take turns: a step of the engine moves one of them"
        return None

    def __init__(self, start: Start) -> None:
        assert isinstance(start.game, AdversarialGame)
        self._game = start.game
        self._networks = start.networks
        self._rows = Rows(start)
        self._optimizers = start.optimizers()
        self.losses: list[tuple[float, float]] = []

    def take_step(self) -> None:
        """Take one step of each player."""
        objective, networks = self._game.objective, self._networks
        batch = self._rows.draw()
        q, p = self._game.q(networks, batch), self._game.p(networks, batch)

        on_q = networks.judge(detached(q)).logits
        on_p = networks.judge(detached(p)).logits
        critic_loss = objective.critic(on_q, on_p)
        self._optimizers["critic"].zero_grad()
        critic_loss.backward()  # type: ignore[no-untyped-call]
        self._optimizers["critic"].step()

        generator_loss = objective.generator(networks.judge(q).logits, networks.judge(p).logits)
        self._optimizers["generator"].zero_grad()
        generator_loss.backward()  # type: ignore[no-untyped-call]
        self._optimizers["generator"].step()

        self.losses.append((critic_loss.item(), generator_loss.item()))


def detached(joint: Joint) -> Joint:
    """Return a joint sample that no gradient goes through."""
    return Joint(*(None if part is None else part.detach() for part in joint))
