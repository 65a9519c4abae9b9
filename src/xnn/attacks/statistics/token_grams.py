"""What inner products of whitened tokens say of a record, whatever the key.

Records whitened by the covariance of their own upload have lost the matrix of a linear key but for
a rotation, and inner products do not see rotations. Three descriptions, from the strictest to the
strongest:

- `invariants`: of one record, blind to the order of its tokens too;
- `sorted_products`: products of tokens with directions that the whole upload defines without any
  order, sorted over tokens;
- `anchored_products`: products with the mean token of every place, where all records of the upload
  share one order. Linear in the tokens, so far more telling than squares.

Source: this project (redteam.md, A6; anchors are not in it).
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64

_BATCH = 256
_FLOOR = 1e-6
"""Smallest eigenvalue that counts, in units of the mean one: below lies rounding."""
_COSINES = 16
"""Most quantiles of the cosines of a token, and most tokens that they are given for."""


def invariants(white: Float32[np.ndarray, "b m e"]) -> Float64[np.ndarray, "b f"]:
    """Describe each record by its token Gram matrix, blind to order and rotation.

    The parts weigh alike whatever their length, the spectrum twice: logarithms of the Gram's
    eigenvalues, sorted logarithms of the token lengths, and quantiles of each token's cosines with
    the others, each quantile sorted over tokens. Standardise over a set before comparing.

    Args:
        white: Whitened records.

    Returns:
        Rows to be standardised column by column with `standardised`.
    """
    parts = [_of_grams(white[i : i + _BATCH]) for i in range(0, len(white), _BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, 0))


def column_weights(m: int, e: int) -> Float64[np.ndarray, " f"]:
    """Return what each column of `invariants` weighs, once standardised."""
    rank, num = min(m, e), min(_COSINES, m)
    cosines = num * min(_COSINES, max(1, m - 1))
    weights = [2.0 / rank] * rank + [1.0 / m] * m + [1.0 / cosines] * cosines
    return np.sqrt(weights)


def standardised(
    rows: Float64[np.ndarray, "b f"], reference: Float64[np.ndarray, "r f"]
) -> Float64[np.ndarray, "b f"]:
    """Return rows in standard deviations of a reference set from its mean."""
    deviation = reference.std(axis=0)
    typical = max(float(deviation.mean()), 1e-300)
    return (rows - reference.mean(axis=0)) / np.maximum(deviation, 1e-6 * typical)


def free_anchors(white: Float32[np.ndarray, "r m e"], count: int) -> Float64[np.ndarray, "k e"]:
    """Return directions that an upload defines whatever the order of tokens in each record.

    Third moments E[w z], with w a squared length or a product with the record's mean token, and
    what the operators E[w z z'] make of them. They turn with the records.

    Args:
        white: Whitened records.
        count: Directions, at least 1.
    """
    e = white.shape[2]
    pooled = np.repeat(white.mean(axis=1), white.shape[1], axis=0)
    tokens = white.reshape(-1, e)
    weights = [
        np.square(tokens).sum(axis=1),
        (tokens * pooled).sum(axis=1),
        np.square(pooled).sum(axis=1),
    ]
    weights = [(w - w.mean()) / max(float(w.std()), 1e-12) for w in weights]
    operators = [((tokens * w[:, None]).T @ tokens).astype(np.float64) for w in weights]
    found = [(tokens.T @ w).astype(np.float64) for w in weights]
    while len(found) < count:
        found += [operator @ found[-1] for operator in operators]
    anchors = np.stack([v / max(float(np.linalg.norm(v)), 1e-300) for v in found])
    return anchors[:count]


def sorted_products(
    white: Float32[np.ndarray, "b m e"], anchors: Float64[np.ndarray, "k e"]
) -> Float32[np.ndarray, "b m k"]:
    """Return the products of tokens with each anchor, sorted over the tokens of a record."""
    return np.sort(white @ anchors.T.astype(np.float32), axis=1)


def anchored_products(
    white: Float32[np.ndarray, "b m e"],
    means: Float32[np.ndarray, "m e"],
    place: Int64[np.ndarray, " m"],
) -> Float32[np.ndarray, "b m m"]:
    """Return the products of every token with the mean token of every place.

    Args:
        white: Whitened records of one order.
        means: Their mean tokens over the whole upload.
        place: Position of another upload that place i of these records corresponds to; rows and
            columns of the result are in that upload's order.
    """
    products = np.empty((len(white), len(means), len(means)), dtype=np.float32)
    products[:, place[:, None], place[None, :]] = white @ means.T
    return products


def _of_grams(white: Float32[np.ndarray, "b m e"]) -> Float64[np.ndarray, "b f"]:
    b, m, e = white.shape
    wide = white.astype(np.float64)
    grams = wide @ wide.transpose(0, 2, 1)
    spectra = np.linalg.eigvalsh(grams)[:, -min(m, e) :]
    floor = _FLOOR * np.maximum(spectra.mean(axis=1, keepdims=True), 1e-300)
    lengths = np.sqrt(np.maximum(np.einsum("bii->bi", grams), 1e-300))
    cosines = grams / (lengths[:, :, None] * lengths[:, None, :])
    if m > 1:
        others = ~np.eye(m, dtype=bool)
        cosines = np.sort(cosines[:, others].reshape(b, m, m - 1), axis=2)
    quantiles = cosines[:, :, _spread(cosines.shape[2])]
    chosen = np.sort(quantiles, axis=1)[:, _spread(m)]
    return np.concatenate(
        [
            np.log(np.maximum(spectra, floor)),
            np.sort(np.log(lengths), axis=1),
            chosen.reshape(b, -1),
        ],
        axis=1,
    )


def _spread(size: int) -> Int64[np.ndarray, " k"]:
    """Return up to 16 indices spread over a range."""
    return np.linspace(0, size - 1, min(_COSINES, size)).round().astype(np.int64)
