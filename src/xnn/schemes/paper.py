"""The published scheme: O = P F M, one permutation and one matrix for a whole data set.

Source: arXiv:2408.04974, training phase.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.matrices import Mix, draw_matrix
from xnn.types import TokenShape

_RESISTS = "a recogniser trained for keys in general (expectation recognition)"
_FALLS_TO = "unpaired statistics of the records; a handful of known images; key reuse"


@final
class LinearObfuscator(Obfuscator):
    """Permutes tokens and multiplies each by a matrix: O[b, i] = F[b, order[i]] M.

    A linear map keeps enough structure to be undone from statistics alone: see THREAT_MODEL.md.

    Args:
        shape: Tokens and width.
        order: Permutation of 0..n-1; record token i is feature token order[i].
        matrix: Invertible, float64; records are computed in the features' own precision.
    """

    def __init__(
        self,
        shape: TokenShape,
        order: Int64[np.ndarray, " n"],
        matrix: Float64[np.ndarray, "d d"],
    ) -> None:
        super().__init__(shape)
        self._order = torch.from_numpy(order)
        self._place = torch.argsort(self._order)
        self._matrix = torch.from_numpy(matrix)
        self._inverse = torch.linalg.inv(self._matrix)
        self._matrix_f32 = self._matrix.float()

    def _records(self, samples: Tensor) -> Tensor:
        matrix = self._matrix if samples.dtype == torch.float64 else self._matrix_f32
        return samples.index_select(1, self._order) @ matrix

    def _features(self, records: Tensor) -> Tensor:
        # In float64: the relative error is at most the condition number times the records' own.
        features = (records.double() @ self._inverse).index_select(1, self._place)
        return features.to(records.dtype)


@final
class Paper(Scheme):
    """The paper's scheme and its switches.

    Args:
        name: Registered name.
        permute: Draw a permutation over all tokens, the class token included.
        mix: Which matrix; see `xnn.schemes.matrices`.
    """

    def __init__(self, *, name: str = "paper", permute: bool = True, mix: Mix = "gaussian") -> None:
        self._permute = permute
        self._mix: Mix = mix
        parts = [*(["one secret permutation of all tokens"] if permute else [])]
        parts += [] if mix == "none" else [f"one secret {mix} matrix"]
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=" and ".join(parts) + " for the whole data set",
            resists=_RESISTS if mix != "none" else "nothing that ignores the order of tokens",
            falls_to=_FALLS_TO if mix != "none" else "anything that ignores the order of tokens",
            source="arXiv:2408.04974",
            linear=True,
        )

    def bind(self, shape: TokenShape, stream: KeyStream) -> LinearObfuscator:
        """Draw the permutation, then the matrix."""
        order = stream.permutation(shape.n) if self._permute else np.arange(shape.n)
        return LinearObfuscator(shape, order, draw_matrix(stream, shape.d, self._mix))
