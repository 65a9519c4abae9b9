"""The mean token, whitened in part, turned by a secret rotation, in noise: the ladder's main rung.

    z = W (mean of the tokens - m)         m, W measured on the owner's features
    o = f(z) R + s g                       R secret and uniform over rotations, g standard noise

f is the identity, or `layers` times h -> relu(h V) with secret Gaussian V, centred and scaled by
fixed numbers so that its usual RMS stays near 1. R may keep fewer columns than rows (`share`).

Before the noise, a record whose RMS is above c is scaled down to it, so that a bound can be stated.

What each part is for. The mean leaves nothing that is told apart by its position, so that there
are no moments of positions to match, and no order to find. W = k (C + 1e-3 tr(C)/d)^(-a), of the
mean tokens' covariance C and k such that the usual RMS of z is 1. With a = 1/2 records have the
first and second moments of a round cloud, which say nothing of R; less of a keeps more of what the
extractor knows (its large directions mean something) and leaves an attacker some. Third moments
and the scatter within and between classes still tell of R. The noise buries them: they are
estimated from a whole upload, so that s decides how many records or known pairs it takes.

W and m stay with the owner. Means and noise do not come back: there is no inverse. But R, where it
is whole and no secret layer stands before it, can be exchanged for another key's: turned noise is
noise as before.
"""

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from xnn.errors import ConfigError, CorruptError, InsufficientDataError
from xnn.keystream import KeyStream
from xnn.schemes.base import Obfuscator, Scheme, SchemeCard, Statistics
from xnn.schemes.guarantee import Guarantee, channel_guarantee
from xnn.schemes.matrices import draw_matrix
from xnn.schemes.record_chance import RecordChance
from xnn.types import TokenShape

LOUDEST = 1.25
"""Largest RMS of a whitened mean token, c: its usual RMS is 1. Louder ones are scaled down."""

_RELU_MEAN = 1 / math.sqrt(2 * math.pi)
_RELU_DEVIATION = math.sqrt(0.5 - 1 / (2 * math.pi))
"""Of relu(x), x standard normal."""
_SHRINKAGE = 1e-3
_FEWEST = 2


@final
class PooledObfuscator(Obfuscator):
    """The map of one key.

    Args:
        shape: Tokens and width of the features.
        mean: m.
        whitening: W.
        layers: Each V, in order.
        rotation: The columns of R that are kept, scaled to keep the RMS.
        chance: Source of the noise.
        strength: s.
    """

    def __init__(
        self,
        shape: TokenShape,
        *,
        mean: Float32[np.ndarray, " d"],
        whitening: Float32[np.ndarray, "d d"],
        layers: Sequence[Float64[np.ndarray, "d d"]],
        rotation: Float64[np.ndarray, "d e"],
        chance: RecordChance,
        strength: float,
    ) -> None:
        super().__init__(shape, TokenShape(1, rotation.shape[1]))
        self._mean = torch.from_numpy(mean)
        whole = whitening.astype(np.float64)
        maps = [*layers, rotation]
        self._maps = [torch.from_numpy(m) for m in (whole @ maps[0], *maps[1:])]
        exchangeable = not layers and rotation.shape[0] == rotation.shape[1]
        self._rotation = torch.from_numpy(rotation) if exchangeable else None
        self._chance = chance
        self._strength = strength

    def _quiet_records(self, samples: Tensor) -> Tensor:
        hidden = samples.mean(dim=1) - self._mean.to(samples.dtype)
        for matrix in self._maps[:-1]:
            hidden = (torch.relu(hidden @ matrix.to(samples.dtype)) - _RELU_MEAN) / _RELU_DEVIATION
        return bounded(hidden @ self._maps[-1].to(samples.dtype))[:, None]

    def _records(self, samples: Tensor) -> Tensor:
        records = self._quiet_records(samples)
        if self._strength == 0:
            return records
        noise = self._chance.of(samples).normals(self.record_shape.d)[:, None]
        return records + self._strength * noise.to(records.dtype)

    def _unturned(self, records: Tensor) -> Tensor:
        if self._rotation is None:
            return super()._unturned(records)
        return records @ self._rotation.T.to(records.dtype)

    def _turned(self, unturned: Tensor) -> Tensor:
        if self._rotation is None:
            return super()._turned(unturned)
        return unturned @ self._rotation.to(unturned.dtype)


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
        layers: Secret nonlinear layers.
        share: Of the width that is kept, in (0, 1].
        photographs_per_class: Most of them under one class number; None for no bound.
        statistics: As `measure_pooled` returns them; None before fitting.
    """

    def __init__(
        self,
        *,
        name: str,
        strength: float,
        whiten: float = 0.25,
        layers: int = 0,
        share: float = 1.0,
        photographs_per_class: int | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._name = name
        self._photographs_per_class = photographs_per_class
        self._strength = strength
        self._whiten = whiten
        self._layers = layers
        self._share = share
        self._statistics = statistics
        noise = f", in Gaussian noise of {strength:g} times its size" if strength else ""
        deep = f", through {layers} secret layer{'s' * (layers > 1)}" if layers else ""
        kept = f" to {share:g} of its width" if share < 1 else ""
        few = f"; {photographs_per_class} photographs a class" if photographs_per_class else ""
        self.card = SchemeCard(
            name=name,
            version=1,
            summary=f"the mean token, whitened in part{deep} and turned by a secret rotation"
            f"{kept}{noise}{few}",
            resists="unpaired statistics: there are no positions, and first and second moments say "
            "nothing of the key" + ("; known images, up to a number" if strength else ""),
            falls_to="known images, and a comparison of classes with suspects as a whole"
            if not strength
            else "more known images than its exposure budget; "
            + (
                "whoever finds which class numbers are one person's"
                if photographs_per_class
                else "averaging over the records of a class by whoever learns the key"
            ),
            linear=False,
            randomised=strength > 0,
            invertible=False,
            turnable=layers == 0 and share == 1,
            fitted=True,
            photographs_per_class=photographs_per_class,
        )

    def record_shape(self, shape: TokenShape) -> TokenShape:
        """Return one token."""
        return TokenShape(1, max(1, round(self._share * shape.d)))

    def measure(self, features: Float32[np.ndarray, "b n d"]) -> Statistics:
        """Return mean and whitening of the mean tokens."""
        return measure_pooled(features, self._whiten)

    def with_statistics(self, statistics: Statistics) -> "Pooled":
        """Return this scheme with what was measured."""
        d = len(statistics.get("mean", ()))
        check_statistics(statistics, mean=(d,), whitening=(d, d))
        return Pooled(
            name=self._name,
            strength=self._strength,
            whiten=self._whiten,
            layers=self._layers,
            share=self._share,
            photographs_per_class=self._photographs_per_class,
            statistics=statistics,
        )

    def guarantee(self, shape: TokenShape) -> Guarantee | None:
        """Return the bound that the noise gives; it counts the key as known."""
        if self._strength == 0:
            return None
        return channel_guarantee(self.record_shape(shape).d, self._strength / LOUDEST)

    def bind(self, shape: TokenShape, stream: KeyStream) -> PooledObfuscator:
        """Draw the layers, then the rotation, then what seeds the noise."""
        if self._statistics is None:
            raise ConfigError(
                f"scheme {self._name!r} is measured on the owner's features first; call its fit"
            )
        d, e = shape.d, self.record_shape(shape).d
        check_statistics(self._statistics, mean=(d,), whitening=(d, d))
        layers = [draw_matrix(stream, d, "gaussian") for _ in range(self._layers)]
        rotation = draw_matrix(stream, d, "haar")[:, :e] * np.sqrt(d / e)
        return PooledObfuscator(
            shape,
            mean=self._statistics["mean"],
            whitening=self._statistics["whitening"],
            layers=layers,
            rotation=rotation,
            chance=RecordChance(stream),
            strength=self._strength,
        )
