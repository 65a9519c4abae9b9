"""Whitening of records by what they hold themselves: takes back a matrix up to a rotation."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from xnn.errors import InsufficientDataError

_RANK = 1e-6
"""Directions below this share of the largest variance are left out: they hold rounding, and a
floor in their place would mean something else under every key."""

_BATCH_TOKENS = 1 << 14


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UploadWhitening:
    """Mean and inverse root of the covariance of all tokens of an upload."""

    mean: Float32[np.ndarray, " e"]
    root: Float32[np.ndarray, "e e"]

    @classmethod
    def of(cls, records: Float32[np.ndarray, "r m e"]) -> "UploadWhitening":
        """Measure an upload.

        Raises:
            InsufficientDataError: Tokens without variance.
        """
        return cls.of_moments(*token_moments(records))

    @classmethod
    def of_moments(
        cls, mean: Float64[np.ndarray, " e"], covariance: Float64[np.ndarray, "e e"]
    ) -> "UploadWhitening":
        """Whiten by moments, such as a mixture of those of two sets.

        Raises:
            InsufficientDataError: No variance.
        """
        variances, directions = np.linalg.eigh(covariance)
        if not variances[-1] > 0:
            raise InsufficientDataError("the records do not differ from each other; hold more")
        kept = variances > _RANK * variances[-1]
        scaled = directions[:, kept] / np.sqrt(variances[kept])
        return cls(
            mean=mean.astype(np.float32),
            root=(scaled @ directions[:, kept].T).astype(np.float32),
        )

    def __call__(self, records: Float32[np.ndarray, "b m e"]) -> Float32[np.ndarray, "b m e"]:
        """Return whitened records, token by token."""
        return (records - self.mean) @ self.root


def token_moments(
    records: Float32[np.ndarray, "r m e"],
) -> tuple[Float64[np.ndarray, " e"], Float64[np.ndarray, "e e"]]:
    """Return mean and covariance of all tokens of some records, at least one."""
    tokens = records.reshape(-1, records.shape[2])
    mean = tokens.mean(axis=0, dtype=np.float64)
    products: Float64[np.ndarray, "e e"] = np.zeros((len(mean), len(mean)))
    for start in range(0, len(tokens), _BATCH_TOKENS):
        centred = tokens[start : start + _BATCH_TOKENS] - mean
        products += centred.T @ centred
    return mean, products / len(tokens)
