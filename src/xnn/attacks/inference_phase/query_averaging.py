"""Averaging over repeated queries, where the front end draws its noise anew each time.

The same public photograph is sent several times and its z are averaged, which leaves what the face
itself contributes. The reader (see `z-linkage`) learns from the averages, and is chosen by how well
it reads single z, since a probe is intercepted once. A first photograph sent twice tells whether
the front end is random at all; where it is not, each photograph is sent once.

Source: this project (redteam.md, A8e).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import affordable, ask, no_queries, spread
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.embedding_reader import EmbeddingReader, ReaderSettings
from xnn.attacks.statistics.held_out import cosines
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SchemeCard

_TRIAL = 2
"""Queries that tell whether the front end is random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragingSettings:
    """Strength of the attacker.

    Raises:
        ConfigError: Fewer than 1 repeat.
    """

    repeats: int = 4
    """Queries per photograph."""
    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""
    reader: ReaderSettings = field(
        default_factory=lambda: ReaderSettings(strengths=(1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0))
    )

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ConfigError(f"repeats={self.repeats}; ask about each photograph once or more")


@final
class QueryAveraging(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="query-averaging",
        phase="inference",
        goal="linkage",
        summary="averages repeated queries of public faces, learns to read single z from them",
        source="this project",
        learned=True,
    )

    def __init__(self, settings: AveragingSettings | None = None) -> None:
        self._settings = settings or AveragingSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query again and again, average, learn, match clean photographs.

        Raises:
            InsufficientDataError: No front end, or too few queries to learn from.

        Trust: adversary.
        """
        settings, public = self._settings, observation.public
        allowed = observation.knowledge.chosen_inputs
        if observation.oracle is None or allowed <= _TRIAL:
            raise InsufficientDataError(f"{allowed} queries; averaging needs more than {_TRIAL}")
        one, two = (ask(observation, public.at(np.array([0]))).records for _ in range(_TRIAL))
        is_random = not np.array_equal(one, two)
        repeats = settings.repeats if is_random else 1
        num = affordable(
            observation, settings.queries, gallery=False, repeats=repeats, spent=_TRIAL
        )
        faces = spread(public, num, seed=seed)
        single = ask(observation, faces).records
        mean = single
        if repeats > 1:
            rest = ask(observation, faces, repeats=repeats - 1).records
            mean = (single + (repeats - 1) * rest) / np.float32(repeats)
        reader = EmbeddingReader.fit(
            mean,
            faces.embeddings,
            faces.labels,
            seed=seed,
            settings=settings.reader,
            single=single,
        )
        return Answer(
            scores=cosines(
                reader.read(observation.probe_records),
                observation.gallery.embeddings - reader.centre,
            ),
            details={
                "queries": _TRIAL + repeats * len(faces),
                "random": is_random,
                "repeats": repeats,
                **reader.details(),
            },
        )
