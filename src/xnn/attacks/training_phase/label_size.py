"""Label sizes: how many records a class has tells who it is, if one knows how many to expect.

No record is looked at. The attacker knows about how many photographs of each suspect the owner has
(from public pages, rosters, visits); class numbers came with the records, as training needs them.

Source: this project (method.md 8.1.5; redteam.md, A15).
"""

from pathlib import Path
from typing import final

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_evidence import share_out
from xnn.attacks.training_phase.class_averaging import scores_of_probes
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard, find_scheme

_EXACT = 0.01
"""Error taken for counts that are said to be exact: ties must not divide by zero."""


@final
class LabelSize(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="label-size",
        phase="training",
        goal="classes",
        summary="matches the sizes of classes with how many photographs each suspect has",
        source="this project",
        counts_error=0.1,
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without class numbers or without an idea of the suspects' counts."""
        if observation.labels is None:
            return "no class numbers came with the records"
        if observation.suspect_counts is None:
            return "no idea of how many photographs each suspect has"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Match sizes of classes with counts of suspects.

        Raises:
            InsufficientDataError: No class numbers, or not a count for each suspect.

        Trust: adversary.
        """
        people = np.unique(observation.gallery.labels)
        counts = observation.suspect_counts
        if observation.labels is None or counts is None or len(counts) != len(people):
            raise InsufficientDataError(
                f"label-size needs class numbers and a count for each of {len(people)} suspects"
            )
        sizes = np.unique(observation.labels, return_counts=True)[1]
        if observation.scheme:
            most = find_scheme(observation.scheme).card.photographs_per_class
            counts = counts if most is None else counts / np.maximum(1, np.ceil(counts / most))
        error = max(observation.knowledge.suspect_counts_error or 0.0, _EXACT)
        apart = np.log(sizes)[:, None] - np.log(np.maximum(counts, 0.5))[None, :]
        likely = share_out(-0.5 * np.square(apart / error))
        return Answer(
            scores=scores_of_probes(observation, likely),
            classes=likely,
            details={"distinct_sizes": len(np.unique(sizes)), "classes": len(sizes)},
        )
