"""The order of tokens in known pairs, from leverages that no matrix changes.

Stack the tokens of k pairs: records Y (k m rows) and features X (k n rows). Where Y = P X M, both
have the same column space up to the order of rows, and so the same projection onto it (the hat
matrix) up to the order of rows and columns. It says something once the rows outnumber the rank.

Source: this project (redteam.md, P3 and A5).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

MAX_ROWS = 2000
"""Tokens stacked at most; the hat matrix has this number squared of entries."""
_ROUNDS = 20
_RANK_TOLERANCE = 1e-6
"""Singular value that counts as zero, over the largest. Features are float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedOrder:
    """Which position stands where in the records of known pairs."""

    place: Int64[np.ndarray, "k m"]
    """place[a, i] is the position of the extractor's token at place i of record a."""
    agreement: float
    """Correlation of the two hat matrices off their diagonal, in this order: 1 = exact. Of no
    meaning where the rows do not outnumber the rank."""
    rank: int
    """Of the stacked features."""
    rows: int
    """Stacked."""


def match_tokens(
    records: Float32[np.ndarray, "k m e"],
    features: Float32[np.ndarray, "k n d"],
    *,
    fresh_order: bool,
) -> PairedOrder:
    """Find the order of tokens in records of known features.

    Takes as many pairs as `MAX_ROWS` allows to stack; where each record has an order of its own,
    the pairs beyond those get none and are left out of `place`.

    Args:
        records: Of known photographs; at most as many tokens as the features have.
        features: Of the same photographs.
        fresh_order: Whether each record has an order of its own.
    """
    k = max(1, min(len(records), MAX_ROWS // features.shape[1]))
    left, right, rank = _hats(records[:k], features[:k])
    cost = _by_sorted_rows(left, right)
    if not fresh_order:
        cost = cost.sum(axis=0, keepdims=True) + _by_own_entries(left, right)
    place = _assign(cost, k)
    for _ in range(_ROUNDS):
        cost = _by_matched_rows(left, right, place)
        better = _assign(cost if fresh_order else cost.sum(axis=0, keepdims=True), k)
        if np.array_equal(better, place):
            break
        place = better
    return PairedOrder(
        place=place if fresh_order else np.repeat(place[:1], len(records), axis=0),
        agreement=_agreement(left, right, place),
        rank=rank,
        rows=k * features.shape[1],
    )


def agreement_of(
    records: Float32[np.ndarray, "k m e"],
    features: Float32[np.ndarray, "k n d"],
    place: Int64[np.ndarray, " m"],
) -> float:
    """Return the `agreement` of an order that all records share."""
    k = max(1, min(len(records), MAX_ROWS // features.shape[1]))
    left, right, _ = _hats(records[:k], features[:k])
    return _agreement(left, right, np.repeat(place[None], k, axis=0))


def _hats(
    records: Float32[np.ndarray, "k m e"], features: Float32[np.ndarray, "k n d"]
) -> tuple[Float64[np.ndarray, "k m k m"], Float64[np.ndarray, "k n k n"], int]:
    """Return the projections onto the column spaces, to the rank of the features.

    The records get that rank too: below it they hold the rounding of what they were stored in.
    """
    (k, m), n = records.shape[:2], features.shape[1]
    bases = []
    for stack in (records.reshape(k * m, -1), features.reshape(k * n, -1)):
        basis, values, _ = np.linalg.svd(stack.astype(np.float64), full_matrices=False)
        bases.append((basis, int(np.sum(values > _RANK_TOLERANCE * values[0]))))
    rank = bases[1][1]
    (left, _), (right, _) = bases
    left, right = left[:, :rank], right[:, :rank]
    return (left @ left.T).reshape(k, m, k, m), (right @ right.T).reshape(k, n, k, n), rank


def _by_sorted_rows(
    left: Float64[np.ndarray, "k m k m"], right: Float64[np.ndarray, "k n k n"]
) -> Float64[np.ndarray, "k m n"]:
    """Compare tokens of each pair by their rows, sorted within each block: no order needed."""
    k, m, n = len(left), left.shape[1], right.shape[1]
    spread = np.linspace(0, n - 1, m).round().astype(np.int64)  # as many as the records have
    a = np.sort(left, axis=3).reshape(k, m, -1)
    b = np.sort(right, axis=3)[..., spread].reshape(k, n, -1)
    return _squared_distances(a, b)


def _by_own_entries(
    left: Float64[np.ndarray, "k m k m"], right: Float64[np.ndarray, "k n k n"]
) -> Float64[np.ndarray, "1 m n"]:
    """Compare places of a shared order by the entries of a token with itself across pairs."""
    a, b = (np.einsum("aibi->iab", hat).reshape(1, hat.shape[1], -1) for hat in (left, right))
    return _squared_distances(a, b)


def _by_matched_rows(
    left: Float64[np.ndarray, "k m k m"],
    right: Float64[np.ndarray, "k n k n"],
    place: Int64[np.ndarray, "k m"],
) -> Float64[np.ndarray, "k m n"]:
    """Compare tokens by their rows, the columns in the order found so far."""
    k, m, n = len(left), left.shape[1], right.shape[1]
    ordered = right[:, :, np.arange(k)[:, None], place]
    return _squared_distances(left.reshape(k, m, -1), ordered.reshape(k, n, -1))


def _agreement(
    left: Float64[np.ndarray, "k m k m"],
    right: Float64[np.ndarray, "k n k n"],
    place: Int64[np.ndarray, "k m"],
) -> float:
    k, m = place.shape
    pairs = np.arange(k)[:, None]
    ordered = right[pairs, place][:, :, pairs, place].reshape(k * m, k * m)
    off = ~np.eye(k * m, dtype=bool)
    a, b = left.reshape(k * m, k * m)[off], ordered[off]
    if not (a.std() > 1e-9 and b.std() > 1e-9):  # as many rows as the rank: the identity
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _assign(cost: Float64[np.ndarray, "j m n"], k: int) -> Int64[np.ndarray, "k m"]:
    """Return the cheapest order of each pair, or the one of all of them repeated."""
    found = np.stack([linear_sum_assignment(one)[1] for one in cost]).astype(np.int64)
    return np.repeat(found, k // len(found), axis=0)


def _squared_distances(
    a: Float64[np.ndarray, "j m f"], b: Float64[np.ndarray, "j n f"]
) -> Float64[np.ndarray, "j m n"]:
    left, right = np.square(a).sum(axis=2)[:, :, None], np.square(b).sum(axis=2)[:, None, :]
    return left + right - 2 * a @ b.transpose(0, 2, 1)
