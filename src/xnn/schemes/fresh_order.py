"""The paper's matrix with another order of tokens in every record: O_i = P_i F_i M."""

from typing import final

import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.matrices import draw_matrix
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape


@final
class FreshOrderObfuscator(Obfuscator):
    """Multiplies tokens by a matrix and puts those of each record in an order of its own.

    The order follows from the features, which only the photograph has; so there is no way back. The
    matrix can be exchanged, and the order stays.

    Args:
        shape: Tokens and width.
        chance: Source of the orders.
        matrix: Float64; records are computed in the features' own precision.
    """

    def __init__(
        self, shape: TokenShape, chance: RecordChance, matrix: Float64[ndarray, "d d"]
    ) -> None:
        super().__init__(shape)
        self._chance = chance
        self._matrix = torch.from_numpy(matrix)

    def _records(self, samples: Tensor) -> Tensor:
        orders = self._chance.of(samples).orders(self.shape.n)
        return self._turned(reordered(samples, orders))

    def _unturned(self, records: Tensor) -> Tensor:
        # In float64, as in `paper`: the matrix may be ill-conditioned.
        return (records.double() @ torch.linalg.inv(self._matrix)).to(records.dtype)

    def _turned(self, unturned: Tensor) -> Tensor:
        return unturned @ self._matrix.to(unturned.dtype)


def reordered(tokens: Tensor, orders: Tensor) -> Tensor:
    """Return tokens (b, n, d) in the order (b, n) of each record."""
    return tokens.gather(1, orders[:, :, None].expand_as(tokens))


@final
class FreshOrder(Scheme):
    """As `paper`, with a fresh order for every record. A tail without positions does not notice."""

    card = SchemeCard(
        name="paper-fresh-order",
        version=1,
        summary="one secret Gaussian matrix, and a secret order of tokens for each record",
        resists="attacks that find one order of tokens for the whole data set",
        falls_to="tokens that are told apart by what they hold: alignment within the key gives the "
        "order back, and then all that `paper` falls to",
        source="arXiv:2408.04974 with the per-image shuffle of arXiv:2106.02484",
        fresh_order=True,
        randomised=True,
        invertible=False,
        turnable=True,
    )

    def bind(self, shape: TokenShape, stream: KeyStream) -> FreshOrderObfuscator:
        """Draw the matrix, then what seeds the orders."""
        matrix = draw_matrix(stream, shape.d, "gaussian")
        return FreshOrderObfuscator(shape, RecordChance(stream), matrix)
