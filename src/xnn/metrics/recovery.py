"""How close recovered features and keys come to the true ones, and whether they pick out the image.

Means hide failures: an answer that is the same for every image has a high raw cosine. So features
are centred first, the recovered ones by their own mean over the images and the true ones by
theirs, for each token.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64

from xnn.errors import InsufficientDataError, ShapeError
from xnn.metrics._checks import check_same_length, check_scores
from xnn.metrics.identification import cosine_scores

_ROUNDING = 1e-6
"""Centred tokens shorter than this, relative to what was subtracted, are rounding: 0."""


def centred_cosines(
    recovered: Float[np.ndarray, "q n d"], true: Float[np.ndarray, "q n d"]
) -> Float64[np.ndarray, " q"]:
    """Return the cosine of recovered and true tokens of each image, centred, mean over tokens.

    Returns:
        In [-1, 1]; 0 = nothing recovered. A token without a direction (equal in all images)
        counts as 0.

    Raises:
        InsufficientDataError: Fewer than 2 images, of which nothing is left when centred.
        ShapeError: The shapes differ, or a value is NaN or infinite.
    """
    a, b = _centred(recovered, true)
    products = np.einsum("qnd,qnd->qn", a, b)
    lengths = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines.mean(axis=1, dtype=np.float64)


def squared_errors(
    recovered: Float[np.ndarray, "q n d"], true: Float[np.ndarray, "q n d"]
) -> tuple[Float64[np.ndarray, " q"], Float64[np.ndarray, " q"]]:
    """Return the squared error of each image and its squared length, both centred.

    R2 = 1 - sum of the first / sum of the second: 1 = recovered but for an offset, 0 = no better
    than the mean image, below 0 = worse.

    Raises:
        InsufficientDataError: As in `centred_cosines`.
        ShapeError: As in `centred_cosines`.
    """
    a, b = _centred(recovered, true)
    error = (a - b).reshape(len(a), -1)
    flat = b.reshape(len(b), -1)
    return (
        np.einsum("qf,qf->q", error, error, dtype=np.float64),
        np.einsum("qf,qf->q", flat, flat, dtype=np.float64),
    )


def r_squared(recovered: Float[np.ndarray, "q n d"], true: Float[np.ndarray, "q n d"]) -> float:
    """Return the share of the true features' variance that was recovered, at most 1.

    Raises:
        InsufficientDataError: As in `centred_cosines`.
        ShapeError: As in `centred_cosines`; or the true features are all the same.
    """
    errors, lengths = squared_errors(recovered, true)
    if not lengths.sum() > 0:
        raise ShapeError("the true features are the same in every image; there is nothing to find")
    return float(1 - errors.sum() / lengths.sum())


def instance_scores(
    recovered: Float[np.ndarray, "q n d"], true: Float[np.ndarray, "q n d"]
) -> Float[np.ndarray, "q q"]:
    """Return the cosine of the recovered features of each image with the true ones of every image.

    Its diagonal belongs to the images themselves: rank them by `mated_ranks` with the numbers
    0..q-1 as labels. Chance of rank-1 is 1 / q.

    Raises:
        InsufficientDataError: As in `centred_cosines`.
        ShapeError: As in `centred_cosines`.
    """
    a, b = (x.reshape(len(x), -1) for x in _centred(recovered, true))
    return cosine_scores(_with_a_direction(a), _with_a_direction(b))


def order_accuracy(estimate: Int64[np.ndarray, " n"], truth: Int64[np.ndarray, " n"]) -> float:
    """Return the share of places of a record whose token was named; chance is 1 / n.

    Raises:
        ShapeError: The lengths differ.
    """
    check_same_length("estimate", len(estimate), "truth", len(truth))
    return float(np.mean(estimate == truth))


def matrix_error(inverse: Float64[np.ndarray, "d d"], matrix: Float64[np.ndarray, "d d"]) -> float:
    """Return |inv(inverse) - matrix| / |matrix| (Frobenius); 0 = exact, 1 = as good as nothing.

    Directions in which the data hardly vary dominate it: it can be near 1 while every image is
    recovered. Never use it alone as evidence of safety; see `data_error`.

    Raises:
        ShapeError: A value is NaN or infinite.
    """
    error = _matrix_difference(inverse, matrix)
    return float(np.linalg.norm(error) / np.linalg.norm(matrix))


def data_error(
    inverse: Float64[np.ndarray, "d d"],
    matrix: Float64[np.ndarray, "d d"],
    tokens: Float[np.ndarray, "q n d"],
) -> float:
    """Return |X (inv(inverse) - matrix)| / |X matrix| for the tokens X, centred by position.

    The matrix error as the data feel it; 0 = exact, 1 = as good as nothing.

    Raises:
        InsufficientDataError: Fewer than 2 images.
        ShapeError: A value is NaN or infinite.
    """
    centred, _ = _centred(tokens, tokens)
    rows = centred.reshape(-1, centred.shape[2])
    error = _matrix_difference(inverse, matrix)
    return float(np.linalg.norm(rows @ error) / np.linalg.norm(rows @ matrix))


def _centred(
    recovered: Float[np.ndarray, "q n d"], true: Float[np.ndarray, "q n d"]
) -> tuple[Float[np.ndarray, "q n d"], Float[np.ndarray, "q n d"]]:
    if recovered.shape != true.shape:
        raise ShapeError(
            f"recovered features are {recovered.shape}, the true ones {true.shape}; "
            "answer for every probe, in the extractor's shape"
        )
    check_scores("recovered features", recovered, ndim=3)
    check_scores("true features", true, ndim=3)
    if len(true) < 2:
        raise InsufficientDataError("1 image is nothing but its mean; expected at least 2 images")
    return _own(recovered), _own(true)


def _own(features: Float[np.ndarray, "q n d"]) -> Float[np.ndarray, "q n d"]:
    """Take from each token its mean over images."""
    mean = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    centred = features - mean
    lengths = np.linalg.norm(centred, axis=2, keepdims=True)
    bound = _ROUNDING * np.linalg.norm(mean, axis=1)[None, :, None]
    return np.where(lengths > bound, centred, np.zeros_like(centred))


def _with_a_direction(rows: Float[np.ndarray, "q f"]) -> Float[np.ndarray, "q f"]:
    """Give rows of zeros one and the same direction: their ties help nobody."""
    return np.where(np.any(rows, axis=1, keepdims=True), rows, np.ones_like(rows))


def _matrix_difference(
    inverse: Float64[np.ndarray, "d d"], matrix: Float64[np.ndarray, "d d"]
) -> Float64[np.ndarray, "d d"]:
    for name, one in (("inverse", inverse), ("matrix", matrix)):
        if not np.isfinite(one).all():
            raise ShapeError(f"{name} holds NaN or infinite values, expected none")
    return np.linalg.pinv(inverse) - matrix
