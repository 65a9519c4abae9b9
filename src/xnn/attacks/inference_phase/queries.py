"""Asking the front end: which photographs, how many, within what the knowledge allows.

A query is one photograph turned into z; asking twice about one photograph is two queries.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from xnn.attacks.observation import Observation, OwnFaces
from xnn.errors import InsufficientDataError

_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Queried:
    """Photographs of the attacker's own and what the front end made of them, row by row."""

    faces: OwnFaces
    records: Float32[np.ndarray, "b m e"]

    def __len__(self) -> int:
        return len(self.records)

    def as_faces(self) -> OwnFaces:
        """Return the photographs with z in place of the clean features."""
        return self.faces.with_tokens(self.records)


def no_queries(observation: Observation) -> str | None:
    """Say that the front end cannot be asked, for an attack's refusal; None when it can."""
    if observation.oracle is None or observation.knowledge.chosen_inputs < 1:
        return "needs a front end to query"
    return None


def ask(observation: Observation, faces: OwnFaces, *, repeats: int = 1) -> Queried:
    """Turn photographs into z, each one `repeats` times and averaged.

    Raises:
        InsufficientDataError: There is no front end to ask, or it refuses more queries.
    """
    oracle = observation.oracle
    if oracle is None:
        raise InsufficientDataError(
            "the attacker may not query the front end; grant chosen_inputs in its knowledge"
        )
    parts = []
    for start in range(0, len(faces), _BATCH):
        crops = faces.crops[start : start + _BATCH]
        total = np.array(oracle(crops), dtype=np.float64)
        for _ in range(repeats - 1):
            total += oracle(crops)
        parts.append((total / repeats).astype(np.float32))
    return Queried(faces=faces, records=np.concatenate(parts))


def affordable(
    observation: Observation,
    wanted: int | None,
    *,
    gallery: bool,
    repeats: int = 1,
    spent: int = 0,
) -> int:
    """Return how many public photographs can be asked about.

    Args:
        observation: Its knowledge sets the limit.
        wanted: Photographs asked for; None takes all that the limit and the public set allow.
        gallery: Whether the gallery's photographs are asked about too; they come first.
        repeats: Queries per photograph.
        spent: Queries made already.
    """
    limit = (observation.knowledge.chosen_inputs - spent) // repeats
    if gallery:
        limit -= len(observation.gallery)
    allowed = max(0, min(limit, len(observation.public)))
    return allowed if wanted is None else min(allowed, wanted)


def whole_people(faces: OwnFaces, num: int, *, seed: int) -> OwnFaces:
    """Return at most `num` photographs, all of a person or none, labels numbered anew.

    People come in random order; the last one may be cut to the photographs left, if at least two.

    Raises:
        InsufficientDataError: Fewer than 4 photographs may be had.
    """
    if num < 4:
        raise InsufficientDataError(f"training asks for at least 4 photographs, {num} may be had")
    rng = np.random.default_rng(seed)
    order = _by_person(faces.labels, rng)[:num]
    people, counts = np.unique(faces.labels[order], return_counts=True)
    kept = order[np.isin(faces.labels[order], people[counts >= 2])]
    return faces.at(np.sort(kept)).renumbered()


def spread(faces: OwnFaces, num: int, *, seed: int) -> OwnFaces:
    """Return at most `num` photographs of as many people as possible, labels numbered anew."""
    rng = np.random.default_rng(seed)
    order = _by_person(faces.labels, rng)
    labels = faces.labels[order]
    starts = np.r_[0, np.flatnonzero(np.diff(labels)) + 1]
    nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    first = order[np.argsort(nth, kind="stable")][:num]
    return faces.at(np.sort(first)).renumbered()


def _by_person(
    labels: Int64[np.ndarray, " b"], rng: np.random.Generator
) -> Int64[np.ndarray, " b"]:
    """Return rows person by person, people and their photographs in random order."""
    shuffled = rng.permutation(len(labels))
    rank = rng.permutation(int(labels.max()) + 1)
    return shuffled[np.argsort(rank[labels[shuffled]], kind="stable")]
