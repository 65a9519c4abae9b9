"""Whoever holds the student: it recognises, and so it recognises for the thief of it too.

The server's tail turns intercepted z into embeddings; the gallery is enrolled through the front
end, or, where that cannot be asked, from clean features if the tail can read those. No front end
can prevent this: it is reported beside the others, since a recogniser must recognise.

Source: this project (method.md, 8.3.35).
"""

from pathlib import Path
from typing import final

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.inference_phase.queries import ask, no_queries
from xnn.attacks.inference_phase.tail_training import matched
from xnn.attacks.observation import Observation
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard


@final
class WhiteBoxStudent(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="white-box-student",
        phase="inference",
        goal="linkage",
        summary="holds the server's student: embeds intercepted z and the queried gallery with it",
        source="this project",
        needs_tail=True,
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without a student, or without anything to enrol."""
        if observation.tail is None:
            return "needs the server's student"
        return None if _can_enrol(observation) else "cannot enrol the gallery"

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Enrol the gallery and search it as the server would.

        Raises:
            InsufficientDataError: No student, or the gallery cannot be enrolled.

        Trust: adversary, with the server's half.
        """
        student = observation.tail
        if student is None or not _can_enrol(observation):
            raise InsufficientDataError(
                "no student, or no way to enrol the gallery; grant the tail and queries for each "
                "of the suspects' photographs"
            )
        enrolled, asked = observation.gallery.tokens, 0
        if _can_query(observation):
            enrolled = ask(observation, observation.gallery).records
            asked = len(enrolled)
        scores = matched(student, observation.probe_records, enrolled)
        return Answer(scores=scores, details={"queries": asked})


def _can_query(observation: Observation) -> bool:
    enough = observation.knowledge.chosen_inputs >= len(observation.gallery)
    return no_queries(observation) is None and enough


def _can_enrol(observation: Observation) -> bool:
    same = observation.records.shape[1:] == observation.gallery.tokens.shape[1:]
    return same or _can_query(observation)
