"""Optimal transport between Gaussians, position by position, from samples that are not paired.

From N(m, A) to N(k, B) the map is x -> k + T (x - m) with
T = A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2): symmetric, so that it turns
nothing it need not turn.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64

_FLOOR = 1e-6


def transport_map(
    source: Float32[np.ndarray, "s n d"],
    target: Float32[np.ndarray, "t n d"],
    *,
    shrinkage: float | None = None,
) -> Callable[[Float32[np.ndarray, "b n d"]], Float32[np.ndarray, "b n d"]]:
    """Return the map that gives every position of the source the target's mean and covariance.

    Args:
        source: Records, unpaired with the target.
        target: Features.
        shrinkage: Share of the mean variance blended into each covariance; None works it out for
            each position from the number of samples.
    """
    from_mean, to_mean = (part.mean(axis=0, dtype=np.float64) for part in (source, target))
    matrices = np.stack(
        [
            transport(
                shrunk_covariance(source[:, i], shrinkage),
                shrunk_covariance(target[:, i], shrinkage),
            )
            for i in range(source.shape[1])
        ]
    )

    def move(records: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        return (np.einsum("bnd,nde->bne", records - from_mean, matrices) + to_mean).astype(
            np.float32
        )

    return move


def transport(
    a: Float64[np.ndarray, "d d"], b: Float64[np.ndarray, "d d"]
) -> Float64[np.ndarray, "d d"]:
    """Return the symmetric T with T a T = b, of positive definite matrices."""
    values, vectors = np.linalg.eigh(a)
    roots = np.sqrt(np.maximum(values, _FLOOR * values[-1]))
    root, inverse = (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
    values, vectors = np.linalg.eigh(root @ b @ root)
    middle = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    found: Float64[np.ndarray, "d d"] = inverse @ middle @ inverse
    return found


def shrunk_covariance(
    rows: Float32[np.ndarray, "s d"], shrinkage: float | None
) -> Float64[np.ndarray, "d d"]:
    """Return the covariance of rows, blended with its mean variance.

    Source: oracle approximating shrinkage, Chen et al. 2010, where no share is given.
    """
    num, d = rows.shape
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / num
    level = np.trace(covariance) / d
    if shrinkage is None:
        energy = float(np.square(covariance).mean())
        above, below = energy + level**2, (num + 1) * (energy - level**2 / d)
        shrinkage = 1.0 if below <= 0 else min(1.0, float(above / below))
    blended: Float64[np.ndarray, "d d"] = (1 - shrinkage) * covariance
    blended[np.diag_indices(d)] += (shrinkage + _FLOOR) * level
    return blended
