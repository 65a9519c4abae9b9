"""The order of tokens of single records, once their channels can be read.

Every position has tokens of its own kind: each record is matched to Gaussians per position, and the
Gaussians' means are then measured anew on the records, so that faces unlike the public ones are met
half way.

Source: this project (redteam.md, A3 guided).
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

_RIDGE = 1e-3
"""Share of the mean variance added to every direction of the covariance round the means."""


def order_by_position(
    tokens: Float64[np.ndarray, "r m d"],
    known: Float32[np.ndarray, "b n d"],
    *,
    rounds: int = 2,
) -> Int64[np.ndarray, "r m"]:
    """Return the position of each token.

    Args:
        tokens: Features in an order of their own in each record.
        known: Features in the extractor's order: the attacker's.
        rounds: Matchings; the means of the records' own tokens are used from the second on.
    """
    d = known.shape[2]
    means = known.mean(axis=0, dtype=np.float64)
    whitener = _whitener(known)
    white, own = tokens @ whitener, means @ whitener
    place = _assign(white, own)
    for _ in range(1, rounds):
        sums, counts = np.zeros_like(own), np.zeros(len(own))
        np.add.at(sums, place.reshape(-1), white.reshape(-1, d))
        np.add.at(counts, place.reshape(-1), 1.0)
        # The public mean weighs as ten records, and is all there is for places never taken.
        place = _assign(white, (sums + 10 * (means @ whitener)) / (counts + 10)[:, None])
    return place


def order_by_tokens(
    tokens: Float64[np.ndarray, "k m d"],
    features: Float32[np.ndarray, "k n d"],
    known: Float32[np.ndarray, "b n d"],
) -> Int64[np.ndarray, " m"]:
    """Return the order that all records share, from known features of each of them.

    Args:
        tokens: Roughly read features, in the records' order.
        features: Of the same photographs, in the extractor's order.
        known: Features of the attacker's, which say which channels vary; may be none.
    """
    whitener = _whitener(known if len(known) > 1 else features)
    m, n = tokens.shape[1], features.shape[1]
    left = (tokens @ whitener).transpose(1, 0, 2).reshape(m, -1)
    right = (features @ whitener).transpose(1, 0, 2).reshape(n, -1)
    cost = np.square(right).sum(axis=1) - 2 * left @ right.T
    return linear_sum_assignment(cost)[1].astype(np.int64)


def _whitener(known: Float32[np.ndarray, "b n d"]) -> Float64[np.ndarray, "d d"]:
    """Return the map to channels in which tokens vary alike round the mean of their position."""
    d = known.shape[2]
    rest = (known - known.mean(axis=0, dtype=np.float64)).reshape(-1, d)
    covariance = rest.T @ rest / len(rest)
    covariance[np.diag_indices(d)] += _RIDGE * np.trace(covariance) / d + 1e-30
    return np.linalg.inv(np.linalg.cholesky(covariance)).T


def _assign(
    tokens: Float64[np.ndarray, "r m d"], means: Float64[np.ndarray, "n d"]
) -> Int64[np.ndarray, "r m"]:
    squared = np.square(means).sum(axis=1)
    found = [linear_sum_assignment(squared - 2 * one @ means.T)[1] for one in tokens]
    return np.stack(found).astype(np.int64)
