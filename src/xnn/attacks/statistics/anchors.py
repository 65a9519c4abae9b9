"""Coordinates relative to known records: the same under every key that keeps inner products.

The attacker knows the photographs behind a few records, its anchors, and can make their records
under keys of its own. Inner products of a whitened record with the anchors' tokens hardly depend on
the key: not at all under a matrix, little under a wide random layer. So a map learned on the
attacker's own uploads, in these coordinates, can be applied to the stolen one.

Source: this project, after relative representations (arXiv:2209.15430).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

_ROUNDS = 3
_LEAST_VARIANCE = 1e-3
"""Directions of the anchors' span below this share of the largest are left out."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnchorFrame:
    """An orthonormal frame in the span of the anchors' tokens, in one upload."""

    axes: Float32[np.ndarray, "e q"]

    def __call__(self, records: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b m q"]:
        """Return the coordinates of each token."""
        return records @ self.axes


def frame_weights(
    anchors: Float32[np.ndarray, "k m e"], *, most: int
) -> Float32[np.ndarray, "t q"]:
    """Return how to combine the anchors' tokens into the axes of a frame.

    Args:
        anchors: Whitened records of the upload under attack.
        most: Axes wanted at most.
    """
    tokens = anchors.reshape(-1, anchors.shape[2]).astype(np.float64)
    left, scales, _ = np.linalg.svd(tokens, full_matrices=False)
    kept = np.flatnonzero(scales**2 > _LEAST_VARIANCE * scales[0] ** 2)[:most]
    return (left[:, kept] / scales[kept]).astype(np.float32)


def frame(
    anchors: Float32[np.ndarray, "k m e"], weights: Float32[np.ndarray, "t q"]
) -> AnchorFrame:
    """Return the frame of an upload whose anchors have tokens in the order of the weights."""
    tokens = anchors.reshape(-1, anchors.shape[2])
    return AnchorFrame(axes=tokens.T @ weights)


def match_anchors(
    theirs: Float32[np.ndarray, "k m e"],
    ours: Float32[np.ndarray, "k m f"],
    *,
    one_order: bool,
) -> Int64[np.ndarray, "k m"]:
    """Find the order of tokens that makes our records of the anchors like theirs.

    Args:
        theirs: Whitened records of the anchors in the upload under attack.
        ours: Whitened records of the same photographs under a key of the attacker's.
        one_order: Whether each upload has one order of tokens for all its records.

    Returns:
        For each anchor and token of theirs, the token of ours.
    """
    order = _first_places(theirs, ours) if one_order else _first_orders(theirs, ours)
    k, m, _ = theirs.shape
    if k == 1:
        return order
    left = theirs.reshape(k * m, -1)
    target = (left @ left.T).reshape(k, m, k * m)
    for _ in range(_ROUNDS):
        placed = np.take_along_axis(ours, order[:, :, None], axis=1).reshape(k * m, -1)
        products = ours @ placed.T
        agreement = np.empty((k, m, m))
        for j in range(k):
            others = np.ones(k * m, dtype=bool)
            others[j * m : (j + 1) * m] = False
            agreement[j] = _distances(target[j][:, others], products[j][:, others])
        if one_order:
            agreement = np.broadcast_to(agreement.sum(axis=0), agreement.shape)
        better = np.stack([linear_sum_assignment(cost)[1] for cost in agreement]).astype(np.int64)
        if np.array_equal(better, order):
            break
        order = better
    return order


def agreement(theirs: Float32[np.ndarray, "k m e"], placed: Float32[np.ndarray, "k m f"]) -> float:
    """Return the correlation of inner products between different anchors, token by token.

    Args:
        theirs: As in `match_anchors`.
        placed: Ours, their tokens in the order found.
    """
    k, m, _ = theirs.shape
    if k == 1:
        return 0.0
    owner = np.repeat(np.arange(k), m)
    other = owner[:, None] < owner[None, :]
    left, right = ((x.reshape(k * m, -1) @ x.reshape(k * m, -1).T)[other] for x in (theirs, placed))
    return float(np.corrcoef(left, right)[0, 1])


def _first_places(
    theirs: Float32[np.ndarray, "k m e"], ours: Float32[np.ndarray, "k m f"]
) -> Int64[np.ndarray, "k m"]:
    """Match places by how alike the anchors are to each other in each place."""
    k, m, _ = theirs.shape
    above = np.triu_indices(k)
    left, right = (np.einsum("jme,lme->mjl", x, x)[:, above[0], above[1]] for x in (theirs, ours))
    place = linear_sum_assignment(_distances(left, right))[1].astype(np.int64)
    return np.broadcast_to(place, (k, m)).copy()


def _first_orders(
    theirs: Float32[np.ndarray, "k m e"], ours: Float32[np.ndarray, "k m f"]
) -> Int64[np.ndarray, "k m"]:
    """Match tokens within each record by their length and their sorted inner products."""
    left, right = (_profiles(x) for x in (theirs, ours))
    return np.stack(
        [linear_sum_assignment(_distances(a, b))[1] for a, b in zip(left, right, strict=True)]
    ).astype(np.int64)


def _profiles(records: Float32[np.ndarray, "k m e"]) -> Float32[np.ndarray, "k m p"]:
    products = records @ records.transpose(0, 2, 1)
    lengths = np.diagonal(products, axis1=1, axis2=2)[:, :, None]
    return np.concatenate([lengths, np.sort(products, axis=2)], axis=2)


def _distances(
    left: Float32[np.ndarray, "m p"] | Float64[np.ndarray, "m p"],
    right: Float32[np.ndarray, "m p"] | Float64[np.ndarray, "m p"],
) -> Float64[np.ndarray, "m m"]:
    a, b = left.astype(np.float64), right.astype(np.float64)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None, :]
    return squares - 2 * a @ b.T
