"""Membership without a key: read the records by learned alignment, and ask whom they resemble.

`membership-tail` and `membership-record` need a way from a photograph to a record. Where no key is
recovered and nothing may be asked, the other way is left: records are read as embeddings, as
`learned_alignment.py` reads them, and averaged over each class. A candidate is likely a member
where one of the classes resembles its photograph more than it resembles most candidates.

Source: this project.
"""

from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation
from xnn.attacks.training_phase.learned_alignment import AlignmentSettings, LearnedAlignment
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST = 4


@final
class AlignedMembership(Attack):
    """The attack; see the module.

    Args:
        settings: Effort of the alignment; by default half of what linkage is given.
    """

    card = AttackCard(
        name="membership-aligned",
        phase="training",
        goal="membership",
        summary="tells photographs that were used by their likeness to classes that "
        "`learned-alignment` read, without a key, a query or a pair",
        source="this project",
    )

    def __init__(self, settings: AlignmentSettings | None = None) -> None:
        self._alignment = LearnedAlignment(settings or AlignmentSettings(keys=3, kept=2))

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse what learned alignment refuses."""
        return self._alignment.refusal(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Read all records, and compare every candidate with every class.

        Args:
            observation: Needs candidates; without class numbers each record is a class of its own.
            seed: Of the alignment.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few candidates, records or public faces; says how many are
                needed.

        Trust: adversary.
        """
        candidates = observation.candidates
        count = 0 if candidates is None else len(candidates)
        if candidates is None or count < _FEWEST:
            raise InsufficientDataError(
                f"{count} candidates; likeness beside the others needs at least {_FEWEST}"
            )
        everything = np.arange(len(observation.records))
        asked = replace(observation, probes=everything, gallery=candidates)
        found = self._alignment.run(asked, seed=seed, work_dir=work_dir)
        if found.scores is None:
            raise InsufficientDataError("the alignment read 0 records; it needs at least 1")
        labels = everything if observation.labels is None else observation.labels
        return Answer(
            membership=likeness(found.scores.astype(np.float64), labels), details=found.details
        )


def likeness(scores: Float64[np.ndarray, "r c"], labels: np.ndarray) -> Float64[np.ndarray, " c"]:
    """Return how much the likeliest class resembles each candidate, by that class's own measure.

    Args:
        scores: Of records and candidates.
        labels: Class of each record.
    """
    _, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(sizes), scores.shape[1]))
    np.add.at(means, members, scores)
    means /= sizes[:, None]
    # a class near everybody tells nothing of anybody
    usual = means.mean(axis=1, keepdims=True)
    spread = np.maximum(means.std(axis=1, keepdims=True), 1e-12)
    best: Float64[np.ndarray, " c"] = ((means - usual) / spread).max(axis=0)
    return best
