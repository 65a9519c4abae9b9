"""Whitening of tokens: what makes an obfuscated record as easy to learn from as a plain one."""

from collections.abc import Iterable
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from xnn.errors import InsufficientDataError

_SHRINKAGE = 1e-5
"""Share of the mean variance added to every direction before whitening."""


@final
class Whitening(nn.Module):
    """Subtract the mean token and give every direction the same variance.

    Two record sets that differ by an invertible matrix differ only by a rotation afterwards, and a
    rotation costs a linear map nothing. So the tail learns from obfuscated records what it learns
    from plain ones.
    """

    mean: Tensor
    matrix: Tensor
    fitted: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("matrix", torch.eye(d))
        self.register_buffer("fitted", torch.tensor(False))

    def fit(self, records: Iterable[Float32[np.ndarray, "_ n d"]]) -> None:
        """Measure mean and covariance of all tokens, in float64.

        Raises:
            InsufficientDataError: Fewer than two tokens, or tokens that are all alike.
        """
        count, total, squares = 0, 0.0, 0.0
        for batch in records:
            tokens = batch.reshape(-1, batch.shape[-1]).astype(np.float64)
            count += len(tokens)
            total = total + tokens.sum(axis=0)
            squares = squares + tokens.T @ tokens
        mean = np.asarray(total) / max(1, count)
        covariance = np.asarray(squares) / max(1, count) - np.outer(mean, mean)
        if count < 2 or not np.trace(covariance) > 0:
            raise InsufficientDataError(
                f"whitening met {count} tokens without variance; give it training records"
            )
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(inverse_square_root(covariance)))
        self.fitted.fill_(True)

    def forward(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Whiten in float32: under a Gaussian key bfloat16 would lose the small directions."""
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() - self.mean) @ self.matrix


def inverse_square_root(covariance: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d d"]:
    """Return C^(-1/2), symmetric, of a covariance shrunk a little towards its mean variance."""
    d = len(covariance)
    shrunk = covariance + _SHRINKAGE * np.trace(covariance) / d * np.eye(d)
    variances, directions = np.linalg.eigh(shrunk)
    return (directions / np.sqrt(variances)) @ directions.T
