"""Whitening of records by what they hold themselves: takes back a matrix up to a rotation."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64

from xnn.errors import InsufficientDataError

_RANK = 1e-6
"""Directions below this share of the largest variance are left out: they hold rounding, and a
floor in their place would mean something else under every key."""


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
        tokens = records.reshape(-1, records.shape[2])
        mean = tokens.mean(axis=0, dtype=np.float64)
        width = records.shape[2]
        products: Float64[np.ndarray, "e e"] = np.zeros((width, width))
        for start in range(0, len(tokens), 1 << 14):
            centred = tokens[start : start + (1 << 14)] - mean
            products += centred.T @ centred
        variances, directions = np.linalg.eigh(products / len(tokens))
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
