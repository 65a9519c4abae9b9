"""The rotation from how positions vary together, for records whose positions are all alike alone.

Taking away the mean and the covariance of every position leaves K_st = E[z_s' z_t] of two of them,
which turns with the key: K^Y_st = Q' K_st Q. Noise that is independent between tokens only scales
it. Second moments cannot tell Q from -Q; third ones can.

Source: this project (redteam.md, A2).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from xnn.attacks.statistics.rotation import polar

_MOMENTUM = 0.9
_INERTIA = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossMoments:
    """Of white tokens, at the same pairs of positions on both sides."""

    covariances: Float32[np.ndarray, "p d d"]
    """K_st of each pair."""
    skews: Float64[np.ndarray, "n d"]
    """E[z |z|^2] of each position."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turned:
    """A rotation from features to records."""

    rotation: Float64[np.ndarray, "d d"]
    agreement: float
    """Cosine of the turned covariances with those of the records; 1 = the same."""
    sign_agreement: float
    """Cosine of the turned third moments with those of the records, after the sign is chosen."""


def strongest_pairs(
    products: Float64[np.ndarray, "n n"], count: int
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Return the pairs of positions s < t that vary together most."""
    first, second = np.triu_indices(len(products), k=1)
    order = np.argsort(-np.abs(products[first, second]), kind="stable")[:count]
    return first[order].astype(np.int64), second[order].astype(np.int64)


def standardise(
    tokens: Float32[np.ndarray, "b n d"], *, ridge: float = 1e-3
) -> tuple[Float32[np.ndarray, "b n d"], Float64[np.ndarray, "n d"], Float64[np.ndarray, "n d d"]]:
    """Take away mean and covariance of every position.

    Returns:
        The tokens, the means, and the symmetric roots that bring the covariances back.
    """
    n, d = tokens.shape[1:]
    means = tokens.mean(axis=0, dtype=np.float64)
    white, roots = np.empty_like(tokens), np.empty((n, d, d))
    for t in range(n):
        centred = tokens[:, t] - means[t]
        covariance = centred.T @ centred / len(tokens)
        variances, directions = np.linalg.eigh(covariance)
        variances = np.maximum(variances, 0) + ridge * variances.mean()
        roots[t] = (directions * np.sqrt(variances)) @ directions.T
        white[:, t] = centred @ ((directions / np.sqrt(variances)) @ directions.T)
    return white, means, roots


def measure_pairs(
    white: Float32[np.ndarray, "b n d"],
    first: Int64[np.ndarray, " p"],
    second: Int64[np.ndarray, " p"],
) -> CrossMoments:
    """Measure pairs of positions, and the third moments of all positions."""
    b = np.float32(len(white))
    by_position = np.ascontiguousarray(white.transpose(1, 0, 2))
    covariances = np.stack(
        [by_position[s].T @ by_position[t] / b for s, t in zip(first, second, strict=True)]
    )
    sizes = np.square(white).sum(axis=2, keepdims=True)
    skews = (white * (sizes - sizes.mean(axis=0))).mean(axis=0, dtype=np.float64)
    return CrossMoments(covariances=covariances, skews=skews)


def turn(
    public: CrossMoments,
    records: CrossMoments,
    start: Float64[np.ndarray, "d d"],
    *,
    max_steps: int = 60,
    tolerance: float = 2e-3,
) -> Turned:
    """Climb from a rotation to one under which all pairs agree, and choose its sign.

    Args:
        public: Of the attacker's features.
        records: Of the records, same pairs in the same order, same order of positions.
        start: From features to records.
        max_steps: Polar steps at most.
        tolerance: Stop when a step moves the rotation by less than this, per channel.
    """
    d = len(start)
    size = float(np.linalg.norm(public.covariances) * np.linalg.norm(records.covariances)) + 1e-12
    rotation, before, run = start, start, 0
    for _ in range(max_steps):
        ahead = rotation + min(_MOMENTUM, run / (run + 3)) * (rotation - before)
        pull = d / size * _pull(public, records, ahead.astype(np.float32))
        run = 0 if np.sum(pull * (rotation - before)) < 0 else run + 1
        before, rotation = rotation, polar(pull + _INERTIA * ahead)
        if np.linalg.norm(rotation - before) < tolerance * np.sqrt(d):
            break
    agreement = float(np.sum(_pull(public, records, rotation.astype(np.float32)) * rotation))
    third = float(np.sum((public.skews @ rotation) * records.skews))
    scale = float(np.linalg.norm(public.skews) * np.linalg.norm(records.skews)) + 1e-12
    return Turned(
        rotation=rotation if third >= 0 else -rotation,
        agreement=agreement / (2 * size),
        sign_agreement=abs(third) / scale,
    )


def _pull(
    public: CrossMoments, records: CrossMoments, rotation: Float32[np.ndarray, "d d"]
) -> Float64[np.ndarray, "d d"]:
    """Return sum K Q K_y' + K' Q K_y."""
    total = np.zeros(rotation.shape)
    for one, other in zip(public.covariances, records.covariances, strict=True):
        total += one @ (rotation @ other.T) + one.T @ (rotation @ other)
    return total
