"""Schedules: which players move in which step of an adversarial game."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from genzoo.components import Component


@dataclass(frozen=True, kw_only=True)
class Schedule(Component):
    """A function from the step's number to its movers."""

    @abstractmethod
    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the players that move in `step` (counted from 0)."""


@dataclass(frozen=True, kw_only=True)
class Simultaneous(Schedule):
    """All players move in every step, from gradients at the same parameters, as in the paper."""

    name: ClassVar[str] = "simultaneous"

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return all players."""
        return tuple(players)


@dataclass(frozen=True, kw_only=True)
class Alternating(Schedule):
    """`critic_steps` steps of the critic, then one step of all other players."""

    name: ClassVar[str] = "alternating"
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if self.critic_steps < 1:
            raise ValueError(f"critic_steps is {self.critic_steps}, expected at least 1")

    def movers(self, step: int, players: Sequence[str]) -> tuple[str, ...]:
        """Return the critic, or the others in every (critic_steps + 1)-th step."""
        critics_turn = step % (self.critic_steps + 1) < self.critic_steps
        return tuple(player for player in players if (player == "critic") == critics_turn)
