"""From record tokens to features, learned from known pairs whose order of tokens is known.

Least squares in the channels whitened by all the records held, paired or not, so that a badly
conditioned key costs nothing, and ridged towards a prior guess, which decides whatever the pairs
say nothing about. Ridge and form are chosen on pairs left out where there are enough of them.

Source: this project (redteam.md, P3 and A5).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

_STRENGTHS = (1e-8, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, in units of the variance of a whitened channel."""
_FOLDS = 5
_SPARE = 1.3
"""Rows over channels, from which leaving pairs out says something about the rest."""
_FEWEST_BY_POSITION = 20
"""Pairs from which a scale and an offset per position are tried."""
_FLOOR = 1e-15
_MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """features[b, place[b, i]] = (records[b, i] @ weights) * scale[place] + offset[place]."""

    weights: Float64[np.ndarray, "e d"]
    scale: Float64[np.ndarray, "n d"]
    offset: Float64[np.ndarray, "n d"]
    by_position: bool
    """Whether scale and offset say anything; if not, `weights` alone is the inverse of the key."""
    strength: float
    """Of the ridge."""
    left_out_error: float | None
    """Relative error on pairs left out; None where there were too few to leave any out."""

    def tokens(self, records: Float32[np.ndarray, "b m e"]) -> Float64[np.ndarray, "b m d"]:
        """Return the tokens in the records' order, before scale and offset."""
        return records @ self.weights

    def features(
        self, records: Float32[np.ndarray, "b m e"], place: Int64[np.ndarray, "b m"]
    ) -> Float32[np.ndarray, "b n d"]:
        """Return features; positions that no token came from hold the offset."""
        b, rows = len(records), np.arange(len(records))[:, None]
        read = np.tile(self.offset.astype(np.float32), (b, 1, 1))
        read[rows, place] = self.tokens(records) * self.scale[place] + self.offset[place]
        return read


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedTokens:
    """Known pairs with their order of tokens."""

    records: Float32[np.ndarray, "k m e"]
    features: Float32[np.ndarray, "k n d"]
    place: Int64[np.ndarray, "k m"]

    def at(self, rows: Int64[np.ndarray, " r"]) -> "PairedTokens":
        """Return some of the pairs."""
        return PairedTokens(
            records=self.records[rows], features=self.features[rows], place=self.place[rows]
        )

    def targets(self) -> Float64[np.ndarray, "k m d"]:
        """Return the features in the order of the records."""
        rows = np.arange(len(self.place))[:, None]
        return self.features[rows, self.place].astype(np.float64)


def learn_reading(
    pairs: PairedTokens,
    unpaired: Float32[np.ndarray, "r m e"],
    *,
    prior: Float64[np.ndarray, "e d"] | None = None,
    seed: int = 0,
) -> Reading:
    """Learn the reading from pairs and all the records held.

    Args:
        pairs: At least one.
        unpaired: Records under the same key; may be none.
        prior: A guess at the weights from elsewhere; none stands for zero.
        seed: Draws the pairs left out.
    """
    channels = _whitening_channels(np.concatenate([pairs.records, unpaired]))
    start = np.zeros((channels.shape[0], pairs.features.shape[2])) if prior is None else prior
    rounding = _as_in_float16(pairs.records)
    options = [(_STRENGTHS[1] if rounding else _STRENGTHS[0], False)]
    k, m = pairs.place.shape
    kept = k - max(1, -(-k // _FOLDS))
    if kept * m < _SPARE * channels.shape[1]:
        return _fit(pairs, channels, start, *options[0])
    options = [(strength, False) for strength in _STRENGTHS]
    if k >= _FEWEST_BY_POSITION:
        options += [(strength, True) for strength in _STRENGTHS]
    folds = np.random.default_rng(seed).permutation(k) % min(_FOLDS, k)
    errors = np.zeros(len(options))
    for fold in range(min(_FOLDS, k)):
        rest, held = (pairs.at(np.flatnonzero((folds == fold) == out)) for out in (False, True))
        for i, option in enumerate(options):
            errors[i] += _error(_fit(rest, channels, start, *option), held)
    best = int(errors.argmin())
    reading = _fit(pairs, channels, start, *options[best])
    spread = np.square(pairs.features - pairs.features.mean(axis=0)).sum()
    relative = float(np.sqrt(errors[best] / max(float(spread), 1e-300)))
    return Reading(
        weights=reading.weights,
        scale=reading.scale,
        offset=reading.offset,
        by_position=reading.by_position,
        strength=reading.strength,
        left_out_error=relative,
    )


def _fit(
    pairs: PairedTokens,
    channels: Float64[np.ndarray, "e w"],
    start: Float64[np.ndarray, "e d"],
    strength: float,
    by_position: bool,
) -> Reading:
    n, d = pairs.features.shape[1:]
    scale, offset = np.ones((n, d)), np.zeros((n, d))
    records, targets = pairs.records.astype(np.float64), pairs.targets()
    if not by_position:
        weights = start + _solve(records, targets - records @ start, channels, strength)
    else:
        # Only for an order that all records share: the mean of a place is that of its position.
        order = pairs.place[0]
        mean, deviation = targets.mean(axis=0), targets.std(axis=0) + 1e-6 * targets.std()
        centre = records.mean(axis=0)
        weights = _solve(records - centre, (targets - mean) / deviation, channels, strength)
        scale[order] = deviation
        offset[order] = mean - (centre @ weights) * deviation
    return Reading(
        weights=weights,
        scale=scale,
        offset=offset,
        by_position=by_position,
        strength=strength,
        left_out_error=None,
    )


def _solve(
    records: Float64[np.ndarray, "k m e"],
    targets: Float64[np.ndarray, "k m d"],
    channels: Float64[np.ndarray, "e w"],
    strength: float,
) -> Float64[np.ndarray, "e d"]:
    """Solve least squares on whitened records, ridged."""
    rows = records.reshape(-1, records.shape[2]) @ channels
    aims = targets.reshape(len(rows), -1)
    if len(rows) > 4 * rows.shape[1]:
        # Far over the number of channels the normal equations lose nothing, and are quicker.
        gram = rows.T @ rows
        gram[np.diag_indices_from(gram)] += strength * len(rows)
        return channels @ np.linalg.solve(gram, rows.T @ aims)
    left, values, right = np.linalg.svd(rows, full_matrices=False)
    gain = values / (np.square(values) + strength * len(rows))
    return channels @ ((right.T * gain) @ (left.T @ aims))


def _whitening_channels(records: Float32[np.ndarray, "r m e"]) -> Float64[np.ndarray, "e w"]:
    """Return the map to channels of second moment 1 and no correlation, dead ones left out."""
    rows = records.reshape(-1, records.shape[2])
    step = max(1, len(rows) // _MOST_ROWS)
    rows = rows[::step].astype(np.float64)
    variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
    alive = variances > _FLOOR * variances[-1]
    return directions[:, alive] / np.sqrt(variances[alive])


def _error(reading: Reading, held: PairedTokens) -> float:
    read = reading.tokens(held.records) * reading.scale[held.place] + reading.offset[held.place]
    return float(np.square(read - held.targets()).sum())


def _as_in_float16(records: Float32[np.ndarray, "k m e"]) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(records.astype(np.float16).astype(np.float32), records))
