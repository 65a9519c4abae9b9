"""Label constellation: who resembles whom is the same on both sides of any key that can be learned.

The upload says which records show one person, as training needs. The mean records of two people lie
near each other when the two resemble each other, and so do the embeddings that a public recogniser
gives of their photographs. The attacker draws both maps, of the classes of the upload and of the
people of its gallery, and finds the match under which they agree best. No pair is needed, and no
part of the key is recovered: a matrix, a secret nonlinearity, an order per record or noise change
little as long as a tail can still tell the classes apart.

Known pairs are not used: `class-anchors` is the attack for them.

Which statistics of records show resemblance best, the attacker learns on its own photographs under
keys of its own.

Source: this project. Matching of two graphs of distances as in Gromov-Wasserstein word alignment
(arXiv:1809.00013), here by label and without any common coordinate.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.bred_matching import BreedingSettings, bred_matching
from xnn.attacks.statistics.class_merging import merged_classes
from xnn.attacks.statistics.class_vectors import class_vectors
from xnn.attacks.statistics.graph_matching import Match
from xnn.attacks.statistics.resemblance import (
    embedding_map,
    layer_weights,
    record_layers,
    standardised,
)
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST_CLASSES = 8
_EXPECTED_AGREEMENT = 0.6
"""Correlation of the two maps when matched, as measured on faces; only its order matters."""
_TRUST = 10
"""How many of the best matches vote on the graded scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstellationSettings:
    """Effort."""

    breeding: BreedingSettings = field(default_factory=BreedingSettings)
    simulated_keys: int = 2
    """Uploads of the attacker's own that the weights of the statistics are learned on."""
    simulated_people: int = 150


@final
class LabelConstellation(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="label-constellation",
        phase="training",
        goal="linkage",
        summary="matches the resemblance between the classes of an upload with the resemblance "
        "between people of a gallery, whatever the key did to single records",
        source="this project",
    )

    def __init__(self, settings: ConstellationSettings | None = None) -> None:
        self._settings = settings or ConstellationSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if observation.labels is None:
            return "no class numbers came with the records"
        return None

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Match classes with people.

        Args:
            observation: Needs class numbers with the records; at least 8 classes and 8 people.
            seed: Draws the attacker's keys and the starts of the search.
            work_dir: Not used.

        Raises:
            InsufficientDataError: No class numbers, or too few classes or people.

        Trust: adversary.
        """
        if observation.labels is None:
            raise InsufficientDataError("no class numbers came with the records; grant labels")
        rng = np.random.default_rng(seed)
        classes, members = np.unique(observation.labels, return_inverse=True)
        people, photographs = np.unique(observation.gallery.labels, return_inverse=True)
        if min(len(classes), len(people)) < _FEWEST_CLASSES:
            raise InsufficientDataError(
                f"{len(classes)} classes and {len(people)} people; a constellation needs at least "
                f"{_FEWEST_CLASSES} of both"
            )
        groups = np.arange(len(classes))
        if len(classes) > len(people):
            groups = merged_classes(class_vectors(observation.records, members), len(people))
        members = groups[members]
        weights = self._learn_weights(observation, members, seed)
        theirs = _mixed(record_layers(observation.records, members, seed=seed), weights)
        ours = standardised(embedding_map(observation.gallery, observation.public))
        belief, agreement = match_maps(theirs, ours, settings=self._settings.breeding, rng=rng)
        return Answer(
            scores=belief[members[observation.probes]][:, photographs],
            classes=belief[groups],
            details={
                "agreement": agreement,
                "groups": len(belief),
                "weights": {name: round(weight, 3) for name, weight in weights.items()},
            },
        )

    def _learn_weights(
        self, observation: Observation, members: Int64[np.ndarray, " r"], seed: int
    ) -> dict[str, float]:
        """Learn on simulated uploads which statistics foretell resemblance."""
        per_class = int(np.median(np.bincount(members)))
        people = _well_photographed(
            observation.public, per_class, most=self._settings.simulated_people
        )
        if people is None or not observation.scheme:
            return layer_weights([], [])
        keys = OwnKeys(observation.scheme, observation.public, observation.shape, seed=seed)
        target = standardised(embedding_map(people, observation.public))
        layers = [
            record_layers(keys.records(keys.draw(), people), people.labels, seed=seed)
            for _ in range(self._settings.simulated_keys)
        ]
        return layer_weights(layers, [target] * len(layers))


def match_maps(
    theirs: Float64[np.ndarray, "c c"],
    ours: Float64[np.ndarray, "g g"],
    *,
    settings: BreedingSettings,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "c g"], list[float]]:
    """Match classes with people by their maps.

    Args:
        theirs: Standardised map of the classes.
        ours: Standardised map of the people.
        settings: Effort.
        rng: Draws starts and parents.

    Returns:
        How likely each class is each person, and the correlation of the maps under the best two
        matches.
    """
    matches = bred_matching(*_problem(theirs, ours), settings=settings, rng=rng)
    agreement = [round(_agreement(match, theirs, ours), 4) for match in matches[:2]]
    return _belief(matches, theirs, ours), agreement


def _well_photographed(public: OwnFaces, per_class: int, *, most: int) -> OwnFaces | None:
    """Return up to `per_class` photographs of those people of whom there are most, or None."""
    _, labels, counts = np.unique(public.labels, return_inverse=True, return_counts=True)
    able = np.flatnonzero(counts >= 2)
    if len(able) < _FEWEST_CLASSES:
        return None
    chosen = able[np.argsort(-counts[able], kind="stable")][:most]
    rows = [np.flatnonzero(labels == person)[: max(2, per_class)] for person in chosen]
    part = public.at(np.concatenate(rows))
    return OwnFaces(
        crops=part.crops,
        tokens=part.tokens,
        embeddings=part.embeddings,
        labels=np.repeat(np.arange(len(rows)), [len(r) for r in rows]).astype(np.int64),
    )


def _mixed(
    layers: dict[str, Float64[np.ndarray, "c c"]], weights: dict[str, float]
) -> Float64[np.ndarray, "c c"]:
    return standardised(np.sum([weights[name] * layer for name, layer in layers.items()], axis=0))


def _problem(
    theirs: Float64[np.ndarray, "c c"], ours: Float64[np.ndarray, "g g"]
) -> tuple[Float64[np.ndarray, "2 n n"], Float64[np.ndarray, "2 n n"]]:
    """Pose the least squares of ours on theirs as a matching of two layers.

    The second layer is what a subset of our people costs: without it, the classes would go to the
    people who stand out most. With as many people as classes it is the same for every match.
    """
    size = max(len(theirs), len(ours))
    there, here = (_padded(np.ones_like(layer), size) for layer in (theirs, ours))
    left = np.stack([_EXPECTED_AGREEMENT * _padded(theirs, size), -0.5 * there])
    squared = np.where(here > 0, _padded(ours, size) ** 2, 0.0)
    return left, np.stack([_padded(ours, size), squared])


def _padded(layer: Float64[np.ndarray, "c c"], size: int) -> Float64[np.ndarray, "n n"]:
    missing = size - len(layer)
    return np.pad(layer, ((0, missing), (0, missing)))


def _agreement(
    match: Match, theirs: Float64[np.ndarray, "c c"], ours: Float64[np.ndarray, "g g"]
) -> float:
    """Return the correlation of the two maps under a match."""
    size = max(len(theirs), len(ours))
    placed = _padded(ours, size)[np.ix_(match.place, match.place)][: len(theirs), : len(theirs)]
    above = np.triu_indices(len(theirs), 1)
    return float(np.corrcoef(theirs[above], placed[above])[0, 1])


def _belief(
    matches: list[Match],
    theirs: Float64[np.ndarray, "c c"],
    ours: Float64[np.ndarray, "g g"],
) -> Float64[np.ndarray, "c g"]:
    """Grade each class against each person: the best match first, then how well profiles agree."""
    size = max(len(theirs), len(ours))
    best = np.eye(size)[matches[0].place]
    votes = np.mean([np.eye(size)[match.place] for match in matches[:_TRUST]], axis=0)
    profiles = _padded(theirs, size) @ best @ _padded(ours, size)
    graded = best + votes + 0.5 * profiles / max(float(np.abs(profiles).max()), 1e-12)
    return graded[: len(theirs), : len(ours)]
