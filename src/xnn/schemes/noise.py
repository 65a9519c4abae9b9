"""Noise alone, without a key in the map: what release with noise costs and hides.

O = F + s r Z, where r is the RMS of the record's own features and Z is standard noise.
"""

import math
from typing import Literal, final

from torch import Tensor

from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

Noise = Literal["gaussian", "laplace"]


@final
class NoisyObfuscator(Obfuscator):
    """Adds noise in proportion to the size of a record.

    Args:
        shape: Tokens and width.
        chance: Source of the noise.
        noise: Its distribution; both have variance 1.
        strength: Standard deviation of the noise, in RMS of the record.
    """

    def __init__(
        self, shape: TokenShape, chance: RecordChance, *, noise: Noise, strength: float
    ) -> None:
        super().__init__(shape)
        self._chance = chance
        self._noise: Noise = noise
        self._strength = strength

    def _quiet_records(self, samples: Tensor) -> Tensor:
        return samples

    def _records(self, samples: Tensor) -> Tensor:
        rms = samples.square().mean(dim=(1, 2), keepdim=True).sqrt()
        return samples + self._strength * rms * standard_noise(self._chance, samples, self._noise)


def standard_noise(chance: RecordChance, samples: Tensor, noise: Noise = "gaussian") -> Tensor:
    """Return noise of variance 1 for each record, of the samples' shape and type."""
    draws = chance.of(samples)
    count = math.prod(samples.shape[1:])
    drawn = draws.normals(count) if noise == "gaussian" else draws.laplaces(count)
    return drawn.reshape(samples.shape).to(samples.dtype)


@final
class NoiseOnly(Scheme):
    """Features with noise. The key seeds the noise and nothing else, so that no key is to be found.

    Args:
        name: Registered name.
        noise: Distribution.
        strength: Standard deviation, in RMS of the record's features (their mean included).
    """

    def __init__(self, *, name: str, noise: Noise, strength: float) -> None:
        self._noise: Noise = noise
        self._strength = strength
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"{noise} noise of {strength:g} times each record's RMS, and no key",
            resists="reading one record exactly",
            falls_to="comparison with clean features, which the noise of one record hardly turns; "
            "averaging over the records of a class",
            source="common practice, as in SIMBA's and GLASS's baselines",
            randomised=True,
            invertible=False,
            comparison_only=True,
        )

    def bind(self, shape: TokenShape, stream: KeyStream) -> NoisyObfuscator:
        """Draw what seeds the noise."""
        return NoisyObfuscator(
            shape, RecordChance(stream), noise=self._noise, strength=self._strength
        )
