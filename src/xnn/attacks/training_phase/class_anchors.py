"""Class anchors: a few known pairs say who some classes are, and resemblance says the rest.

Whatever a key does to a record, a tail has to tell classes apart, and classes of people who look
alike lie near each other. The attacker averages the records of each class, which takes most of a
scheme's noise away, and describes every class by how much it resembles the known ones. It describes
every suspect by how much that face resembles the known faces, under a public recogniser. The two
descriptions of one person agree. The surest matches then serve as further pairs, and a linear map
from classes to faces is learned from all, round after round.

Records of the known classes need no attack: their photographs say who they are. The details name
the share of such probes, which no scheme can protect while class numbers are granted.

Nothing of the scheme is used but that records of one person have the same class number.

Source: this project; relative representations (arXiv:2209.15430), refined by self-learning as in
unsupervised word translation (Artetxe et al. 2018, arXiv:1805.06297).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import KnownPairs, Observation, OwnFaces
from xnn.attacks.statistics.class_evidence import assigned
from xnn.attacks.statistics.class_vectors import class_vectors, directions_of
from xnn.attacks.statistics.pair_rows import rows_of_pairs
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSettings:
    """Effort."""

    rounds: int = 15
    """Of learning a map from the surest matches; 0 leaves the descriptions."""
    first_share: float = 0.2
    """Of the matches that the first round trusts; the last one trusts all."""
    known_weight: float = 3.0
    """Of a known pair, in matches."""
    ridge: float = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class _Anchors:
    """Known classes, a row each."""

    classes: Int64[np.ndarray, " k"]
    faces: Float64[np.ndarray, "k e"]


@final
class ClassAnchors(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="class-anchors",
        phase="training",
        goal="linkage",
        summary="describes classes and suspects by their likeness to a few known ones, and learns "
        "the rest from its own surest matches, whatever the key did to single records",
        source="this project; arXiv:2209.15430, arXiv:1805.06297",
        uses_pairs=True,
    )

    def __init__(self, settings: AnchorSettings | None = None) -> None:
        self._settings = settings or AnchorSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if observation.labels is None:
            return "no class numbers came with the records"
        if observation.pairs is None:
            return "no pair of photograph and record is known"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Match classes with people.

        Args:
            observation: Needs class numbers, and known pairs of at least 4 classes.
            seed: Not used; there is nothing to draw.
            work_dir: Not used.

        Raises:
            InsufficientDataError: No class numbers, no pairs, or pairs of too few classes.

        Trust: adversary.
        """
        if observation.labels is None or observation.pairs is None:
            raise InsufficientDataError("it needs class numbers and known pairs; grant both")
        _, members = np.unique(observation.labels, return_inverse=True)
        _, photographs = np.unique(observation.gallery.labels, return_inverse=True)
        public = observation.public
        theirs = class_vectors(observation.records, members)
        ours = _mean_rows(_faces(observation.gallery, public), photographs)
        anchors = _anchors(observation.pairs, observation, members, public)
        belief = _described(theirs, ours, anchors)
        for number in range(self._settings.rounds):
            belief = self._learned(theirs, ours, anchors, belief, number)
        belief[anchors.classes] = anchors.faces @ ours.T
        known = np.isin(members[observation.probes], anchors.classes)
        return Answer(
            scores=belief[members[observation.probes]][:, photographs],
            classes=belief,
            details={
                "known_classes": len(anchors.classes),
                "classes": len(theirs),
                "probes_of_known_classes": round(float(known.mean()), 4),
            },
        )

    def _learned(
        self,
        theirs: Float64[np.ndarray, "c k"],
        ours: Float64[np.ndarray, "g e"],
        anchors: _Anchors,
        belief: Float64[np.ndarray, "c g"],
        number: int,
    ) -> Float64[np.ndarray, "c g"]:
        """Learn a map from classes to faces on known pairs and the surest matches."""
        settings = self._settings
        classes, people = assigned(belief)
        share = settings.first_share + (1 - settings.first_share) * number / settings.rounds
        surest = np.argsort(-belief[classes, people], kind="stable")[: round(share * len(classes))]
        rows = np.concatenate([theirs[anchors.classes], theirs[classes[surest]]])
        targets = np.concatenate([anchors.faces, ours[people[surest]]])
        weights = np.ones(len(rows))
        weights[: len(anchors.classes)] = settings.known_weight
        weighted = rows * weights[:, None]
        gram = weighted.T @ rows
        gram[np.diag_indices_from(gram)] += settings.ridge * np.trace(gram) / len(gram)
        found = np.linalg.solve(gram, weighted.T @ targets)
        return directions_of(theirs @ found) @ ours.T


def _described(
    theirs: Float64[np.ndarray, "c k"], ours: Float64[np.ndarray, "g e"], anchors: _Anchors
) -> Float64[np.ndarray, "c g"]:
    """Compare classes and people by their likeness to the anchors."""
    left, right = theirs @ theirs[anchors.classes].T, ours @ anchors.faces.T
    return directions_of(_standardised(left)) @ directions_of(_standardised(right)).T


def _anchors(
    pairs: KnownPairs, observation: Observation, members: Int64[np.ndarray, " r"], public: OwnFaces
) -> _Anchors:
    rows = rows_of_pairs(pairs, observation.records)
    held = np.flatnonzero(rows >= 0)
    classes, owner = np.unique(members[rows[held]], return_inverse=True)
    if len(classes) < _FEWEST:
        raise InsufficientDataError(
            f"the known pairs show {len(classes)} classes, at least {_FEWEST} are needed"
        )
    return _Anchors(classes, _mean_rows(_faces(pairs.faces.at(held), public), owner))


def _faces(faces: OwnFaces, public: OwnFaces) -> Float64[np.ndarray, "b e"]:
    """Return embeddings less the public mean, of length 1."""
    return directions_of(faces.embeddings - public.embeddings.mean(axis=0, dtype=np.float64))


def _mean_rows(
    rows: Float64[np.ndarray, "b e"], members: Int64[np.ndarray, " b"]
) -> Float64[np.ndarray, "p e"]:
    sums = np.zeros((int(members.max()) + 1, rows.shape[1]))
    np.add.at(sums, members, rows)
    return directions_of(sums)


def _standardised(rows: Float64[np.ndarray, "b k"]) -> Float64[np.ndarray, "b k"]:
    return (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12)
