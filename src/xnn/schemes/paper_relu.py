"""A ReLU between two secret matrices: O = ReLU(P F M1) M2, one key for a whole data set.

The ReLU makes the map of a token piecewise linear, so that no one matrix undoes it. It loses the
negative half of what M1 makes of a token: about half the numbers behind a record, on average. So
there is no inverse; M2 alone can be undone, and leaves ReLU(P F M1).

Source: this project (redteam.md, section 6, "secret M1-ReLU-M2"), to be attacked, not recommended.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.matrices import draw_matrix
from xnn.types import TokenShape


@final
class ReluObfuscator(Obfuscator):
    """Permutes tokens, multiplies, cuts at zero and multiplies again.

    Args:
        shape: Tokens and width of the features.
        order: Permutation of 0..n-1; record token i is feature token order[i].
        first: Matrix before the ReLU, float64.
        second: Matrix after it. Records are computed in the features' own precision.
    """

    def __init__(
        self,
        shape: TokenShape,
        order: Int64[np.ndarray, " n"],
        first: Float64[np.ndarray, "d d"],
        second: Float64[np.ndarray, "d d"],
    ) -> None:
        super().__init__(shape)
        self._order = torch.from_numpy(order)
        self._first = torch.from_numpy(first)
        self._second = torch.from_numpy(second)

    def _records(self, samples: Tensor) -> Tensor:
        placed = samples.index_select(1, self._order)
        hidden = torch.relu(placed @ self._first.to(samples.dtype))
        return hidden @ self._second.to(samples.dtype)


@final
class PaperRelu(Scheme):
    """The paper's scheme with a secret ReLU layer in place of its matrix."""

    card = SchemeCard(
        name="paper-relu",
        version=1,
        summary="one secret permutation of all tokens and a ReLU between two secret gaussian "
        "matrices for the whole data set",
        resists="one matrix that undoes the key",
        falls_to="known images, which give its hidden units away one by one (relu-key)",
        source="this project; NeuraCrypt's precedent, arXiv:2106.02484",
        invertible=False,
        comparison_only=True,
    )

    def bind(self, shape: TokenShape, stream: KeyStream) -> ReluObfuscator:
        """Draw the permutation, then the matrix before the ReLU, then the one after it."""
        order = stream.permutation(shape.n)
        first = draw_matrix(stream, shape.d, "gaussian")
        return ReluObfuscator(shape, order, first, draw_matrix(stream, shape.d, "gaussian"))
