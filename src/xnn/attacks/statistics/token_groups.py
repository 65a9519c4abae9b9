"""Groups of tokens that look alike whatever the key: positions for records that have none.

A token is described by what no matrix and no order changes: its length in the whitened space, its
angles to the other tokens of its record. Groups of such descriptions hold like tokens on both
sides, so that their means and covariances can be compared as those of positions are.

Source: this project (redteam.md, A4).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.cluster.vq import kmeans2, vq
from scipy.special import ndtri
from scipy.stats import rankdata

from xnn.attacks.statistics.moments import Whitening, whiten
from xnn.errors import InsufficientDataError

_QUANTILES = np.linspace(0.0, 1.0, 12)
_KMEANS_ROWS = 20_000
_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WhiteTokens:
    """All tokens of a set, less their mean and whitened together."""

    mean: Float64[np.ndarray, " d"]
    whitening: Whitening
    tokens: Float32[np.ndarray, "b m d"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupMoments:
    """Means and covariances of groups."""

    counts: Int64[np.ndarray, " k"]
    means: Float64[np.ndarray, "k d"]
    covariances: Float32[np.ndarray, "k d d"]


def whiten_tokens(maps: Float32[np.ndarray, "b m d"]) -> WhiteTokens:
    """Whiten all tokens of a set by their total covariance.

    Raises:
        InsufficientDataError: Tokens without variance.
    """
    rows = maps.reshape(-1, maps.shape[2])
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    covariance = centred.T @ centred / max(1, len(rows))
    if not np.trace(covariance) > 0:
        raise InsufficientDataError(
            f"{len(rows)} tokens are all alike; the attack needs at least 2 that differ"
        )
    whitening = whiten(covariance)
    tokens = (centred @ whitening.inverse_root).astype(np.float32).reshape(maps.shape)
    return WhiteTokens(mean=mean, whitening=whitening, tokens=tokens)


def describe(white: Float32[np.ndarray, "b m d"]) -> Float32[np.ndarray, "bm f"]:
    """Describe each token by numbers that no key changes, each made normal by its rank.

    The ranks take away what shifts a number in one of the two sets as a whole.

    Args:
        white: Whitened tokens; at least two in a map.
    """
    parts = [_describe(white[i : i + _BATCH]) for i in range(0, len(white), _BATCH)]
    rows = np.concatenate(parts)
    ranks = rankdata(rows, axis=0)
    return ndtri(ranks / (len(rows) + 1)).astype(np.float32)


def _describe(white: Float32[np.ndarray, "b m d"]) -> Float32[np.ndarray, "bm f"]:
    b, m, _ = white.shape
    grams = white @ white.transpose(0, 2, 1)
    lengths = np.sqrt(np.diagonal(grams, axis1=1, axis2=2))
    centre = white.mean(axis=1)
    cosines = grams / np.maximum(lengths[:, :, None] * lengths[:, None, :], 1e-12)
    others = cosines[:, ~np.eye(m, dtype=bool)].reshape(b, m, m - 1)
    columns = [
        lengths,
        np.einsum("bmd,bd->bm", white, centre),
        np.broadcast_to(np.linalg.norm(centre, axis=1)[:, None], (b, m)),
        np.broadcast_to(lengths.mean(axis=1)[:, None], (b, m)),
        *np.quantile(others, _QUANTILES, axis=2),
    ]
    return np.stack(columns, axis=2).reshape(b * m, -1).astype(np.float32)


def find_groups(
    rows: Float32[np.ndarray, "p f"], count: int, *, rng: np.random.Generator
) -> Float32[np.ndarray, "k f"]:
    """Return the centres of groups (k-means++ and Lloyd's steps)."""
    some = rows[rng.permutation(len(rows))[:_KMEANS_ROWS]].astype(np.float64)
    count = min(count, len(some) // 4)
    centres, _ = kmeans2(some, max(1, count), minit="++", seed=rng, missing="warn", iter=15)
    return centres.astype(np.float32)


def group_of(
    rows: Float32[np.ndarray, "p f"], centres: Float32[np.ndarray, "k f"]
) -> Int64[np.ndarray, " p"]:
    """Return the nearest centre of each row."""
    return vq(rows, centres, check_finite=False)[0].astype(np.int64)


def measure_groups(
    white: Float32[np.ndarray, "b m d"], groups: Int64[np.ndarray, " bm"], count: int
) -> GroupMoments:
    """Return the moments of each group; those of an empty one are zero."""
    rows = white.reshape(-1, white.shape[2])
    d = rows.shape[1]
    means, covariances = np.zeros((count, d)), np.zeros((count, d, d), dtype=np.float32)
    counts = np.bincount(groups, minlength=count).astype(np.int64)
    for group in np.flatnonzero(counts):
        own = rows[groups == group]
        means[group] = own.mean(axis=0, dtype=np.float64)
        centred = own - means[group].astype(np.float32)
        covariances[group] = centred.T @ centred / np.float32(len(own))
    return GroupMoments(counts=counts, means=means, covariances=covariances)
