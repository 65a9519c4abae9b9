"""Hidden units of a secret ReLU layer from tokens whose features are known.

For records Y = ReLU(X M1) M2 every column of H = ReLU(X M1) is a combination of the columns of Y.
So the hidden units are the directions m for which ReLU(X m) lies in the span of Y: they are found
one by one, without M2, by descent on m from many starts. What is minimised is the part outside that
span over the part outside the span of X: a unit that is nearly always on is linear, lies in every
span, and would draw all starts. Units already found are put into the second span, so that the next
round passes them by.

Source: this project (redteam.md, A11).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

FEWEST_TOKENS_PER_CHANNEL = 4
"""Known tokens per channel below which few units or none are found."""
ROUNDING = 0.7 * 2.0**-24
"""Variance that float16 storage adds to a number, relative to its square; measured."""
_FLOOR = 1e-7
_SAME = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """Effort."""

    starts: int = 256
    """Per round."""
    steps: int = 150
    most_rounds: int = 16
    most_tokens: int = 3000
    rate: float = 0.03
    enough: float = 0.95
    """Share of the units after which no other round is begun."""
    good: float = 0.02
    """Share of a unit's non-linear part outside the records' span up to which it is believed."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """Hidden units h = ReLU(x m) = y v, as many as were found, in no order."""

    into: Float64[np.ndarray, "d f"]
    """Columns m, of features."""
    back: Float64[np.ndarray, "e f"]
    """Columns v, of records."""
    noise: Float64[np.ndarray, " f"]
    """Standard deviation of y v where the unit is known."""

    def __len__(self) -> int:
        return self.into.shape[1]

    def of_features(self, tokens: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n f"]:
        """Return the units that features would have."""
        return np.maximum(tokens @ self.into.astype(np.float32), np.float32(0))

    def of_records(self, records: Float32[np.ndarray, "b n e"]) -> Float32[np.ndarray, "b n f"]:
        """Return the units behind records; summed in float64, for `back` is steep."""
        read = records.astype(np.float64) @ self.back
        return np.maximum(read, 0.0).astype(np.float32)

    def at(self, rows: Int64[np.ndarray, " r"]) -> "Units":
        """Return some of the units."""
        return Units(into=self.into[:, rows], back=self.back[:, rows], noise=self.noise[rows])


def find_units(
    features: Float32[np.ndarray, "t d"],
    records: Float32[np.ndarray, "t e"],
    *,
    settings: UnitSettings,
    seed: int,
) -> Units:
    """Find hidden units between known tokens.

    Args:
        features: Tokens of the extractor, at least 4 times as many as channels to find much.
        records: The same tokens behind the layer.
        settings: Effort.
        seed: Draws the tokens and the starts.
    """
    rng = np.random.default_rng(seed)
    if len(features) > settings.most_tokens:
        some = np.sort(rng.permutation(len(features))[: settings.most_tokens])
        features, records = features[some], records[some]
    x, y = features.astype(np.float64), records.astype(np.float64)
    search = _Search(x, y, settings, rng)
    idle = 0
    for _ in range(settings.most_rounds):
        idle = 0 if search.round() else idle + 1
        if idle > 1 or len(search.found) >= settings.enough * y.shape[1]:
            break
    return _solved(search.directions(), x, y)


@final
class _Search:
    """Rounds of descent; each passes by what the ones before it found."""

    def __init__(
        self,
        x: Float64[np.ndarray, "t d"],
        y: Float64[np.ndarray, "t e"],
        settings: UnitSettings,
        rng: np.random.Generator,
    ) -> None:
        self._settings, self._rng = settings, rng
        values, axes = np.linalg.eigh(x.T @ x / len(x))
        kept = values > _FLOOR * values[-1]
        self._axes, self._lengths = axes[:, kept], np.sqrt(values[kept])
        self._tokens = _single(x @ (self._axes / self._lengths))
        left, lengths, _ = np.linalg.svd(y, full_matrices=False)
        rounding = ROUNDING * np.square(y).mean() * len(y)
        self._span = _single(left * np.sqrt(lengths**2 / (lengths**2 + 3 * rounding)))
        self._linear = _single(np.linalg.qr(self._tokens.double().numpy())[0])
        self.found: list[Tensor] = []
        self._ways: list[Float64[np.ndarray, " r"]] = []

    def directions(self) -> Float64[np.ndarray, "d f"]:
        """Return the directions found so far, in the features' coordinates."""
        ways = np.array(self._ways).reshape(len(self._ways), len(self._lengths)).T
        return self._axes @ (ways / self._lengths[:, None])

    def round(self) -> int:
        """Descend from new starts; return how many units are new."""
        known = torch.cat([self._linear, *(one[:, None] for one in self.found)], dim=1)
        passed = torch.linalg.qr(known)[0]
        ways = self._descended(passed)
        hidden = torch.relu(self._tokens @ ways)
        missed = self._missed(hidden, passed)
        alive = hidden.square().mean(dim=0) > 1e-3
        hidden = hidden / hidden.norm(dim=0).clamp_min(1e-9)
        before = len(self.found)
        for i in torch.argsort(missed).tolist():
            if missed[i] > self._settings.good:
                break
            one = hidden[:, i]
            if alive[i] and not any(float(one @ other) > _SAME for other in self.found):
                self.found.append(one)
                self._ways.append(ways[:, i].double().numpy())
        return len(self.found) - before

    def _descended(self, passed: Float32[Tensor, "t p"]) -> Float32[Tensor, "r s"]:
        """Follow the gradient from starts drawn as a Gaussian layer's units are."""
        drawn = self._rng.normal(size=(len(self._axes), self._settings.starts))
        ways = _single(self._lengths[:, None] * (self._axes.T @ drawn))
        ways = (ways / ways.norm(dim=0)).requires_grad_()
        optimiser = torch.optim.Adam([ways], lr=self._settings.rate)
        steps = self._settings.steps
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = (
                self._settings.rate * (1 + np.cos(np.pi * step / steps)) / 2 + 1e-5
            )
            optimiser.zero_grad()
            loss = self._missed(torch.relu(self._tokens @ ways), passed).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                ways /= ways.norm(dim=0)
        return ways.detach()

    def _missed(
        self, hidden: Float32[Tensor, "t s"], passed: Float32[Tensor, "t p"]
    ) -> Float32[Tensor, " s"]:
        """Return the part outside the records' span over the part that is new and not linear."""
        whole = hidden.square().sum(dim=0)
        outside = whole - (self._span.T @ hidden).square().sum(dim=0)
        fresh = (whole - (passed.T @ hidden).square().sum(dim=0)).clamp_min(0)
        return outside / (fresh + 1e-4 * whole + 1e-6)


def _solved(
    into: Float64[np.ndarray, "d f"], x: Float64[np.ndarray, "t d"], y: Float64[np.ndarray, "t e"]
) -> Units:
    """Solve for what reads each unit from a record."""
    rounding = ROUNDING * np.square(y).mean()
    gram = y.T @ y + rounding * len(y) * np.eye(y.shape[1])
    hidden = np.maximum(x @ into, 0.0)
    back = np.linalg.solve(gram, y.T @ hidden)
    off = np.square(y @ back - hidden).mean(axis=0) * len(y) / max(1, len(y) - y.shape[1])
    return Units(into=into, back=back, noise=np.sqrt(off + rounding * np.square(back).sum(axis=0)))


def _single(values: Float64[np.ndarray, "a b"]) -> Float32[Tensor, "a b"]:
    return torch.from_numpy(values).float()
