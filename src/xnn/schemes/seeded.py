"""The paper's scheme with keys as careless programs draw them: for a search for weak keys to find.

It exists to be broken, as the positive control of that search. No key is made for it.

Source: method of the XNN authors' research code, whose keys come from seeded generators.
"""

from typing import final

import numpy as np

from xnn.keystream import KeyStream
from xnn.schemes.base import Scheme, SchemeCard
from xnn.schemes.paper import LinearObfuscator
from xnn.types import TokenShape

_SEEDS = 1 << 12


@final
class Seeded(Scheme):
    """One permutation and one Gaussian matrix from NumPy's old generator under a 12-bit seed."""

    card = SchemeCard(
        name="paper-seeded",
        version=1,
        summary="as paper, but permutation and matrix come from a seed of 12 bits",
        resists="nothing: the positive control of the search for weak keys",
        falls_to="trying all 4,096 seeds; and all that paper falls to",
        source="arXiv:2408.04974 (research code)",
        linear=True,
        comparison_only=True,
    )

    def bind(self, shape: TokenShape, stream: KeyStream) -> LinearObfuscator:
        """Draw a small seed, and the rest from it."""
        weak = np.random.RandomState(stream.below(_SEEDS))
        order = weak.permutation(shape.n).astype(np.int64)
        matrix = weak.randn(shape.d, shape.d) / np.sqrt(np.float64(shape.d))
        return LinearObfuscator(shape, order, matrix)
