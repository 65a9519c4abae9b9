"""All tokens, standardised by position, turned, in noise, in a fresh order: redteam's candidate.

    z_t = (x_t - m_t) / s_t          m_t, s_t of each position, measured on the owner's features
    o   = P (z R + s g)              P fresh per record, R secret and uniform over rotations

Standardising takes from each position its mean, which tells positions apart, and its scale; the
order is then another one in every record. `by_channel` divides each channel of each position by its
own deviation; without it one number scales all, and the extractor's large directions stay large.
Covariances across positions survive (redteam.md section 6), the noise has to bury them.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from xnn.errors import ConfigError, InsufficientDataError
from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard, Statistics
from xnn.schemes.fresh_order import reordered
from xnn.schemes.matrices import draw_matrix
from xnn.schemes.pooled import check_statistics
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

_LEAST_SHARE = 0.01
"""Deviations are at least this share of the usual one: a dead channel is not blown up."""


@final
class StandardOrderObfuscator(Obfuscator):
    """The map of one key.

    Args:
        shape: Tokens and width.
        mean: m.
        deviation: s.
        rotation: R.
        chance: Source of orders and noise.
        strength: Of the noise, in standard deviations.
    """

    def __init__(
        self,
        shape: TokenShape,
        *,
        mean: Float32[np.ndarray, "n d"],
        deviation: Float32[np.ndarray, "n d"],
        rotation: Float64[np.ndarray, "d d"],
        chance: RecordChance,
        strength: float,
    ) -> None:
        super().__init__(shape)
        self._mean = torch.from_numpy(mean)
        self._deviation = torch.from_numpy(deviation)
        self._rotation = torch.from_numpy(rotation)
        self._chance = chance
        self._strength = strength

    def _quiet_records(self, samples: Tensor) -> Tensor:
        return self._quiet(samples, self._chance.of(samples).orders(self.shape.n))

    def _records(self, samples: Tensor) -> Tensor:
        draws = self._chance.of(samples)
        records = self._quiet(samples, draws.orders(self.shape.n))
        noise = draws.normals(self.shape.n * self.shape.d).reshape(samples.shape)
        return records + self._strength * noise.to(samples.dtype)

    def _quiet(self, samples: Tensor, orders: Tensor) -> Tensor:
        standard = (samples - self._mean.to(samples.dtype)) / self._deviation.to(samples.dtype)
        return self._turned(reordered(standard, orders))

    def _unturned(self, records: Tensor) -> Tensor:
        return records @ self._rotation.T.to(records.dtype)

    def _turned(self, unturned: Tensor) -> Tensor:
        return unturned @ self._rotation.to(unturned.dtype)


@final
class StandardOrder(Scheme):
    """The rung; see the module.

    Args:
        name: Registered name.
        strength: s.
        by_channel: Whether each channel is scaled by its own deviation.
        statistics: Measured; None before fitting.
    """

    def __init__(
        self,
        *,
        name: str,
        strength: float,
        by_channel: bool,
        statistics: Statistics | None = None,
    ) -> None:
        self._name = name
        self._strength = strength
        self._by_channel = by_channel
        self._statistics = statistics
        what = "standardised" if by_channel else "centred"
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"all tokens, {what} by position, turned by a secret rotation, in noise of "
            f"{strength:g} times their size and in a fresh order",
            resists="moments of positions, and alignment of tokens within the key",
            falls_to="averaging over the records of a class; comparison of classes with suspects "
            "as a whole; known images",
            fresh_order=True,
            randomised=True,
            invertible=False,
            turnable=True,
            fitted=True,
        )

    def measure(self, features: Float32[np.ndarray, "b n d"]) -> Statistics:
        """Return mean and deviation of every channel of every position."""
        if len(features) < 2:
            raise InsufficientDataError(f"{len(features)} features, at least 2 are needed")
        mean = features.mean(axis=0, dtype=np.float64)
        deviation = np.sqrt(np.mean((features - mean) ** 2, axis=0))
        usual = np.sqrt(np.mean(deviation**2))
        if not usual > 0:
            raise InsufficientDataError(
                "the features are all alike; give those of other photographs"
            )
        if not self._by_channel:
            deviation = np.full_like(deviation, usual)
        deviation = np.maximum(deviation, _LEAST_SHARE * usual)
        return {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)}

    def with_statistics(self, statistics: Statistics) -> "StandardOrder":
        """Return this scheme with what was measured."""
        shape = np.shape(statistics.get("mean", ((),)))
        check_statistics(statistics, mean=shape, deviation=shape)
        return StandardOrder(
            name=self._name,
            strength=self._strength,
            by_channel=self._by_channel,
            statistics=statistics,
        )

    def bind(self, shape: TokenShape, stream: KeyStream) -> StandardOrderObfuscator:
        """Draw the rotation, then what seeds orders and noise."""
        if self._statistics is None:
            raise ConfigError(
                f"scheme {self._name!r} is measured on the owner's features first; call its fit"
            )
        size = (shape.n, shape.d)
        check_statistics(self._statistics, mean=size, deviation=size)
        rotation = draw_matrix(stream, shape.d, "haar")
        return StandardOrderObfuscator(
            shape,
            mean=self._statistics["mean"],
            deviation=self._statistics["deviation"],
            rotation=rotation,
            chance=RecordChance(stream),
            strength=self._strength,
        )
