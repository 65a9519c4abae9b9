"""Whitening of tokens: what makes an obfuscated record as easy to learn from as a plain one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn

from xnn.errors import InsufficientDataError

_FLOOR = 1e-5
"""Share of the mean variance added to every direction before k is worked out."""
SHRINKAGE = 0.1
"""Share of the mean variance added to the blend. Frozen extractors' own directions mean something:
on CelebA behind dlib this gives a point of rank-1, plain and under a Gaussian key alike."""


@final
class Whitening(nn.Module):
    """Subtract the mean token and even out the directions that say nothing about the subject.

    The matrix is C^(-1/2), symmetric, of C = T + k W: the covariance T of all tokens, plus the
    covariance W of pooled records of one class, scaled so that both weigh the same. T alone makes
    all directions equal; W turns down those in which records of one subject differ.

    Both change with the tokens: records under a matrix M have the covariance M' C M. So two record
    sets that differ by an invertible matrix differ little but by a rotation afterwards (nothing but
    a rotation, were C not shrunk), and a rotation costs a linear map nothing: a tail learns from
    obfuscated records what it learns from plain ones.
    """

    mean: Tensor
    matrix: Tensor
    fitted: Tensor

    def __init__(self, d: int, *, shrinkage: float = SHRINKAGE) -> None:
        super().__init__()
        self._shrinkage = shrinkage
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("matrix", torch.eye(d))
        self.register_buffer("fitted", torch.tensor(False))

    def fit(
        self,
        records: Iterable[tuple[Float32[np.ndarray, "_ n d"], Int64[np.ndarray, " _"]]],
    ) -> None:
        """Measure the covariances in float64 and keep the whitening in float32.

        Args:
            records: Batches of training records with their labels.

        Raises:
            InsufficientDataError: Fewer than two tokens, or tokens that are all alike.
        """
        moments = _measure(records)
        covariance = blend(moments, shrinkage=self._shrinkage)
        self.mean.copy_(torch.from_numpy(moments.mean))
        self.matrix.copy_(torch.from_numpy(inverse_square_root(covariance)))
        self.fitted.fill_(True)

    def forward(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Whiten in float32: under a Gaussian key bfloat16 would lose the small directions."""
        with torch.autocast(features.device.type, enabled=False):
            return (features.float() - self.mean) @ self.matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What is measured of the training records."""

    mean: Float64[np.ndarray, " d"]
    tokens: Float64[np.ndarray, "d d"]
    """Covariance of all tokens."""
    within: Float64[np.ndarray, "d d"]
    """Covariance of the mean token of a record round the mean of its class."""


def blend(moments: Moments, *, shrinkage: float) -> Float64[np.ndarray, "d d"]:
    """Return T + k W, shrunk, with k such that W weighs as much as T in the whitened space.

    k = d / trace(T^-1 W) is the same whatever invertible matrix the tokens went through.
    """
    d = len(moments.mean)
    spread = np.trace(moments.tokens) / d * np.eye(d)
    tokens = moments.tokens + _FLOOR * spread
    share = np.trace(np.linalg.solve(tokens, moments.within)) / d
    blended = tokens + moments.within / share if share > _FLOOR else tokens
    return blended + shrinkage * spread


def inverse_square_root(covariance: Float64[np.ndarray, "d d"]) -> Float64[np.ndarray, "d d"]:
    """Return C^(-1/2), symmetric, of a positive definite matrix."""
    variances, directions = np.linalg.eigh(covariance)
    return (directions / np.sqrt(variances)) @ directions.T


def _measure(
    records: Iterable[tuple[Float32[np.ndarray, "_ n d"], Int64[np.ndarray, " _"]]],
) -> Moments:
    count = 0
    total: Float64[np.ndarray, " d"] | float = 0.0
    squares: Float64[np.ndarray, "d d"] | float = 0.0
    pooled, labels = [], []
    for batch, batch_labels in records:
        tokens = batch.reshape(-1, batch.shape[-1]).astype(np.float64)
        count += len(tokens)
        total = total + tokens.sum(axis=0)
        squares = squares + tokens.T @ tokens
        pooled.append(batch.mean(axis=1, dtype=np.float64))
        labels.append(batch_labels)
    mean = np.asarray(total) / max(1, count)
    covariance = np.asarray(squares) / max(1, count) - np.outer(mean, mean)
    if count < 2 or not np.trace(covariance) > 0:
        raise InsufficientDataError(
            f"whitening met {count} tokens without variance; give it training records"
        )
    return Moments(
        mean=mean,
        tokens=covariance,
        within=_within(np.concatenate(pooled), np.concatenate(labels)),
    )


def _within(
    pooled: Float64[np.ndarray, "r d"], labels: Int64[np.ndarray, " r"]
) -> Float64[np.ndarray, "d d"]:
    """Return the covariance of rows round the mean of their class."""
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), pooled.shape[1]))
    np.add.at(sums, members, pooled)
    rest = pooled - (sums / counts[:, None])[members]
    return rest.T @ rest / max(1, len(pooled) - len(counts))
