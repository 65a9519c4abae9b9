"""The rotation between two whitened sets whose positions are matched.

Whitened means and covariances obey m_y = m_x Q and S_y = Q' S_x Q. Both sides are maximised
together by repeated polar decomposition.

Source: this project (redteam.md, A1 step 3); joint block diagonalisation of covariances.
"""

import numpy as np
from jaxtyping import Float32, Float64

_INERTIA = 1e-3
"""Weight of the rotation so far: keeps what the statistics say nothing about."""
_MOMENTUM = 0.9


def polar(matrix: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d d"]:
    """Return the orthogonal matrix nearest to a square one."""
    left, _, right = np.linalg.svd(matrix)
    return left @ right


def align(
    means_x: Float64[np.ndarray, "n d"],
    means_y: Float64[np.ndarray, "n d"],
    covariances_x: Float32[np.ndarray, "m d d"],
    covariances_y: Float32[np.ndarray, "m d d"],
    *,
    start: Float64[np.ndarray, "d d"] | None = None,
    max_steps: int = 60,
    tolerance: float = 3e-3,
    covariance_weight: float = 1.0,
) -> Float64[np.ndarray, "d d"]:
    """Return the rotation Q that takes x to y.

    Args:
        means_x: Whitened means, row i on both sides the same position.
        means_y: The same of the other set.
        covariances_x: Whitened covariances, perhaps of some of the positions only.
        covariances_y: The same positions of the other set.
        start: Where to begin; None starts from the means alone.
        max_steps: Polar steps at most.
        tolerance: Stop when a step moves Q by less than this, per channel.
        covariance_weight: Weight of the covariances beside the means.
    """
    d = means_x.shape[1]
    from_means = means_x.T @ means_y
    if start is None:
        start = polar(from_means + 1e-9 * np.trace(np.abs(from_means)) / d * np.eye(d))
    mean_share = d / (np.linalg.norm(means_x) * np.linalg.norm(means_y) + 1e-12)
    # Only what is particular to a position tells rotations apart.
    own_x = covariances_x - covariances_x.mean(axis=0)
    own_y = covariances_y - covariances_y.mean(axis=0)
    share = covariance_weight * d / (np.linalg.norm(own_x) * np.linalg.norm(own_y) + 1e-12)
    rotation, before, run = start, start, 0
    for _ in range(max_steps):
        # Looking ahead along the last move saves four steps of five.
        ahead = rotation + min(_MOMENTUM, run / (run + 3)) * (rotation - before)
        pull = mean_share * from_means + share * transported(own_x, own_y, ahead.astype(np.float32))
        run = 0 if np.sum(pull * (rotation - before)) < 0 else run + 1
        before, rotation = rotation, polar(pull + _INERTIA * ahead)
        if np.linalg.norm(rotation - before) < tolerance * np.sqrt(d):
            break
    return rotation


def transported(
    left: Float32[np.ndarray, "m d d"],
    right: Float32[np.ndarray, "m d d"],
    rotation: Float32[np.ndarray, "d d"],
) -> Float64[np.ndarray, "d d"]:
    """Return sum_t left_t Q right_t."""
    total = np.zeros(rotation.shape)
    for one, other in zip(left, right, strict=True):
        total += one @ (rotation @ other)
    return total
