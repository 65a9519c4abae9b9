"""The gallery through the same noise: z of the suspects' photographs, matched with z directly.

No model and no public face. Where the noise is a function of the face, mated z carry mated noise;
where it is drawn anew each time, repeated queries average it out of the gallery, not of the probe.

Source: this project (redteam.md, A8d).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import ask, no_queries
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.dual_ridge import Standardiser
from xnn.attacks.statistics.held_out import cosines
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyGallerySettings:
    """Strength of the attacker.

    Raises:
        ConfigError: Fewer than 1 repeat.
    """

    repeats: int = 1
    """Queries per photograph of the gallery, averaged; fewer where the knowledge allows fewer."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ConfigError(f"repeats={self.repeats}; ask about each photograph once or more")


@final
class NoisyGallery(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="noisy-gallery",
        phase="inference",
        goal="linkage",
        summary="sends the gallery through the front end and compares z with z",
        source="this project",
    )

    def __init__(self, settings: NoisyGallerySettings | None = None) -> None:
        self._settings = settings or NoisyGallerySettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Enrol the gallery and compare.

        Raises:
            InsufficientDataError: No front end, or fewer queries than the gallery has photographs.

        Trust: adversary.
        """
        size = len(observation.gallery)
        repeats = min(self._settings.repeats, observation.knowledge.chosen_inputs // size)
        if repeats < 1:
            raise InsufficientDataError(
                f"{observation.knowledge.chosen_inputs} queries, enrolling the gallery takes {size}"
            )
        gallery = ask(observation, observation.gallery, repeats=repeats)
        standardise = Standardiser.of(np.concatenate([observation.records, gallery.records]))
        return Answer(
            scores=cosines(standardise(observation.probe_records), standardise(gallery.records)),
            details={"queries": size * repeats, "repeats": repeats},
        )
