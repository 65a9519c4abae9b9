"""A secret projection to fewer dimensions: O = F R with R of size d x e and e < d."""

from typing import final

import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from xnn.errors import ConfigError
from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.matrices import draw_projection
from xnn.types import TokenShape


@final
class ProjectionObfuscator(Obfuscator):
    """Multiplies tokens by a tall matrix.

    Args:
        shape: Tokens and width of the features.
        matrix: Float64; records are computed in the features' own precision.
    """

    def __init__(self, shape: TokenShape, matrix: Float64[ndarray, "d e"]) -> None:
        super().__init__(shape, TokenShape(shape.n, matrix.shape[1]))
        self._matrix = torch.from_numpy(matrix)

    def _records(self, samples: Tensor) -> Tensor:
        return samples @ self._matrix.to(samples.dtype)


@final
class RandomProjection(Scheme):
    """Projects each token by one secret Gaussian matrix, entries N(0, 1/e).

    Lengths and angles survive to within about sqrt(2/e); a share 1 - e/d of the directions is lost.

    Args:
        name: Registered name.
        share: Of the width that is kept, e = round(share d), in (0, 1).
    """

    def __init__(self, *, name: str = "random-projection", share: float = 0.5) -> None:
        if not 0 < share < 1:
            raise ConfigError(f"share={share}; use a fraction above 0 and below 1")
        self._share = share
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"one secret Gaussian projection of every token to {share:g} of its width",
            resists="inversion of a record token by token",
            falls_to="unpaired statistics of the positions, and known images: what is kept is a "
            "fixed linear map of the features",
            source="Liu, Kargupta and Ryan 2006 (random projection for data mining)",
            linear=True,
            invertible=False,
            comparison_only=True,
        )

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return as many tokens of the smaller width."""
        return TokenShape(shape.n, max(1, round(self._share * shape.d)))

    def bind(self, shape: TokenShape, stream: KeyStream) -> ProjectionObfuscator:
        """Draw the matrix."""
        e = self.record_shape(shape).d
        return ProjectionObfuscator(shape, draw_projection(stream, shape.d, e))
