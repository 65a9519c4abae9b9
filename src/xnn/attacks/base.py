"""What an attack is: settings in the constructor, all about the victim in the observation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xnn.attacks.answer import Answer
from xnn.attacks.observation import Observation
from xnn.schemes import SchemeCard

Phase = Literal["training", "inference"]
Goal = Literal["linkage", "unlinkability", "membership", "classes"]
"""Which part of the answer the attack is judged by first: who is on a record; which records of two
uploads show one person; whether a photograph was used; which person a class number is."""


HEADLINES: dict[Goal, str] = {
    "linkage": "rank_1",
    "unlinkability": "d_sys",
    "membership": "auc",
    "classes": "accuracy",
}
"""The metric, of the protocol named like the goal, by which an attack is judged first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackCard:
    """What everybody should know of an attack."""

    name: str
    phase: Phase
    goal: Goal
    summary: str
    """One sentence: what it does with what it holds."""
    source: str
    """Paper, or "this project"."""
    learned: bool = False
    """Whether it trains a network: slower, and dependent on its budget."""
    control: str = "plain"
    """The scheme that the attack must break, or it is not working."""
    needs_tail: bool = False
    """Whether it reads the tail that the cloud trained; one is trained only where it is read."""
    uses_pairs: bool = False
    """Whether it rests on known pairs: a board tries it with several numbers of them."""
    queries: int = 0
    """Records of photographs of its own choice that a board grants it; 0 where it asks for none."""
    counts_error: float | None = None
    """How far off the idea of class sizes is that a board grants it; None: it has none."""


class Attack(ABC):
    """One way to learn from records who is on them. It draws keys of its own, never the owner's."""

    card: AttackCard

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here, in a few words; None when it can.

        Args:
            scheme: Card of the scheme; None for a front end that is no keyed scheme.
            observation: What would be attacked.
        """
        return None

    @abstractmethod
    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Attack.

        Args:
            observation: See there.
            seed: Makes the attack repeatable; never a key of anybody but the attacker.
            work_dir: New folder for models and logs.

        Raises:
            InsufficientDataError: Too few records, pairs or public faces; says how many it needs.

        Trust: adversary.
        """
