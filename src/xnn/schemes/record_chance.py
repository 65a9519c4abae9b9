"""The chance of each record: noise and orders that follow from the key and the record itself.

The draw of a record is seeded by HMAC-SHA-256 of its features, keyed by bytes of the key. So

- no library seed and no clock takes part: without the key the noise cannot be drawn again;
- a build that was interrupted gives the same bytes when it goes on, in whatever batches;
- bit-identical features always get the same noise, so that releasing a record twice does not give
  a second sample to average. Features that differ in their last bit, as of another machine or of
  another photograph, get noise of their own.
"""

import hmac
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from xnn.keystream import SEED_BYTES, KeyStream

_TWO_PI = 2 * np.pi


@final
class RecordChance:
    """Draws for records under one key.

    Args:
        stream: 32 bytes are taken from it.
    """

    __slots__ = ("_key",)

    def __init__(self, stream: KeyStream) -> None:
        self._key = stream.take(SEED_BYTES)

    def __repr__(self) -> str:
        return "RecordChance(<redacted>)"

    def of(self, samples: Tensor) -> "Draws":
        """Return the draws of each sample of a batch; a function of that sample alone."""
        values = samples if samples.dtype == torch.uint8 else samples.float()
        rows = np.ascontiguousarray(values.numpy()).reshape(len(samples), -1)
        return Draws([KeyStream(hmac.digest(self._key, row.data, "sha256")) for row in rows])


@final
class Draws:
    """Random numbers for the records of one batch, read from one stream per record in order."""

    __slots__ = ("_streams",)

    def __init__(self, streams: list[KeyStream]) -> None:
        self._streams = streams

    def words(self, count: int) -> np.ndarray:
        """Return 32-bit words, (b, count)."""
        content = b"".join(stream.take(4 * count) for stream in self._streams)
        return np.frombuffer(content, dtype="<u4").reshape(len(self._streams), count)

    def uniforms(self, count: int) -> Float32[np.ndarray, "b count"]:
        """Return numbers in (0, 1): odd multiples of 2^-24."""
        return _open_uniforms(self.words(count))

    def normals(self, count: int) -> Float32[Tensor, "b count"]:
        """Return standard normal numbers in single precision, up to 5.8 in size.

        Source: Box and Muller 1958.
        """
        half = (count + 1) // 2
        uniform = self.uniforms(2 * half)
        radius = np.sqrt(np.float32(-2) * np.log(uniform[:, :half]))
        angle = uniform[:, half:] * np.float32(_TWO_PI)
        normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return torch.from_numpy(normal[:, :count])

    def laplaces(self, count: int) -> Float32[Tensor, "b count"]:
        """Return Laplace numbers of variance 1 in single precision."""
        uniform = self.uniforms(count)
        size = -np.log(np.minimum(uniform, 1 - uniform) * np.float32(2)) / np.float32(np.sqrt(2))
        return torch.from_numpy(np.where(uniform < 0.5, -size, size))

    def signs(self, count: int) -> Float32[Tensor, "b count"]:
        """Return -1 or 1, each with the same chance."""
        words = self.words(-(-count // 32)).astype("<u4", copy=False)
        bits = np.unpackbits(words.view(np.uint8).reshape(len(words), -1), axis=1)[:, :count]
        return torch.from_numpy(bits.astype(np.float32) * 2 - 1)

    def orders(self, size: int) -> Int64[Tensor, "b size"]:
        """Return a permutation of 0..size-1 for each record: the ranks of 64-bit words.

        Two equal words, which alone could favour an order, meet with a chance below
        size^2 / 2^65.
        """
        pairs = self.words(2 * size).astype(np.uint64)
        return torch.from_numpy(np.argsort(pairs[:, ::2] << np.uint64(32) | pairs[:, 1::2], axis=1))


def _open_uniforms(words: np.ndarray) -> np.ndarray:
    # 23 bits and a half: every such number is a float32, so that none is rounded to 0 or 1
    return ((words >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
