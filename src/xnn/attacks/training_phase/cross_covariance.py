"""Cross covariance: the matrix from how positions vary together, where each tells nothing alone.

For uploads whose positions were standardised, or that carry noise: both leave how two positions of
one picture vary together. Public features are standardised where the records are found to be.

Source: this project (redteam.md, A2).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import Answer, KeyEstimate
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.cross_positions import (
    CrossMoments,
    Turned,
    measure_pairs,
    standardise,
    strongest_pairs,
    turn,
)
from xnn.attacks.statistics.graph_matching import match_positions, pose
from xnn.attacks.statistics.moments import PositionMoments, measure, whitened
from xnn.attacks.statistics.rotation import align
from xnn.attacks.statistics.token_groups import whiten_tokens
from xnn.attacks.statistics.unpaired import check_enough, some_maps
from xnn.attacks.training_phase.moment_recovery import refused_positions
from xnn.attacks.training_phase.token_clusters import TokenClusterSettings, recover_rotation
from xnn.schemes import SchemeCard

_ALIKE = 0.2
"""Positions of records whose means and covariances differ less than this share of what the public
features' do were standardised."""
_PRODUCTS = 2
"""The layer of E[z_s . z_t]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCovarianceSettings:
    """Effort."""

    pairs: int = 200
    max_public: int = 1500
    max_records: int = 4000
    random_starts: int = 3


@final
class CrossCovariance(Attack):
    """The attack; see the module."""

    card = AttackCard(
        name="cross-covariance",
        phase="training",
        goal="linkage",
        summary="recovers the matrix from how pairs of positions vary together, which neither "
        "standardised positions nor noise take away",
        source="this project",
    )

    def __init__(self, settings: CrossCovarianceSettings | None = None) -> None:
        self._settings = settings or CrossCovarianceSettings()

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        """Say why the attack cannot be tried here; None when it can."""
        if scheme is not None and scheme.fresh_order:
            return "tokens of every record are in an order of their own; see aligned-order"
        return refused_positions(scheme, observation)

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        """Recover the rotation between white spaces and undo it on the probes.

        Args:
            observation: Needs records under one key and public images of any kind.
            seed: Draws subsets and starts.
            work_dir: Not used.

        Raises:
            InsufficientDataError: Too few records or public images; says how many are needed.

        Trust: adversary.
        """
        settings, public = self._settings, observation.public
        n, d = observation.shape.n, observation.shape.d
        check_enough(len(observation.records), len(public), n=n, d=d)
        rng = np.random.default_rng(seed)
        held = some_maps(observation.records, settings.max_records, rng)
        own = some_maps(public.tokens, settings.max_public, rng)
        theirs, ours = measure(held), measure(own)
        standardised = looks_standardised(theirs, ours)
        own_means, own_roots = ours.raw_means, np.broadcast_to(ours.whitening.root, (n, d, d))
        if standardised:
            own, own_means, own_roots = standardise(own)
            ours = measure(own)
        place = _order(theirs, ours, settings, standardised=standardised, rng=rng)
        here, there = _white_pair(held, own, theirs, ours, place)
        first, second = strongest_pairs(ours.layers[_PRODUCTS], settings.pairs)
        public_moments = measure_pairs(here, first, second)
        record_moments = measure_pairs(there, first, second)
        starts = _starts(held, own, theirs, ours, place, rng)
        tried = [turn(public_moments, record_moments, start) for start in starts]
        best = max(tried, key=lambda turned: turned.agreement)
        share = signal_share(public_moments, record_moments)
        white = np.empty((len(observation.probes), n, d), dtype=np.float32)
        white[:, place] = whitened(observation.probe_records, theirs.raw_means, theirs.whitening)
        features = _features(white, best, share, own_means, own_roots)
        inverse = theirs.whitening.inverse_root @ best.rotation.T @ ours.whitening.root
        scores = Linker.fit(public, seed=seed).scores(features, observation.gallery)
        return Answer(
            scores=scores,
            features=features,
            key=None if standardised else KeyEstimate(place=place, inverse=inverse),
            details={
                "standardised": standardised,
                "agreement": round(best.agreement, 4),
                "sign_agreement": round(best.sign_agreement, 4),
                "signal_share": round(share, 4),
            },
        )


def looks_standardised(records: PositionMoments, public: PositionMoments) -> bool:
    """Say whether positions of records differ far less than those of features do."""
    means = [float(np.linalg.norm(m.means - m.means.mean(axis=0))) for m in (records, public)]
    spreads = [_spread(m) for m in (records, public)]
    return means[0] < _ALIKE * means[1] and spreads[0] < _ALIKE * spreads[1]


def _spread(moments: PositionMoments) -> float:
    """Return how far whitened covariances of positions differ, beyond what few maps explain."""
    own = moments.covariances - moments.covariances.mean(axis=0)
    d = own.shape[1]
    by_chance = (d * d + d) / moments.count
    return max(float(np.square(own).sum(axis=(1, 2)).mean()) - by_chance, 0.0)


def signal_share(public: CrossMoments, records: CrossMoments) -> float:
    """Return the share of a white record token that is signal, by how much weaker pairs are."""
    sizes = [float(np.linalg.norm(moments.covariances)) for moments in (records, public)]
    return min(sizes[0] / max(sizes[1], 1e-12), 1.0)


def _order(
    theirs: PositionMoments,
    ours: PositionMoments,
    settings: CrossCovarianceSettings,
    *,
    standardised: bool,
    rng: np.random.Generator,
) -> Int64[np.ndarray, " n"]:
    """Match positions; by pairs of them alone where they are standardised."""
    layers = [2, 3] if standardised else list(range(len(ours.layers)))
    problem = pose(theirs.layers[layers], ours.layers[layers])
    return match_positions(problem, random_starts=settings.random_starts, rng=rng)[0].place


def _white_pair(
    held: Float32[np.ndarray, "r n d"],
    own: Float32[np.ndarray, "p n d"],
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
) -> tuple[Float32[np.ndarray, "p n d"], Float32[np.ndarray, "r n d"]]:
    """Return both sets white, in the extractor's order."""
    there = np.empty_like(held)
    there[:, place] = whitened(held, theirs.raw_means, theirs.whitening)
    return whitened(own, ours.raw_means, ours.whitening), there


def _starts(
    held: Float32[np.ndarray, "r n d"],
    own: Float32[np.ndarray, "p n d"],
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
    rng: np.random.Generator,
) -> list[Float64[np.ndarray, "d d"]]:
    """Return where to begin: from positions alone, and from groups of like tokens."""
    settings = TokenClusterSettings()
    groups, _ = recover_rotation(
        whiten_tokens(some_maps(held, settings.max_records, rng)),
        whiten_tokens(some_maps(own, settings.max_public, rng)),
        settings,
        rng,
    )
    alone = align(
        ours.means[place], theirs.means, ours.covariances[place], theirs.covariances, max_steps=40
    )
    return [alone, groups]


def _features(
    white: Float32[np.ndarray, "q n d"],
    turned: Turned,
    share: float,
    means: Float64[np.ndarray, "n d"],
    roots: Float64[np.ndarray, "n d d"],
) -> Float32[np.ndarray, "q n d"]:
    """Turn white records back, shrink what noise there is, and colour each position again."""
    back = white.transpose(1, 0, 2).astype(np.float64) @ (share * turned.rotation.T)
    return ((back @ roots).transpose(1, 0, 2) + means).astype(np.float32)
