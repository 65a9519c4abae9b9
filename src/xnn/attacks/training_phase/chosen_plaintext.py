"""Chosen plaintext: ask the owner's system for records of pictures of one's own, and solve.

Any user of an app that keys what it sees can ask. Queries are spent on the pictures that tell most
(`xnn.attacks.statistics.query_design`): the attacker's own faces, and, where it can run the
extractor on them, pictures that are no faces. With queries to spare, faces follow, on which
features are learned from records whatever the key does to them.

Source: this project (redteam.md, A5 and K5).
"""

from pathlib import Path
from typing import final

import numpy as np

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import KnownPairs, Observation, OwnFaces
from xnn.attacks.statistics.query_design import choose_queries, made_up_pictures
from xnn.attacks.training_phase.known_plaintext import answer_from_pairs, refused_pairs
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_ROWS_PER_CHANNEL = 2.0
"""Tokens asked for by design, over the width of a token."""
_OFFERED_FACES = 150
_OFFERED_OTHERS = 80
_BATCH = 128


@final
class ChosenPlaintext(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="chosen-plaintext",
        phase="training",
        goal="linkage",
        summary="asks for records of pictures that tell most of the key, and solves for it",
        source="this project",
        queries=32,
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Refuse without the owner's system, and without photographs to ask it."""
        if observation.oracle is None or observation.knowledge.chosen_inputs == 0:
            return "no queries"
        if scheme is None or scheme.mixes:
            return "a record is not that of one photograph under a key"
        if len(observation.public) == 0:
            return "no photographs to ask for"
        return refused_pairs(scheme, observation, observation.knowledge.chosen_inputs)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Spend all queries, then do as known plaintext does.

        Raises:
            InsufficientDataError: No queries or no photographs of one's own.

        Trust: adversary.
        """
        budget = observation.knowledge.chosen_inputs
        if observation.oracle is None or budget == 0 or len(observation.public) == 0:
            raise InsufficientDataError("chosen-plaintext needs at least 1 query and 1 photograph")
        offered = _offered(observation, seed)
        wanted = round(_ROWS_PER_CHANNEL * observation.shape.d)
        rows = choose_queries(offered.tokens, budget, rows_wanted=wanted)
        asked = offered.at(rows)
        records = np.concatenate(
            [
                observation.oracle(asked.crops[start : start + _BATCH])
                for start in range(0, len(asked), _BATCH)
            ]
        )
        answer = answer_from_pairs(observation, KnownPairs(faces=asked, records=records), seed=seed)
        answer.details["queries"] = len(asked)
        answer.details["made_up"] = int(np.sum(asked.labels < 0))
        return answer


def _offered(observation: Observation, seed: int) -> OwnFaces:
    """Return what could be asked for: some faces, made-up pictures (label -1), the other faces."""
    public = observation.public
    order = np.random.default_rng(seed).permutation(len(public))
    faces = public.at(order)
    if observation.extract is None:
        return faces
    crops = made_up_pictures(public.crops, _OFFERED_OTHERS, seed=seed)
    others = OwnFaces(
        crops=crops,
        tokens=observation.extract(crops),
        embeddings=np.zeros((len(crops), public.embeddings.shape[1]), dtype=np.float32),
        labels=np.full(len(crops), -1, dtype=np.int64),
    )
    parts = [faces.at(np.arange(min(_OFFERED_FACES, len(faces)))), others]
    parts.append(faces.at(np.arange(min(_OFFERED_FACES, len(faces)), len(faces))))
    return OwnFaces(
        crops=np.concatenate([part.crops for part in parts]),
        tokens=np.concatenate([part.tokens for part in parts]),
        embeddings=np.concatenate([part.embeddings for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )
