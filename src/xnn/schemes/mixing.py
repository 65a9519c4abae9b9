"""Rivals that mix the samples of a batch: mixup and InstaHide.

mixup: O_i = w F_i + (1 - w) F_j. InstaHide: O_i = s_i * (w_1 F_i + w_2 F_j2 + ... + w_k F_jk) with
fresh random signs s_i for every number of every record.

What differs from the papers: they mix pixels, here tokens are mixed; they mix labels by the same
weights, here a record keeps the label of the sample that dominates it; their chance comes from a
library's generator (which was InstaHide's first break, arXiv:2011.05315), here from the key.
Mixing is within a batch, so records depend on how samples are batched, and a sample that is alone
is mixed with itself.
"""

from typing import final

import numpy as np
import torch
from torch import Tensor

from xnn.errors import ConfigError
from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard
from xnn.schemes.record_chance import Draws, RecordChance
from xnn.types import TokenShape

MAX_WEIGHT = 0.65
"""Largest weight of one sample in InstaHide's mixture (its paper's recommended bound)."""


@final
class MixingObfuscator(Obfuscator):
    """Adds up samples of the batch with random weights, the record's own with the largest.

    Args:
        shape: Tokens and width.
        chance: Source of partners, weights and signs.
        num_mixed: Samples in a record, its own among them.
        max_weight: Bound of the own weight.
        signs: Whether signs are flipped at random afterwards.
    """

    def __init__(
        self,
        shape: TokenShape,
        chance: RecordChance,
        *,
        num_mixed: int,
        max_weight: float,
        signs: bool,
    ) -> None:
        super().__init__(shape)
        self._chance = chance
        self._num_mixed = num_mixed
        self._max_weight = max_weight
        self._signs = signs

    def _records(self, samples: Tensor) -> Tensor:
        draws = self._chance.of(samples)
        weights = self._weights(draws).to(samples.dtype)
        partners = self._partners(draws, len(samples))
        mixed = torch.einsum("bk,bknd->bnd", weights, samples[partners])
        if not self._signs:
            return mixed
        signs = draws.signs(self.shape.n * self.shape.d).to(samples.dtype)
        return mixed * signs.reshape(samples.shape)

    def _weights(self, draws: Draws) -> Tensor:
        """Return weights (b, k) that add up to 1, the largest first."""
        drawn = -np.sort(-draws.uniforms(self._num_mixed), axis=1)
        weights = drawn / drawn.sum(axis=1, keepdims=True)
        own = np.minimum(weights[:, :1], self._max_weight)
        rest = weights[:, 1:] * (1 - own) / weights[:, 1:].sum(axis=1, keepdims=True)
        return torch.from_numpy(np.concatenate([own, rest], axis=1))

    def _partners(self, draws: Draws, batch: int) -> Tensor:
        """Return places (b, k) in the batch: the record's own, then others, each once if it can."""
        own = torch.arange(batch)[:, None]
        if batch == 1:
            return own.expand(1, self._num_mixed)
        steps = draws.orders(batch - 1) + 1
        chosen = torch.arange(self._num_mixed - 1) % (batch - 1)
        return torch.cat([own, (own + steps[:, chosen]) % batch], dim=1)


@final
class Mixing(Scheme):
    """Mixup or InstaHide, for measurements.

    Args:
        name: Registered name.
        num_mixed: Samples in a record, at least 2.
        max_weight: Bound of the own weight, above 1 / num_mixed; 1 for none.
        signs: InstaHide's sign flips.
        source: Paper.
    """

    def __init__(
        self, *, name: str, num_mixed: int, max_weight: float, signs: bool, source: str
    ) -> None:
        if num_mixed < 2 or not 1 / num_mixed < max_weight <= 1:
            raise ConfigError(
                f"num_mixed={num_mixed}, max_weight={max_weight}; mix 2 or more, the own one with "
                "more than an equal share"
            )
        self._num_mixed = num_mixed
        self._max_weight = max_weight
        self._signs = signs
        flips = ", signs flipped at random" if signs else ""
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"each record mixed with {num_mixed - 1} others of its batch{flips}",
            resists="reading one photograph from one record",
            falls_to="comparison of mixtures among each other and with clean features"
            + (" without their signs" if signs else ""),
            source=source,
            randomised=True,
            mixes=True,
            invertible=False,
            comparison_only=True,
        )

    def bind(self, shape: TokenShape, stream: KeyStream) -> MixingObfuscator:
        """Draw what seeds the mixtures."""
        return MixingObfuscator(
            shape,
            RecordChance(stream),
            num_mixed=self._num_mixed,
            max_weight=self._max_weight,
            signs=self._signs,
        )
