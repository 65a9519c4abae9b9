"""What an attacker holds, and what it answers. The truth is with the judge, never here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Float32

from xnn.training.source import RecordSource
from xnn.types import TokenShape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """All that crossed the border, and what the stated knowledge grants on top.

    The scheme and the extractor are public (Kerckhoffs); keys, and the truth about the probes,
    are not here.
    """

    scheme: str
    """Name of the scheme the records were made with."""
    shape: TokenShape
    records: Float32[np.ndarray, "q n d"]
    """Stolen records of unknown subjects, made under the owner's key."""
    gallery: Float32[np.ndarray, "g n d"]
    """Features of clean photographs of the suspects: the attacker ran the public extractor."""
    public: RecordSource
    """Features of faces of the attacker's own, other people than the suspects."""
    public_val: RecordSource | None
    """More of those, of people not in `public`, to choose the attacker's model on."""
    knowledge: str
    """Level K0 to K6 of the threat model, in words of its own for the report."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackResult:
    """What an attack answers: how alike each record and each suspect are."""

    attack: str
    scores: Float[np.ndarray, "q g"]
    """Higher = more alike."""
    details: dict[str, Any]
    """What the attack noticed on its way, for the report."""


class Attack(Protocol):
    """Settings in the constructor; everything about the victim in the observation."""

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> AttackResult:
        """Attack.

        Args:
            observation: See there.
            seed: Makes the attack repeatable; never a key of anybody but the attacker.
            work_dir: New folder for models and logs.
        """
