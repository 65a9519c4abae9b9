"""Gram features: who is on a record, read from products of tokens, without any matrix of the key.

Whitened by the covariance of their own upload, records are features in another rotation and order.
Products of tokens do not see a rotation, so whatever is learned of them under keys of the
attacker's own holds under the owner's. Which products:

- where every record has the same order of tokens: those of each token with the mean token of every
  place. The order is found by matching the places of both uploads, as in `unpaired-moments`; no
  matrix is. These products are linear in the tokens, and tell nearly as much as the features;
- where every record has an order of its own: spectrum, lengths and cosines of the record's tokens,
  and products with directions that the upload defines without any order. Far weaker.

The attacker makes an upload of its own faces, brings the owner's to its mean and spread, column by
column, and compares by cosine (no training), or by a map to a public recogniser learned on its own
records; people held out say which links better. The same features link uploads, and find members
where the order is one.

Source: this project (redteam.md, A6 and A4; products with mean tokens are not in it).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.graph_matching import match_positions, pose
from xnn.attacks.statistics.moments import PositionMoments, measure
from xnn.attacks.statistics.token_grams import (
    anchored_products,
    column_weights,
    free_anchors,
    invariants,
    sorted_products,
    standardised,
)
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.attacks.training_phase.fingerprint import refused_without_recipe
from xnn.errors import InsufficientDataError
from xnn.metrics.identification import cosine_scores
from xnn.schemes import SchemeCard, find_scheme

_FEWEST_RECORDS = 10
_FREE_ANCHORS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GramSettings:
    """Effort."""

    max_public: int = 2000
    """Photographs of the attacker's own that are learned from; drawn at random."""
    random_starts: int = 3
    """Of the graph matching, beside its four fixed ones."""
    anchored: bool | None = None
    """Whether to take the order of tokens as one for all records; None asks the scheme's card."""


@final
class GramFeatures(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="gram-features",
        phase="training",
        goal="linkage",
        summary="compares products of whitened tokens, which no matrix changes, with those of "
        "photographs under keys of its own",
        source="this project",
    )

    def __init__(self, settings: GramSettings | None = None) -> None:
        self._settings = settings or GramSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return refused_without_recipe(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Learn on records of its own, then read the owner's.

        Args:
            observation: Needs 10 records and public faces; another upload and candidates are used
                where given.
            seed: Of the attacker's own keys and draws.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public faces; says how many are needed.

        Trust: adversary.
        """
        drawn = np.random.default_rng(seed).permutation(len(observation.public))
        public = observation.public.at(np.sort(drawn[: self._settings.max_public]))
        reading = _Reading(observation, public, self._settings, seed)
        linker = Linker.fit(reading.own, seed=seed)
        probes = reading.of(observation.records)[observation.probes]
        upload_scores = None
        if observation.other_upload is not None:
            upload_scores = _alike(linker, probes, reading.of(observation.other_upload))
        membership = None
        # In an order of their own, records are found better by their fingerprints.
        if observation.candidates is not None and reading.anchored:
            candidates = reading.of_photographs(observation.candidates).tokens
            membership = _alike(linker, candidates, reading.of(observation.records)).max(axis=1)
        return Answer(
            scores=linker.scores(probes, reading.of_photographs(observation.gallery)),
            upload_scores=upload_scores,
            membership=membership,
            details={
                "anchored": reading.anchored,
                "learned": not linker.by_tokens,
                "held_out_rank_1": round(linker.held_out_rank_1, 4),
            },
        )


def _alike(
    linker: Linker, first: Float32[np.ndarray, "a s k"], second: Float32[np.ndarray, "b s k"]
) -> Float64[np.ndarray, "a b"]:
    """Compare features with features: the person by the learned map, the photograph by cosine."""
    flat = [
        (x - linker.mean).reshape(len(x), -1) / linker.deviation.ravel() for x in (first, second)
    ]
    photograph = cosine_scores(*(x.astype(np.float64) for x in flat))
    return photograph + cosine_scores(linker.embed(first), linker.embed(second))


@final
class _Reading:
    """Turns any upload under the scheme into features that no key changes."""

    def __init__(
        self, observation: Observation, public: OwnFaces, settings: GramSettings, seed: int
    ) -> None:
        if len(public) < _FEWEST_RECORDS:
            raise InsufficientDataError(
                f"the attacker has {len(public)} photographs; an upload of its own needs at least "
                f"{_FEWEST_RECORDS}"
            )
        self._settings = settings
        self._seed = seed
        self._keys = OwnKeys(observation.scheme, public, observation.shape, seed=seed)
        self._own_key = self._keys.draw()
        self.anchored = settings.anchored
        if self.anchored is None:
            self.anchored = not find_scheme(observation.scheme).card.fresh_order
        records = self._keys.records(self._own_key, public)
        self._moments = measure(records) if self.anchored else None
        self._whitening = UploadWhitening.of(records)
        white = self._whitening(records)
        self._means = white.mean(axis=0)
        self._anchors = free_anchors(white, _FREE_ANCHORS)
        self._features = self._describe(white)
        self.own = public.with_tokens(self._features)

    def of(self, records: Float32[np.ndarray, "r m e"]) -> Float32[np.ndarray, "r s k"]:
        """Return the features of an upload under any one key, in mean and spread as the own ones.

        Raises:
            InsufficientDataError: Fewer than 10 records.
        """
        if len(records) < _FEWEST_RECORDS:
            raise InsufficientDataError(
                f"{len(records)} records held; a covariance of their own needs at least "
                f"{_FEWEST_RECORDS}"
            )
        white = UploadWhitening.of(records)(records)
        if self._moments is None:
            features = self._free(white, free_anchors(white, _FREE_ANCHORS))
        else:
            place = self._match(measure(records), self._moments)
            features = anchored_products(white, white.mean(axis=0), place)
        return _brought_to(features, self._features)

    def of_photographs(self, faces: OwnFaces) -> OwnFaces:
        """Return photographs with features for tokens, in mean and spread as the own ones."""
        white = self._whitening(self._keys.records(self._own_key, faces))
        features = self._describe(white)
        if len(faces) >= _FEWEST_RECORDS:
            features = _brought_to(features, self._features)
        return faces.with_tokens(features)

    def _describe(self, white: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b s k"]:
        if self._moments is None:
            return self._free(white, self._anchors)
        return anchored_products(white, self._means, np.arange(white.shape[1]))

    def _free(
        self, white: Float32[np.ndarray, "b m e"], anchors: Float64[np.ndarray, "k e"]
    ) -> Float32[np.ndarray, "b 1 f"]:
        rows = invariants(white)
        own = standardised(rows, rows) * column_weights(*white.shape[1:])
        products = sorted_products(white, anchors).reshape(len(white), -1)
        return np.concatenate([own.astype(np.float32), products], axis=1)[:, None]

    def _match(self, theirs: PositionMoments, ours: PositionMoments) -> Int64[np.ndarray, " m"]:
        rng = np.random.default_rng(self._seed)
        starts = self._settings.random_starts
        problem = pose(theirs.layers, ours.layers)
        return match_positions(problem, random_starts=starts, rng=rng)[0].place


def _brought_to(
    features: Float32[np.ndarray, "b s k"], reference: Float32[np.ndarray, "r s k"]
) -> Float32[np.ndarray, "b s k"]:
    """Give every column the mean and the spread that it has in a reference set."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    least = 1e-6 * max(float(deviation.mean()), 1e-30)
    scale = reference.std(axis=0) / np.maximum(deviation, least)
    return (features - mean) * scale + reference.mean(axis=0)
