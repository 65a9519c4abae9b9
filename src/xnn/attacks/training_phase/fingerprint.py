"""Fingerprints: one record matched with another across keys, or with a photograph, without a key.

Whitened by the covariance of its own upload, a record under a linear key is its features in
another rotation and order. The Gram matrix of its tokens then has the same spectrum whatever the
key was, and differs from photograph to photograph. So the attacker finds which records of two
uploads show one photograph, and whether a photograph of its own is behind a record.

Photographs are whitened as records are, by the covariance of photographs like them. Other people's
faces from another collection fit badly: a grey set beside a coloured upload hides nearly all. The
photographs that are to be found fit well, being of the upload's kind, once there are enough of
them; so the attacker tries mixtures, and keeps the one under which spectra agree with the upload's.

Source: this project (redteam.md, A6; the choice of the whitening is not in it).
"""

from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.statistics.token_grams import column_weights, invariants, standardised
from xnn.attacks.statistics.upload_whitening import UploadWhitening, token_moments
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, SchemeCard

_FEWEST_RECORDS = 10
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the photographs to be found in the whitening; the rest is the public set's."""
_MAX_PUBLIC = 1000
_NEIGHBOURS = 10


@final
class Fingerprint(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="fingerprint",
        phase="training",
        goal="unlinkability",
        summary="matches records across keys, and photographs with records, by the spectrum of the "
        "whitened tokens' Gram matrix, without any key",
        source="this project",
    )

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        return refused_without_recipe(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Fingerprint everything and compare.

        Args:
            observation: Needs 10 records; another upload and candidates are used where given.
            seed: Of the attacker's own keys, and of the public photographs drawn.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records; says how many are needed.

        Trust: adversary.
        """
        theirs = Fingerprints.of_upload(observation.records)
        probes = theirs.rows[observation.probes]
        photographs = _photographs(observation)
        rows, share = _of_photographs(observation, photographs, theirs, seed)
        num_suspects = len(observation.gallery)
        membership = None
        if observation.candidates is not None:
            membership = likeness(rows[num_suspects:], theirs.rows).max(axis=1)
        upload_scores = None
        if observation.other_upload is not None:
            other = Fingerprints.of_upload(observation.other_upload)
            upload_scores = likeness(probes, other.rows)
        return Answer(
            scores=likeness(probes, rows[:num_suspects]),
            upload_scores=upload_scores,
            membership=membership,
            details={"share_of_own_photographs_in_whitening": share},
        )


@final
class Fingerprints:
    """Fingerprints of a set, each column in standard deviations of that set.

    Args:
        raw: Invariants of every record.
        weights: Of the columns.
    """

    def __init__(self, raw: Float64[np.ndarray, "r f"], weights: Float64[np.ndarray, " f"]) -> None:
        self.raw = raw
        self.rows = standardised(raw, raw) * weights

    @classmethod
    def of_upload(cls, records: Float32[np.ndarray, "r m e"]) -> "Fingerprints":
        """Whiten an upload by its own covariance and describe every record.

        Raises:
            InsufficientDataError: Fewer than 10 records.
        """
        if len(records) < _FEWEST_RECORDS:
            raise InsufficientDataError(
                f"{len(records)} records held; a covariance of their own needs at least "
                f"{_FEWEST_RECORDS}"
            )
        raw = invariants(UploadWhitening.of(records)(records))
        return cls(raw, column_weights(*records.shape[1:]))


def likeness(
    first: Float64[np.ndarray, "a f"], second: Float64[np.ndarray, "b f"]
) -> Float64[np.ndarray, "a b"]:
    """Return how alike fingerprints are: how much nearer than their next neighbours, in logarithms.

    The nearest row of all says little where everything is near, and an odd row is far even from its
    own match; so log distances are read beside those to the next neighbours, in both directions.

    Source: cross-domain local scaling, Conneau et al., arXiv:1710.04087; here with logarithms, and
        less the nearest one.
    """
    squared = (
        np.square(first).sum(axis=1)[:, None]
        - 2 * first @ second.T
        + np.square(second).sum(axis=1)[None, :]
    )
    distances = 0.5 * np.log(np.maximum(squared, 1e-12))
    return 0.5 * (_neighbours(distances) + _neighbours(distances.T).T) - distances


def _neighbours(distances: Float64[np.ndarray, "a b"]) -> Float64[np.ndarray, "a 1"]:
    """Return the mean distance of the second to the eleventh nearest, or of the only one."""
    first = min(1, distances.shape[1] - 1)
    nearest = np.sort(distances, axis=1)[:, first : 1 + _NEIGHBOURS]
    mean: Float64[np.ndarray, "a 1"] = nearest.mean(axis=1, keepdims=True)
    return mean


def refused_without_recipe(scheme: SchemeCard | None, observation: Observation) -> str | None:
    """Say why photographs cannot be put through the owner's recipe; None when they can."""
    if scheme is None or observation.scheme not in SCHEMES:
        return "there is no keyed scheme to put photographs through"
    if observation.knowledge.extractor == "secret":
        return "it compares records with photographs through the public extractor"
    return None


def _photographs(observation: Observation) -> list[OwnFaces]:
    candidates = observation.candidates
    return [observation.gallery, *([] if candidates is None else [candidates])]


def _of_photographs(
    observation: Observation, photographs: list[OwnFaces], theirs: Fingerprints, seed: int
) -> tuple[Float64[np.ndarray, "p f"], float]:
    """Return the fingerprints of photographs, and the share they had in their own whitening.

    They go through the recipe under a key of the attacker's, which changes nothing under a linear
    scheme and everything that can be simulated under another.
    """
    own = observation.public if len(observation.public) else observation.gallery
    keys = OwnKeys(observation.scheme, own, observation.shape, seed=seed)
    own_key = keys.draw()
    records = np.concatenate([keys.records(own_key, faces) for faces in photographs])
    drawn = np.random.default_rng(seed).permutation(len(observation.public))[:_MAX_PUBLIC]
    near = token_moments(records)
    shares: tuple[float, ...] = _SHARES
    if len(drawn) < _FEWEST_RECORDS:
        far, shares = near, (1.0,)
    else:
        far = token_moments(keys.records(own_key, observation.public.at(np.sort(drawn))))
    weights = column_weights(*records.shape[1:])
    best: tuple[float, float, Fingerprints] | None = None
    for share in shares:
        mean = share * near[0] + (1 - share) * far[0]
        whitening = UploadWhitening.of_moments(mean, share * near[1] + (1 - share) * far[1])
        found = Fingerprints(invariants(whitening(records)), weights)
        misfit = _misfit(found.raw, theirs.raw, weights)
        if best is None or misfit < best[0]:
            best = misfit, share, found
    if best is None:
        raise InsufficientDataError("no whitening to choose from")
    return best[2].rows, best[1]


def _misfit(
    found: Float64[np.ndarray, "p f"],
    upload: Float64[np.ndarray, "r f"],
    weights: Float64[np.ndarray, " f"],
) -> float:
    """Return how far the mean and the spread of fingerprints are from the upload's."""
    shift = standardised(found.mean(axis=0, keepdims=True), upload)[0]
    spread = np.log((found.std(axis=0) + 1e-9) / (upload.std(axis=0) + 1e-9))
    return float(np.sum(np.square(weights * shift) + np.square(weights * spread)))
