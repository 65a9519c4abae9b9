"""Secret matrices: Gaussian as in the paper, Haar-distributed orthogonal, and projections."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from xnn.errors import ConfigError
from xnn.keystream import KeyStream

Mix = Literal["none", "gaussian", "haar"]

MAX_CONDITION = 1e4
"""Largest accepted ratio of singular values of a Gaussian matrix.

About 13 d at the paper's d = 768, where one draw in seven is refused (P(cond > t d) is near 2 / t,
Edelman 1988). It bounds what re-keying loses: float32 records come back to 1e-3 or better.
"""

_MAX_DRAWS = 64


def draw_matrix(stream: KeyStream, d: int, mix: Mix) -> Float64[np.ndarray, "d d"]:
    """Draw the matrix M of a key.

    Args:
        stream: Key stream read only for this.
        d: Width of a token.
        mix: "gaussian" has entries N(0, 1/d), redrawn while its condition number is above
            `MAX_CONDITION`; "haar" is uniform over the orthogonal group; "none" is the identity.

    Source: arXiv:2408.04974 (gaussian); Stewart 1980 (haar).
    """
    if mix == "none":
        return np.eye(d)
    if mix == "haar":
        return _haar(stream, d)
    for _ in range(_MAX_DRAWS):
        matrix = stream.normals(d * d).reshape(d, d) / np.sqrt(np.float64(d))
        if np.linalg.cond(matrix) <= MAX_CONDITION:
            return matrix
    raise ConfigError(f"no {d}x{d} Gaussian matrix below condition {MAX_CONDITION:g}; use haar")


def draw_projection(stream: KeyStream, d: int, e: int) -> Float64[np.ndarray, "d e"]:
    """Draw a matrix with entries N(0, 1/e), which keeps the length of a row on average.

    Args:
        stream: Key stream read only for this.
        d: Width of what goes in.
        e: Width of what comes out; less, the same or more.
    """
    return stream.normals(d * e).reshape(d, e) / np.sqrt(np.float64(e))


def _haar(stream: KeyStream, d: int) -> Float64[np.ndarray, "d d"]:
    """Multiply Householder reflections of Gaussian vectors of growing length."""
    normals = stream.normals(d * (d + 1) // 2)
    matrix = np.eye(d)
    for start in range(d - 1, -1, -1):
        length = d - start
        x, normals = normals[:length], normals[length:]
        sign = 1.0 if x[0] >= 0 else -1.0
        v = x.copy()
        v[0] += sign * np.sqrt(tree_sum(x * x))
        scale = 2.0 / tree_sum(v * v)
        block = matrix[start:]
        # The reflection sends x to -sign |x| e1. Multiplied by -sign it sends x to +|x| e1: the
        # QR decomposition with a positive diagonal, whose Q is Haar.
        block -= (scale * v)[:, None] * tree_sum(v[:, None] * block)[None, :]
        block *= -sign
    return matrix


def tree_sum(x: np.ndarray) -> Any:
    """Sum over the first axis in one fixed order: halves folded onto each other.

    A vector gives a float64, a matrix a vector.

    Library sums choose their order by processor; this one is the same bits everywhere.
    """
    while len(x) > 1:
        half = (len(x) + 1) // 2
        folded = x[:half].copy()
        folded[: len(x) - half] += x[half:]
        x = folded
    return x[0]
