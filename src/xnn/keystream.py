"""From 32 secret bytes to uniform integers, permutations and Gaussian matrices.

The draw is version 1 of a public, platform-independent recipe, pinned by test vectors. Every
floating-point step is an IEEE-754 addition, multiplication, division or square root on whole
arrays: these are correctly rounded everywhere, so all machines agree to the last bit. Library
logarithms and BLAS sums are not, and are avoided.

Whoever knows the 32 bytes knows everything drawn from them. The owner derives them from a root key
(`xnn.secret`); an attacker simulating a scheme expands bytes of its own.
"""

import secrets
from typing import Never, final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from jaxtyping import Float64, Int64, UInt32, UInt64

from xnn.errors import ConfigError, SecretLeakError

SEED_BYTES = 32
_BLOCK_BYTES = 1 << 16
_LN2_HIGH = 0.693147180369123816490  # its last 32 bits are zero: multiples by an exponent are exact
_LN2_LOW = 1.90821492927058770002e-10


@final
class KeyStream:
    """The ChaCha20 key stream of one seed (RFC 8439 block function, counter and nonce zero).

    Reading is stateful: the same seed read in the same order gives the same values, on every
    platform. It refuses to be copied or pickled, as it holds key material.

    Args:
        seed: 32 bytes, used once for one purpose.

    Raises:
        ConfigError: The seed is not 32 bytes long.
    """

    __slots__ = ("_encryptor",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ConfigError(f"a key stream seed has {SEED_BYTES} bytes, got {len(seed)}")
        self._encryptor = Cipher(algorithms.ChaCha20(seed, bytes(16)), mode=None).encryptor()

    @classmethod
    def fresh(cls) -> "KeyStream":
        """Return a stream under a new seed from the operating system's CSPRNG."""
        return cls(secrets.token_bytes(SEED_BYTES))

    def __repr__(self) -> str:
        return "KeyStream(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise SecretLeakError("a key stream is not copied or pickled; derive it again where needed")

    def take(self, num_bytes: int) -> bytes:
        """Return the next bytes of the stream."""
        return self._encryptor.update(bytes(num_bytes))

    def uint32(self, count: int) -> UInt32[np.ndarray, " count"]:
        """Return the next 32-bit words, little-endian."""
        return np.frombuffer(self.take(4 * count), dtype="<u4").astype(np.uint32)

    def uint64(self, count: int) -> UInt64[np.ndarray, " count"]:
        """Return the next 64-bit words, little-endian."""
        return np.frombuffer(self.take(8 * count), dtype="<u8").astype(np.uint64)

    def below(self, bound: int) -> int:
        """Return an unbiased integer in [0, bound), by rejection of 32-bit words.

        Raises:
            ConfigError: `bound` is not in [1, 2**32].
        """
        if not 1 <= bound <= 1 << 32:
            raise ConfigError(f"bound={bound} is outside 1..2**32")
        limit = (1 << 32) - (1 << 32) % bound
        while True:
            word = int.from_bytes(self.take(4), "little")
            if word < limit:
                return word % bound

    def permutation(self, size: int) -> Int64[np.ndarray, " size"]:
        """Return an unbiased permutation of 0..size-1 (Fisher-Yates, from the last place down).

        Source: Durstenfeld 1964 (CACM algorithm 235).
        """
        order = np.arange(size, dtype=np.int64)
        for last in range(size - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def normals(self, count: int) -> Float64[np.ndarray, " count"]:
        """Return standard normal numbers (polar method; pairs from the stream in order).

        Source: Marsaglia and Bray 1964.
        """
        parts: list[np.ndarray] = []
        have = 0
        while have < count:
            words = self.uint64(_BLOCK_BYTES // 8)
            # 53 bits each; the ends of the interval fall to the test of the radius below
            uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-52 - 1.0
            u, v = uniform[0::2], uniform[1::2]
            radius = u * u + v * v
            inside = (radius < 1.0) & (radius > 0.0)
            u, v, radius = u[inside], v[inside], radius[inside]
            factor = np.sqrt(-2.0 * exact_log(radius) / radius)
            pair = np.empty(2 * len(u))
            pair[0::2], pair[1::2] = u * factor, v * factor
            parts.append(pair)
            have += len(pair)
        return np.concatenate(parts)[:count] if parts else np.empty(0)


def exact_log(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the natural logarithm of positive numbers, the same bits on every platform.

    Reduces to m in [sqrt(1/2), sqrt(2)) and sums the series of 2 atanh((m-1)/(m+1)); within a few
    units in the last place of the true value.
    """
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.70710678118654752
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    power = (exponent - low).astype(np.float64)
    t = (mantissa - 1.0) / (mantissa + 1.0)
    square = t * t
    series = np.zeros_like(t)
    for k in range(23, 0, -2):
        series = series * square + 1.0 / k
    return power * _LN2_HIGH + (power * _LN2_LOW + 2.0 * t * series)
