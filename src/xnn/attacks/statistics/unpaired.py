"""A linear key from two unpaired sets: records of one people, features of another.

Graph matching finds the order of tokens, polar steps the rotation between the whitened sets, and a
second look in the aligned space corrects the order.

Source: this project (redteam.md, A1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.answer import KeyEstimate
from xnn.attacks.statistics.graph_matching import match_positions, pose
from xnn.attacks.statistics.moments import PositionMoments, layers_at_count, measure
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpairedSettings:
    """Effort."""

    max_public: int = 2000
    """Maps of the attacker's own that are measured; drawn at random."""
    max_records: int = 5000
    random_starts: int = 3
    """Of the graph matching, beside its four fixed ones."""
    max_positions: int = 64
    """Positions whose covariances steer the rotation; all of them in the last steps."""
    rounds: int = 3
    """Alternations of rotation and order."""


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
    check_enough(len(records), len(public), n=public.shape[1], d=public.shape[2])
    rng = np.random.default_rng(seed)
    held = _some(records, settings.max_records, rng)
    own = _some(public, settings.max_public, rng)
    theirs, ours = measure(held), measure(own)
    layers = ours.layers
    if len(held) <= _SUBSET_MAPS:
        layers = layers_at_count(own, len(held), draws=_SUBSET_DRAWS, ridge=0.0, rng=rng)
    matches = match_positions(
        pose(theirs.layers, layers), random_starts=settings.random_starts, rng=rng
    )
    place, rotation = _alternate(theirs, ours, matches[0].place, settings, rng)
    inverse = theirs.whitening.inverse_root @ rotation.T @ ours.whitening.root
    return Recovered(
        key=KeyEstimate(place=place, inverse=inverse), details={"order_solutions": len(matches)}
    )


def _alternate(
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
    settings: UnpairedSettings,
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, "d d"]]:
    """Take turns between rotation and order until the order stays."""
    n = len(place)
    some = np.sort(rng.permutation(n)[: settings.max_positions])
    rotation: Float64[np.ndarray, "d d"] | None = None
    for _ in range(settings.rounds):
        rotation = _rotation(theirs, ours, place, some, start=rotation)
        better = reorder(theirs, ours, rotation.T)
        if np.array_equal(better, place):
            break
        place = better
    if rotation is None or len(some) < n:
        rotation = _rotation(theirs, ours, place, np.arange(n), start=rotation, max_steps=10)
    return place, rotation


def _rotation(
    theirs: PositionMoments,
    ours: PositionMoments,
    place: Int64[np.ndarray, " n"],
    some: Int64[np.ndarray, " m"],
    *,
    start: Float64[np.ndarray, "d d"] | None,
    max_steps: int = 30,
) -> Float64[np.ndarray, "d d"]:
    return align(
        ours.means[place],
        theirs.means,
        ours.covariances[place[some]],
        theirs.covariances[some],
        start=start,
        max_steps=max_steps,
    )


def _some(
    tokens: Float32[np.ndarray, "b n d"], limit: int, rng: np.random.Generator
) -> Float32[np.ndarray, "c n d"]:
    if len(tokens) <= limit:
        return tokens
    return tokens[np.sort(rng.permutation(len(tokens))[:limit])]
