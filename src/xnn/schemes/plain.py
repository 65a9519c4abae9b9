"""No obfuscation: the upper bound of utility and the positive control of every attack."""

from typing import final

from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.types import TokenShape


@final
class PlainObfuscator(Obfuscator):
    """Passes features on as they are."""

    def _records(self, samples: Tensor) -> Tensor:
        return samples

    def _features(self, records: Tensor) -> Tensor:
        return records


@final
class Plain(Scheme):
    """Uploads the features themselves. Protects nothing."""

    card = SchemeCard(
        name="plain",
        version=1,
        summary="features as they are",
        resists="nothing",
        falls_to="anybody who runs the public extractor on a photograph of the person",
        linear=True,
    )

    def bind(self, shape: TokenShape, stream: KeyStream) -> PlainObfuscator:
        """Return the identity; nothing is read from the stream."""
        return PlainObfuscator(shape)
