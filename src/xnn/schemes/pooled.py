"""The mean token, whitened in part, turned by a secret rotation, in noise: the ladder's main rung.

    z = W (mean of the tokens - m)         m, W measured on the owner's features
    z' = z min(1, c / rms(z))              so that no record is louder than c
    o = z' R + s g                         R secret and uniform over rotations, g standard noise

What each part is for. The mean leaves nothing that is told apart by its position, so that there
are no moments of positions to match, and no order to find. W = k (C + 1e-3 tr(C)/d)^(-a), of the
mean tokens' covariance C and k such that the usual RMS of z is 1. With a = 1/2 records have the
first and second moments of a round cloud, which say nothing of R; less of a keeps more of what the
extractor knows (its large directions mean something) and leaves an attacker some. Third moments
and the scatter within and between classes still tell of R. The noise buries them: they are
estimated from a whole upload, so that s decides how many records or known pairs it takes.

W and m stay with the owner. Means and noise do not come back: there is no inverse.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from xnn.errors import ConfigError, CorruptError, InsufficientDataError
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard, Statistics
from xnn.schemes.guarantee import Guarantee, channel_guarantee
from xnn.schemes.keystream import KeyStream
from xnn.schemes.matrices import draw_matrix
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

LOUDEST = 1.25
"""Largest RMS of a whitened mean token, c: its usual RMS is 1. Louder ones are scaled down."""

_SHRINKAGE = 1e-3
_FEWEST = 2


@final
class PooledObfuscator(Obfuscator):
    """The map of one key.

    Args:
        shape: Tokens and width of the features.
        mean: m.
        matrix: W R.
        chance: Source of the noise.
        strength: s.
    """

    def __init__(
        self,
        shape: TokenShape,
        *,
        mean: Float32[np.ndarray, " d"],
        matrix: Float64[np.ndarray, "d d"],
        chance: RecordChance,
        strength: float,
    ) -> None:
        super().__init__(shape, TokenShape(1, shape.d))
        self._mean = torch.from_numpy(mean)
        self._matrix = torch.from_numpy(matrix)
        self._chance = chance
        self._strength = strength

    def _quiet_records(self, samples: Tensor) -> Tensor:
        pooled = samples.mean(dim=1) - self._mean.to(samples.dtype)
        return bounded(pooled @ self._matrix.to(samples.dtype))[:, None]

    def _records(self, samples: Tensor) -> Tensor:
        records = self._quiet_records(samples)
        if self._strength == 0:
            return records
        noise = self._chance.of(samples).normals(self.record_shape.d)[:, None]
        return records + self._strength * noise.to(records.dtype)


def bounded(rows: Float32[Tensor, "b d"] | Float64[Tensor, "b d"]) -> Tensor:
    """Scale down rows whose RMS is above `LOUDEST`."""
    rms = rows.square().mean(dim=1, keepdim=True).sqrt()
    return rows * (LOUDEST / rms.clamp_min(1e-30)).clamp_max(1.0)


def measure_pooled(features: Float32[np.ndarray, "b n d"], whiten: float) -> Statistics:
    """Return mean `m` and whitening `W` of the mean tokens, scaled to an RMS of 1.

    Args:
        features: Of the owner.
        whiten: a, from 0 (none) to 1/2 (whole).

    Raises:
        InsufficientDataError: Fewer than 2 features, or features that are all alike.
    """
    if len(features) < _FEWEST:
        raise InsufficientDataError(f"{len(features)} features, at least {_FEWEST} are needed")
    pooled = features.mean(axis=1, dtype=np.float64)
    mean = pooled.mean(axis=0)
    centred = pooled - mean
    covariance = centred.T @ centred / len(centred)
    spread = np.trace(covariance) / len(mean)
    if not spread > 0:
        raise InsufficientDataError("the features are all alike; give those of other photographs")
    variances, directions = np.linalg.eigh(covariance + _SHRINKAGE * spread * np.eye(len(mean)))
    whitening = (directions * variances**-whiten) @ directions.T
    whitening /= np.sqrt(np.mean((centred @ whitening) ** 2))
    return {"mean": mean.astype(np.float32), "whitening": whitening.astype(np.float32)}


def check_statistics(statistics: Statistics, **shapes: tuple[int, ...]) -> None:
    """Refuse statistics that are not these arrays, float32 and finite.

    Raises:
        CorruptError: As said.
    """
    found = {name: np.shape(values) for name, values in statistics.items()}
    if found != shapes or not all(np.isfinite(values).all() for values in statistics.values()):
        raise CorruptError(
            f"the scheme's statistics are {found}, expected {shapes}; they are of another scheme "
            "or damaged"
        )


@final
class Pooled(Scheme):
    """The rung; see the module.

    Args:
        name: Registered name.
        strength: s, in RMS of the whitened mean token.
        whiten: a.
        statistics: As `measure_pooled` returns them; None before fitting.
    """

    def __init__(
        self, *, name: str, strength: float, whiten: float, statistics: Statistics | None = None
    ) -> None:
        self._name = name
        self._strength = strength
        self._whiten = whiten
        self._statistics = statistics
        noise = f", in Gaussian noise of {strength:g} times its size" if strength else ""
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"the mean token, whitened and turned by a secret rotation{noise}",
            resists="unpaired statistics: there are no positions, and first and second moments say "
            "nothing of the key" + ("; known images, up to a number" if strength else ""),
            falls_to="known images, and a comparison of classes with suspects as a whole"
            if not strength
            else "averaging over the records of a class by whoever learns the key; more known "
            "images than its exposure budget",
            linear=False,
            randomised=strength > 0,
            invertible=False,
            fitted=True,
        )

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return one token of the same width."""
        return TokenShape(1, shape.d)

    def measure(self, features: Float32[np.ndarray, "b n d"]) -> Statistics:
        """Return mean and whitening of the mean tokens."""
        return measure_pooled(features, self._whiten)

    def with_statistics(self, statistics: Statistics) -> "Pooled":
        """Return this scheme with what was measured."""
        d = len(statistics.get("mean", ()))
        check_statistics(statistics, mean=(d,), whitening=(d, d))
        return Pooled(
            name=self._name, strength=self._strength, whiten=self._whiten, statistics=statistics
        )

    def guarantee(self, shape: TokenShape) -> Guarantee | None:
        """Return the bound that the noise gives; it counts the key as known."""
        if self._strength == 0:
            return None
        return channel_guarantee(shape.d, self._strength / LOUDEST)

    def bind(self, shape: TokenShape, stream: KeyStream) -> PooledObfuscator:
        """Draw the rotation, then what seeds the noise."""
        if self._statistics is None:
            raise ConfigError(
                f"scheme {self._name!r} is measured on the owner's features first; call its fit"
            )
        check_statistics(self._statistics, mean=(shape.d,), whitening=(shape.d, shape.d))
        rotation = draw_matrix(stream, shape.d, "haar")
        return PooledObfuscator(
            shape,
            mean=self._statistics["mean"],
            matrix=self._statistics["whitening"].astype(np.float64) @ rotation,
            chance=RecordChance(stream),
            strength=self._strength,
        )
