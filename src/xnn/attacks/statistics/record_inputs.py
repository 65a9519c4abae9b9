"""Numbers of a record that a regression can read, in the order of tokens or without one."""

import numpy as np
from jaxtyping import Float32

_SQUARE_WIDTH = 32
_QUANTILES = 32


def flat(tokens: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b f"]:
    """Return all tokens in their places: of use where places mean something."""
    return tokens.reshape(len(tokens), -1)


def pooled(tokens: Float32[np.ndarray, "b m e"], *, seed: int) -> Float32[np.ndarray, "b f"]:
    """Return the mean token and second moments of tokens along drawn directions: no order needed.

    Args:
        tokens: About unit variance.
        seed: Draws the directions; the same seed and width give the same ones.
    """
    n, width = tokens.shape[1], min(_SQUARE_WIDTH, tokens.shape[2])
    draw = np.random.default_rng(seed).standard_normal((tokens.shape[2], width), dtype=np.float32)
    low = tokens @ (draw / np.float32(np.sqrt(tokens.shape[2])))
    squares = low.transpose(0, 2, 1) @ low / np.float32(n)
    above = np.triu_indices(width)
    mean = tokens.mean(axis=1) * np.float32(np.sqrt(n))
    return np.concatenate([mean, squares[:, above[0], above[1]]], axis=1)


def inner_products(tokens: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b f"]:
    """Return what neither an order of tokens nor a rotation changes, sorted.

    The logarithms of the eigenvalues of the tokens' inner products, their lengths, quantiles of
    the inner products of different tokens, and those with the mean token.
    """
    products = tokens @ tokens.transpose(0, 2, 1) / np.float32(tokens.shape[2])
    m = tokens.shape[1]
    eigenvalues = np.log(np.maximum(np.linalg.eigvalsh(products), 1e-6))
    lengths = np.sort(np.diagonal(products, axis1=1, axis2=2), axis=1)
    above = np.triu_indices(m, 1)
    across = np.sort(products[:, above[0], above[1]], axis=1)
    kept = np.unique(np.linspace(0, max(across.shape[1] - 1, 0), _QUANTILES).astype(np.int64))
    with_mean = np.sort(products.mean(axis=2), axis=1)
    parts = [eigenvalues, lengths, across[:, kept] if m > 1 else lengths, with_mean]
    return np.concatenate(parts, axis=1).astype(np.float32)
