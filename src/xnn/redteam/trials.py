"""What a board tries: an attack with what it is granted, and what its answer is first judged by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.suite import ATTACKS, find_attack
from xnn.errors import ConfigError

PAIRS = (1, 4, 16, 100)
"""Known pairs that attacks on pairs are granted, one trial each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One column of a board."""

    attack: str
    knowledge: Knowledge

    @property
    def name(self) -> str:
        """Name of the column, as in "known-plaintext, 16 pairs"."""
        parts = [self.attack]
        if self.knowledge.known_pairs:
            parts.append(f"{self.knowledge.known_pairs} pairs")
        if self.knowledge.chosen_inputs:
            parts.append(f"{self.knowledge.chosen_inputs} chosen")
        if self.knowledge.public_faces != "other_collection":
            parts.append(self.knowledge.public_faces.replace("_", " "))
        if self.knowledge.records is not None:
            parts.append(f"{self.knowledge.records} records")
        return ", ".join(parts)


def plan(
    attacks: Sequence[str], *, base: Knowledge | None = None, pairs: Sequence[int] = PAIRS
) -> tuple[Trial, ...]:
    """Return the trials of some attacks: one each, or one for each number of known pairs.

    Args:
        attacks: Names; "all" stands for every attack on the training phase.
        base: What every attacker is granted; the default is K2.
        pairs: Numbers of known pairs for the attacks that use them.

    Raises:
        ConfigError: There is no such attack, or it belongs to the inference phase.
    """
    base = base or Knowledge()
    names = [
        name
        for wanted in attacks
        for name in (_of_training() if wanted == "all" else [find_attack(wanted).card.name])
    ]
    trials: list[Trial] = []
    for name in dict.fromkeys(names):
        card = ATTACKS[name].card
        if card.phase != "training":
            raise ConfigError(
                f"attack {name!r} is on the inference phase; `xnn bench noise` runs it"
            )
        if card.uses_pairs:
            granted = [replace(base, known_pairs=number) for number in pairs]
        elif card.queries:
            granted = [replace(base, chosen_inputs=card.queries)]
        elif card.counts_error is not None:
            granted = [replace(base, suspect_counts_error=card.counts_error)]
        else:
            granted = [base]
        trials += [Trial(attack=name, knowledge=knowledge) for knowledge in granted]
    return tuple(trials)


def _of_training() -> list[str]:
    return [name for name, attack in ATTACKS.items() if attack.card.phase == "training"]
