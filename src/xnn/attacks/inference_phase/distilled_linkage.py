"""Linkage by distillation: learn from queries what a public recogniser says behind z.

The attacker sends its own photographs through the front end and learns, from each z, the embedding
that a public recogniser gives the same photograph: by ridge regression in its dual form, by a small
network, or by both. An intercepted z then becomes an embedding and is compared with the
recogniser's of the suspects' clean photographs, which never pass the front end.

Source: this project; the criterion is that of FaceLinkGen, arXiv:2602.02914.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import affordable, ask, no_queries, spread
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.embedding_reader import EmbeddingReader, ReaderSettings
from xnn.attacks.statistics.held_out import cosines
from xnn.schemes import SchemeCard


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkageSettings:
    """Strength of the attacker."""

    queries: int | None = None
    """Public photographs asked about; None takes all that the knowledge allows."""
    reader: ReaderSettings = field(default_factory=ReaderSettings)


@final
class DistilledLinkage(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="z-linkage",
        phase="inference",
        goal="linkage",
        summary="learns a public recogniser's embedding from queried z, matches clean photographs",
        source="this project; criterion of arXiv:2602.02914",
        learned=True,
    )

    def __init__(self, settings: LinkageSettings | None = None) -> None:
        self._settings = settings or LinkageSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a front end to query."""
        return no_queries(observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Query, learn, match.

        Raises:
            InsufficientDataError: No front end, or fewer than 8 photographs may be asked about.

        Trust: adversary.
        """
        settings = self._settings
        num = affordable(observation, settings.queries, gallery=False)
        asked = ask(observation, spread(observation.public, num, seed=seed))
        faces = asked.faces
        reader = EmbeddingReader.fit(
            asked.records, faces.embeddings, faces.labels, seed=seed, settings=settings.reader
        )
        gallery = observation.gallery.embeddings - reader.centre
        return Answer(
            scores=cosines(reader.read(observation.probe_records), gallery),
            details={"queries": len(asked), **reader.details()},
        )
