"""Tail inversion: what the weights that the cloud trained tell of the key and of the people.

A tail with a whitening keeps the mean token and the inverse root of the covariance of all records:
the key's matrix up to a rotation, free of charge. So whoever holds the tail can fingerprint a
single record (`fingerprint` needs many to measure their covariance). The rotation is not in the
weights: embeddings tell people apart as well under any other.

The class weights of the cloud's head begin at the mean embedding of each class and move little. A
rotation changes no angle between them, and people whose faces are alike have class weights that
are. With class numbers, means of embedded records stand in for the weights; directions in which
embeddings of one class differ are turned down. Their angles are matched with the angles between the
gallery's faces, as `label-constellation` does with the records.

Source: this project (redteam.md, A14).
"""

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.bred_matching import BreedingSettings
from xnn.attacks.statistics.class_merging import merged_classes
from xnn.attacks.statistics.class_vectors import class_means
from xnn.attacks.statistics.resemblance import class_map, embedding_map
from xnn.attacks.statistics.resemblance import standardised as standardised_map
from xnn.attacks.statistics.token_grams import column_weights, invariants, standardised
from xnn.attacks.training_phase.fingerprint import likeness, refused_without_recipe
from xnn.attacks.training_phase.label_constellation import match_maps
from xnn.errors import InsufficientDataError
from xnn.models.tail import Tail
from xnn.models.vit import Block
from xnn.models.whitening import Whitening
from xnn.schemes import SchemeCard
from xnn.training.source import ArraySource
from xnn.training.validate import embed

_FEWEST_PUBLIC = 20
_FEWEST_CLASSES = 8
_SHRINKAGE = 0.1


@final
class TailInversion(Attack):
    """The attack; see the module.

    Args:
        breeding: Effort of the matching of classes with people.
    """

    card = AttackCard(
        name="tail-inversion",
        phase="training",
        goal="linkage",
        summary="reads the whitening out of the trained tail to fingerprint single records, and "
        "matches the angles between classes with those between people",
        source="this project",
        needs_tail=True,
    )

    def __init__(self, breeding: BreedingSettings | None = None) -> None:
        self._breeding = breeding or BreedingSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return refused_without_recipe(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Read the tail.

        Args:
            observation: Needs the tail; class numbers where classes are to be named, else a tail
                with a whitening, and 20 public photographs.
            seed: Of the attacker's own keys and of the search.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Something of this is missing; says how much is needed.

        Trust: adversary.
        """
        tail = observation.tail
        if tail is None:
            raise InsufficientDataError("no tail was handed over; its inversion needs 1")
        details = {"first_layer_undoes_covariance": absorbed(tail, observation.records)}
        labels = observation.labels
        if labels is not None and len(np.unique(labels)) >= _FEWEST_CLASSES:
            return self._by_angles(tail, observation, labels, seed, details)
        scores = self._by_whitening(tail, observation, seed)
        return Answer(scores=scores, details={**details, "read": "whitening"})

    def _by_angles(
        self,
        tail: Tail,
        observation: Observation,
        labels: Int64[np.ndarray, " r"],
        seed: int,
        details: dict[str, Any],
    ) -> Answer:
        """Match the angles between classes with those between the gallery's people."""
        _, members = np.unique(labels, return_inverse=True)
        _, photographs = np.unique(observation.gallery.labels, return_inverse=True)
        source = ArraySource(observation.records, np.zeros(len(labels), dtype=np.int64))
        embedded = embed(tail, source)
        means = class_means(embedded, members)
        groups = merged_classes(means - means.mean(axis=0), int(photographs.max()) + 1)
        members = groups[members]
        belief, agreement = match_maps(
            standardised_map(class_map(embedded, members, _SHRINKAGE)),
            standardised_map(embedding_map(observation.gallery, observation.public)),
            settings=self._breeding,
            rng=np.random.default_rng(seed),
        )
        return Answer(
            scores=belief[members[observation.probes]][:, photographs],
            classes=belief[groups],
            details={**details, "read": "angles", "agreement": agreement, "groups": len(belief)},
        )

    def _by_whitening(
        self, tail: Tail, observation: Observation, seed: int
    ) -> Float64[np.ndarray, "q g"]:
        """Fingerprint records, however few, by the tail's whitening."""
        if tail.whitening is None:
            raise InsufficientDataError(
                f"a tail without a whitening needs at least {_FEWEST_CLASSES} class numbers"
            )
        public = observation.public
        if len(public) < _FEWEST_PUBLIC:
            raise InsufficientDataError(
                f"the attacker has {len(public)} photographs; a whitening of its own needs at "
                f"least {_FEWEST_PUBLIC}"
            )
        keys = OwnKeys(observation.scheme, public, observation.shape, seed=seed)
        key = keys.draw()
        own = keys.records(key, public)
        whitening = Whitening(own.shape[2])
        whitening.fit([(own, public.labels)])
        reference = _described(own, whitening)
        weights = column_weights(*own.shape[1:])
        gallery, probes = (
            standardised(_described(records, white), reference) * weights
            for records, white in (
                (keys.records(key, observation.gallery), whitening),
                (observation.probe_records, tail.whitening),
            )
        )
        return likeness(probes, gallery)


def absorbed(tail: Tail, records: Float32[np.ndarray, "r m e"]) -> float | None:
    """Return how far the first linear maps undo the covariance of the records.

    The slope of the log gain of the tail's first maps (whitening included) over minus the log
    variance, along the principal directions of the records: 1 undoes the covariance, the inverse of
    the matrix but for a rotation; 0 takes records as they are.

    Args:
        tail: Any depth; None is returned where it has no block.
        records: What it was trained on.
    """
    if not len(tail.blocks):
        return None
    block = tail.blocks[0]
    if not isinstance(block, Block):
        return None
    gain = block.attn.qkv.weight.detach().double().numpy().T
    if isinstance(tail.project_in, torch.nn.Linear):
        gain = tail.project_in.weight.detach().double().numpy().T @ gain
    if tail.whitening is not None:
        gain = tail.whitening.matrix.double().numpy() @ gain
    tokens = records.reshape(-1, records.shape[2]).astype(np.float64)
    variances, directions = np.linalg.eigh(np.cov(tokens.T))
    kept = variances > 1e-6 * variances[-1]
    log_gain = np.log(np.square(directions[:, kept].T @ gain).sum(axis=1))
    return round(float(np.polyfit(-np.log(variances[kept]), log_gain, 1)[0]), 4)


def _described(
    records: Float32[np.ndarray, "b m e"], whitening: Whitening
) -> Float64[np.ndarray, "b f"]:
    with torch.inference_mode():
        return invariants(whitening(torch.from_numpy(records)).numpy())
