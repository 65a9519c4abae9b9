"""A linear key from two unpaired sets: records of one people, features of another.

Graph matching finds the order of tokens, polar steps the rotation between the whitened sets, a
second look in the aligned space corrects the order, and the likelihood refines the matrix. Where
records are few, several ridges and mirrored orders are tried and the likelihood chooses.

Source: this project (redteam.md, A1).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import KeyEstimate
from xnn.attacks.statistics.graph_matching import match_positions, mirror_of_grid, pose
from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.attacks.statistics.likelihood import refine
from xnn.attacks.statistics.moments import (
    PositionMoments,
    layers_at_count,
    measure,
)
from xnn.attacks.statistics.reordering import reorder
from xnn.attacks.statistics.rotation import align
from xnn.errors import InsufficientDataError

FEWEST_RECORDS = 4
_BATCH = 256
_FEWEST_PUBLIC = 20
_TOKENS_PER_CHANNEL = 4
_SUBSET_MAPS = 200
"""Up to this many records, the attacker's layers are measured on subsets just as small."""
_SUBSET_DRAWS = 6
_PLENTY = 6
"""Tokens per channel above which the records' own covariance can be trusted."""
_STEPS, _STEPS_WHEN_FEW = 60, 15
_RIDGES = (0.1, 1.0)
"""Tried where it cannot: shares of the mean variance added before whitening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpairedSettings:
    """Effort."""

    max_public: int = 2000
    """Maps of the attacker's own that are measured; drawn at random."""
    max_public_when_few: int = 800
    """The same where few records are held, since then much is tried."""
    max_records: int = 5000
    random_starts: int = 3
    """Of the graph matching, beside its four fixed ones."""
    max_positions: int = 64
    """Positions whose covariances steer the rotation; all of them in the last steps."""
    rounds: int = 3
    """Alternations of rotation and order."""
    max_likelihood_tokens: int = 20_000
    """Up to this many tokens in the records, the matrix is refined by likelihood."""
    max_model: int = 1200
    """Maps that the public model of the likelihood is fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recovered:
    """A key, and what was noticed on the way."""

    key: KeyEstimate
    details: dict[str, Any]


def undo(records: Float32[np.ndarray, "b n d"], key: KeyEstimate) -> Float32[np.ndarray, "b n d"]:
    """Return the features behind records under a key."""
    features = np.empty_like(records)
    for start in range(0, len(records), _BATCH):
        part = records[start : start + _BATCH].astype(np.float64)
        features[start : start + _BATCH, key.place] = (part @ key.inverse).astype(np.float32)
    return features


def check_enough(num_records: int, num_public: int, *, n: int, d: int) -> None:
    """Refuse sets too small to measure.

    Raises:
        InsufficientDataError: Says how many are needed.
    """
    if num_records < FEWEST_RECORDS:
        raise InsufficientDataError(
            f"{num_records} records held; statistics of positions need at least {FEWEST_RECORDS}"
        )
    needed = max(_FEWEST_PUBLIC, -(-_TOKENS_PER_CHANNEL * d // n))
    if num_public < needed:
        raise InsufficientDataError(
            f"{num_public} public images held; covariances of {n} tokens of width {d} need at "
            f"least {needed}"
        )


def recover_key(
    records: Float32[np.ndarray, "r n d"],
    public: Float32[np.ndarray, "p n d"],
    *,
    settings: UnpairedSettings,
    seed: int,
) -> Recovered:
    """Find the key of records made as O = P F M.

    Args:
        records: Under one key.
        public: Features of other images.
        settings: Effort.
        seed: Draws subsets and starts.

    Raises:
        InsufficientDataError: Too few of either.
    """
    _, n, d = public.shape
    check_enough(len(records), len(public), n=n, d=d)
    rng = np.random.default_rng(seed)
    held = some_maps(records, settings.max_records, rng)
    own = some_maps(public, settings.max_public, rng)
    few = len(held) * n < _PLENTY * d
    if few:
        own = some_maps(own, settings.max_public_when_few, rng)
    likely = len(held) * n <= settings.max_likelihood_tokens
    model = JointGaussian.fit(some_maps(own, settings.max_model, rng)) if likely else None
    trials: list[_Trial] = []
    for ridge in _RIDGES if few else (0.0,):
        theirs, ours = measure(held, ridge=ridge), measure(own, ridge=ridge)
        for first in _orders(held, own, theirs, ours, ridge, settings, rng):
            steps = _STEPS_WHEN_FEW if few else _STEPS
            place, inverse = _alternate(theirs, ours, first, settings, steps, rng)
            trial = _Trial(theirs=theirs, ours=ours, place=place, inverse=inverse)
            if model is None or not few:
                trials.append(trial)
                break
            trials.append(trial.climbed(held, model, rounds=1, steps=8))
    best = min(trials, key=lambda trial: trial.objective)
    if model is not None:
        best = best.climbed(held, model)
        if few and (better := best.reordered()) is not best:
            best = better.climbed(held, model)
    details = {
        "orders_tried": len(trials),
        "records_measured": len(held),
        "public_measured": len(own),
        "objective": best.objective if model is not None else None,
    }
    key = KeyEstimate(place=best.place, inverse=best.inverse)
    return Recovered(key=key, details=details)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """One order with its matrix, and how likely they are."""

    theirs: PositionMoments
    ours: PositionMoments
    place: Int64[np.ndarray, " n"]
    inverse: Float64[np.ndarray, "d d"]
    objective: float = 0.0

    def climbed(
        self,
        held: Float32[np.ndarray, "r n d"],
        model: JointGaussian,
        *,
        rounds: int = 3,
        steps: int = 15,
    ) -> "_Trial":
        """Return the trial with a likelier matrix."""
        whitening = self.theirs.whitening
        found = refine(held, self.place, self.inverse, model, whitening, rounds=rounds, steps=steps)
        # Ridges whiten differently; likelihoods are compared in the records' own units.
        unit = float(np.linalg.slogdet(whitening.inverse_root)[1])
        volume = (2.0 - 2.0 * len(self.inverse) / held[:, :, 0].size) / len(self.inverse)
        return replace(self, inverse=found.inverse, objective=found.objective - volume * unit)

    def reordered(self) -> "_Trial":
        """Return the trial with the order that its matrix suggests; itself if that is the same."""
        back = self.theirs.whitening.root @ self.inverse @ self.ours.whitening.inverse_root
        place = reorder(self.theirs, self.ours, back)
        return self if np.array_equal(place, self.place) else replace(self, place=place)


def _orders(
    held: Float32[np.ndarray, "r n d"],
    own: Float32[np.ndarray, "p n d"],
    theirs: PositionMoments,
    ours: PositionMoments,
    ridge: float,
    settings: UnpairedSettings,
    rng: np.random.Generator,
) -> list[Int64[np.ndarray, " n"]]:
    """Return orders worth trying, best first: faces look much like their mirror images."""
    layers = ours.layers
    if len(held) <= _SUBSET_MAPS:
        layers = layers_at_count(own, len(held), draws=_SUBSET_DRAWS, ridge=ridge, rng=rng)
    matches = match_positions(
        pose(theirs.layers, layers), random_starts=settings.random_starts, rng=rng
    )
    best = matches[0].place
    mirror = mirror_of_grid(len(best))
    return [best] if mirror is None else [best, mirror[best]]


def _alternate(
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
    settings: UnpairedSettings,
    max_steps: int,
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "d d"]]:
    """Take turns between rotation and order until the order stays; return it and the matrix."""
    n = len(place)
    some = np.sort(rng.permutation(n)[: settings.max_positions])
    rotation: Float64[np.ndarray, "d d"] | None = None
    for _ in range(settings.rounds):
        rotation = _rotation(theirs, ours, place, some, start=rotation, max_steps=max_steps)
        better = reorder(theirs, ours, rotation.T)
        if np.array_equal(better, place):
            break
        place = better
    if rotation is None or len(some) < n:
        rotation = _rotation(theirs, ours, place, np.arange(n), start=rotation, max_steps=5)
    return place, theirs.whitening.inverse_root @ rotation.T @ ours.whitening.root


def _rotation(
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
    some: Int64[np.ndarray, " m"],
    *,
    start: Float64[np.ndarray, "d d"] | None,
    max_steps: int,
) -> Float64[np.ndarray, "d d"]:
    return align(
        ours.means[place],
        theirs.means,
        ours.covariances[place[some]],
        theirs.covariances[some],
        start=start,
        max_steps=max_steps,
    )


def some_maps(
    tokens: Float32[np.ndarray, "b n d"], limit: int, rng: np.random.Generator
) -> Float32[np.ndarray, "c n d"]:
    """Return at most so many maps, drawn at random, in their order."""
    if len(tokens) <= limit:
        return tokens
    return tokens[np.sort(rng.permutation(len(tokens))[:limit])]
