"""Means and covariances per position, and what of them no key of the form O = P F M can change.

Tokens are whitened by the pooled within-position covariance of their own set. Whitened records and
whitened features then differ by a permutation and a rotation only, so that inner products between
whitened statistics of two positions (the layers) differ by the permutation only.

Source: this project (redteam.md, P1 and P2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.errors import InsufficientDataError

_BATCH = 128
_FLOOR = 1e-10
"""Smallest eigenvalue of a covariance that is taken as more than rounding, over the largest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whitening:
    """A pooled covariance C with its symmetric roots."""

    root: Float64[np.ndarray, "d d"]
    """C^(1/2)."""
    inverse_root: Float64[np.ndarray, "d d"]
    """C^(-1/2)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PositionMoments:
    """What is measured of one set of token maps."""

    count: int
    """Maps measured."""
    raw_means: Float64[np.ndarray, "n d"]
    """Mean token of each position, as stored."""
    whitening: Whitening
    means: Float64[np.ndarray, "n d"]
    """The same, whitened."""
    covariances: Float32[np.ndarray, "n d d"]
    """Covariance of each position, whitened; their mean is the identity, but for the ridge."""
    layers: Float64[np.ndarray, "l n n"]
    """Comparisons of positions that no key changes but for the order of rows and columns."""


def measure(
    tokens: Float32[np.ndarray, "b n d"], *, ridge: float = 0.0, noise_variance: float = 0.0
) -> PositionMoments:
    """Measure a set of token maps, features or records.

    Args:
        tokens: At least two maps.
        ridge: Share of the mean variance added to every direction before whitening.
        noise_variance: Variance per channel of noise that is known to lie on every token, as a
            multiple of the identity; taken off the pooled covariance.

    Raises:
        InsufficientDataError: Fewer than two maps, or tokens without variance.
    """
    raw_means = tokens.mean(axis=0, dtype=np.float64)
    whitening = whiten(
        pooled_covariance(tokens, raw_means), ridge=ridge, noise_variance=noise_variance
    )
    means = raw_means @ whitening.inverse_root
    n, d = raw_means.shape
    covariances = np.zeros((n, d, d), dtype=np.float32)
    products, squares = np.zeros((n, n)), np.zeros((n, n))
    for start in range(0, len(tokens), _BATCH):
        white = whitened(tokens[start : start + _BATCH], raw_means, whitening)
        by_position = white.transpose(1, 0, 2)
        covariances += by_position.transpose(0, 2, 1) @ by_position
        grams = white @ white.transpose(0, 2, 1)
        products += grams.sum(axis=0, dtype=np.float64)
        squares += np.square(grams).sum(axis=0, dtype=np.float64)
    count = len(tokens)
    covariances /= np.float32(count)
    flat = covariances.reshape(n, -1)
    short = means.astype(np.float32)
    coupled = ((short @ covariances) * short).sum(axis=2, dtype=np.float64)
    layers = np.stack(
        [
            means @ means.T,
            (flat @ flat.T).astype(np.float64) / d,
            products / (count * d),
            squares / (count * d * d),
            coupled / d,
        ]
    )
    return PositionMoments(
        count=count,
        raw_means=raw_means,
        whitening=whitening,
        means=means,
        covariances=covariances,
        layers=layers,
    )


def pooled_covariance(
    tokens: Float32[np.ndarray, "b n d"], means: Float64[np.ndarray, "n d"]
) -> Float64[np.ndarray, "d d"]:
    """Return the covariance of tokens round the mean of their position, over all positions.

    Raises:
        InsufficientDataError: Fewer than two maps, or tokens without variance.
    """
    b, n, d = tokens.shape
    total = np.zeros((d, d))
    for start in range(0, b, _BATCH):
        centred = (tokens[start : start + _BATCH] - means).reshape(-1, d)
        total += centred.T @ centred
    if b < 2 or not np.trace(total) > 0:
        raise InsufficientDataError(
            f"{b} token maps hold no variance to measure; the attack needs at least 2 that differ"
        )
    covariance: Float64[np.ndarray, "d d"] = total / (b * n)
    return covariance


def whiten(
    covariance: Float64[np.ndarray, "d d"], *, ridge: float = 0.0, noise_variance: float = 0.0
) -> Whitening:
    """Return the roots of a covariance, ridged, with noise taken off its eigenvalues."""
    variances, directions = np.linalg.eigh(covariance)
    mean = variances.mean()
    # Where noise was more than a direction holds, a little is left: the ridge, and this share.
    variances = np.maximum(variances - noise_variance, 0.02 * noise_variance)
    variances = np.maximum(variances, _FLOOR * variances[-1]) + ridge * mean
    roots = np.sqrt(variances)
    return Whitening(
        root=(directions * roots) @ directions.T,
        inverse_root=(directions / roots) @ directions.T,
    )


def whitened(
    tokens: Float32[np.ndarray, "b n d"],
    means: Float64[np.ndarray, "n d"],
    whitening: Whitening,
) -> Float32[np.ndarray, "b n d"]:
    """Return tokens less the mean of their position, whitened in float64."""
    return ((tokens - means) @ whitening.inverse_root).astype(np.float32)


def layers_at_count(
    tokens: Float32[np.ndarray, "b n d"],
    count: int,
    *,
    draws: int,
    ridge: float,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "l n n"]:
    """Return the layers of random subsets of a size, averaged: biased as those of that few records.

    Args:
        tokens: The attacker's own features.
        count: Maps in a subset; all are used when there are no more.
        draws: Subsets averaged.
        ridge: As for the records.
        rng: Draws the subsets.
    """
    rows: list[Int64[np.ndarray, " c"]] = [
        np.sort(rng.permutation(len(tokens))[:count]) for _ in range(draws)
    ]
    return np.mean([measure(tokens[r], ridge=ridge).layers for r in rows], axis=0)
