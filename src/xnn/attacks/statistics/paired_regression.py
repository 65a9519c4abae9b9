"""Features from records by regression on known pairs, for keys that are no one matrix.

Two shapes are tried, and the one with the lower error on pairs left out is kept. *Tokens*: every
token of a record is one token of the features, in an order that all records share, behind a map
that need not be linear; a token is regressed on itself and on random rectified features of it.
*Records*: nothing is assumed of how a record is laid out; kernel ridge from whole records to whole
features.

The order of tokens comes from likeness across pairs: place i belongs to position t where the pairs
whose tokens i are alike are those whose tokens t are alike (centred kernel alignment).

Source: this project; Kornblith et al. 2019 (arXiv:1905.00414) for the alignment of kernels, Huang
et al. 2006 for random features.
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import linear_sum_assignment

from xnn.errors import InsufficientDataError

FEWEST_PAIRS = 20
_MAX_PAIRS = 1500
_MAX_FOR_ORDER = 300
_FOLDS = 4
_STRENGTHS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_WIDENING = 3
"""Random features per channel."""

Form = Literal["tokens", "records"]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedRegression:
    """What was learned; `fit` makes one."""

    form: Form
    place: Int64[np.ndarray, " m"] | None
    mean: Float64[np.ndarray, "n d"]
    """Of the features."""
    inputs: "_Inputs"
    weights: Float64[np.ndarray, "f a"]
    left_out_error: float
    """Relative to how far features stray from their mean."""

    @classmethod
    def fit(
        cls,
        records: Float32[np.ndarray, "k m e"],
        features: Float32[np.ndarray, "k n d"],
        *,
        seed: int,
    ) -> "PairedRegression":
        """Learn from pairs.

        Args:
            records: Of known photographs.
            features: Of the same photographs.
            seed: Draws random features and the pairs left out.

        Raises:
            InsufficientDataError: Fewer than 20 pairs.
        """
        if len(records) < FEWEST_PAIRS:
            raise InsufficientDataError(
                f"{len(records)} pairs; regression of features needs at least {FEWEST_PAIRS}"
            )
        records, features = records[:_MAX_PAIRS], features[:_MAX_PAIRS]
        found = [_fit(records, features, None, seed)]
        if records.shape[1] == features.shape[1]:
            found.append(_fit(records, features, order_by_likeness(records, features), seed))
        return min(found, key=lambda one: one.left_out_error)

    def read(self, records: Float32[np.ndarray, "q m e"]) -> Float32[np.ndarray, "q n d"]:
        """Return the features behind records."""
        n, d = self.mean.shape
        out = np.empty((len(records), n, d), dtype=np.float32)
        for start in range(0, len(records), 256):
            part = records[start : start + 256]
            read = (self.inputs.of(part) @ self.weights).reshape(len(part), n, d)
            where = slice(None) if self.place is None else self.place
            out[start : start + 256, where] = read + self.mean[where]
        return out


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Inputs:
    """What the regression is given of a record."""

    form: Form
    centre: Float64[np.ndarray, " e"]
    whitener: Float64[np.ndarray, "e w"]
    random: Float64[np.ndarray, "w z"]
    support: Float32[np.ndarray, "s v"]
    """Flattened records of the pairs, for whole records."""

    def of(self, records: Float32[np.ndarray, "b m e"]) -> Float64[np.ndarray, "r f"]:
        """Return a row per token, or per record."""
        white = (records - self.centre) @ self.whitener
        if self.form == "records":
            flat = white.reshape(len(records), -1).astype(np.float32)
            return (flat @ self.support.T).astype(np.float64) / flat.shape[1]
        rows = white.reshape(-1, white.shape[2])
        return np.concatenate(
            [np.ones((len(rows), 1)), rows, np.maximum(rows @ self.random, 0.0)], axis=1
        )


def order_by_likeness(
    records: Float32[np.ndarray, "k n e"], features: Float32[np.ndarray, "k n d"]
) -> Int64[np.ndarray, " n"]:
    """Return the position at each place by which pairs look alike there; any map will do.

    Args:
        records: Of known photographs, one order of tokens.
        features: Of the same photographs.
    """
    left, right = (
        _likeness(tokens[:_MAX_FOR_ORDER].astype(np.float64)) for tokens in (records, features)
    )
    return linear_sum_assignment(-left @ right.T)[1].astype(np.int64)


def _likeness(tokens: Float64[np.ndarray, "k n d"]) -> Float64[np.ndarray, "n p"]:
    """Return for every position the centred kernel of all pairs, of length 1.

    Channels are whitened over all positions, so that a matrix changes nothing.
    """
    centred = tokens - tokens.mean(axis=0)
    rest = centred.reshape(-1, tokens.shape[2])
    covariance = rest.T @ rest / len(rest)
    variances, directions = np.linalg.eigh(covariance)
    # Channels below a thousandth of the mean variance would be storage's rounding, blown up.
    floor = 1e-3 * variances.mean()
    white = (centred @ (directions / np.sqrt(np.maximum(variances, floor)))).transpose(1, 0, 2)
    kernels = white @ white.transpose(0, 2, 1)
    kernels -= np.mean(kernels, axis=0)  # what all positions share tells none apart
    flat = kernels.reshape(len(kernels), -1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)


def _fit(
    records: Float32[np.ndarray, "k m e"],
    features: Float32[np.ndarray, "k n d"],
    place: Int64[np.ndarray, " m"] | None,
    seed: int,
) -> PairedRegression:
    """Choose the ridge on pairs left out, then fit on all of them."""
    k = len(records)
    mean = features.mean(axis=0, dtype=np.float64)
    order = slice(None) if place is None else place
    inputs = _inputs(records, "records" if place is None else "tokens", seed)
    rows = inputs.of(records).reshape(k, -1, inputs.of(records[:1]).shape[1])
    aims = (features - mean)[:, order].reshape(*rows.shape[:2], -1)
    folds = np.random.default_rng(seed).permutation(k) % _FOLDS
    errors = np.zeros(len(_STRENGTHS))
    for fold in range(_FOLDS):
        kept, held = folds != fold, folds == fold
        # Of a kernel, only the columns of pairs that are not left out may be used.
        columns = kept if place is None else np.ones(rows.shape[2], dtype=bool)
        solver = _Solver(rows[kept][:, :, columns], aims[kept], kernel=place is None)
        test = rows[held][:, :, columns]
        for i, strength in enumerate(_STRENGTHS):
            errors[i] += np.square(test @ solver.weights(strength) - aims[held]).sum()
    strength = _STRENGTHS[int(errors.argmin())]
    return PairedRegression(
        form=inputs.form,
        place=place,
        mean=mean,
        inputs=inputs,
        weights=_Solver(rows, aims, kernel=place is None).weights(strength),
        left_out_error=float(np.sqrt(errors.min() / max(float(np.square(aims).sum()), 1e-300))),
    )


def _inputs(records: Float32[np.ndarray, "k m e"], form: Form, seed: int) -> _Inputs:
    rows = records.reshape(-1, records.shape[2]).astype(np.float64)
    centre = rows.mean(axis=0)
    variances, directions = np.linalg.eigh((rows - centre).T @ (rows - centre) / len(rows))
    whitener = directions / np.sqrt(np.maximum(variances, 1e-6 * variances.mean() + 1e-30))
    flat = ((records - centre) @ whitener).reshape(len(records), -1).astype(np.float32)
    width = min(_WIDENING * rows.shape[1], len(rows) // 4)
    random = np.random.default_rng(seed).normal(size=(rows.shape[1], width))
    return _Inputs(
        form=form,
        centre=centre,
        whitener=whitener,
        random=random / np.sqrt(rows.shape[1]),
        support=flat if form == "records" else flat[:0],
    )


@final
class _Solver:
    """Ridge regression whose strength is chosen after the decomposition."""

    def __init__(
        self,
        rows: Float64[np.ndarray, "k m f"],
        aims: Float64[np.ndarray, "k m a"],
        *,
        kernel: bool,
    ) -> None:
        flat, aim = rows.reshape(-1, rows.shape[2]), aims.reshape(-1, aims.shape[2])
        if kernel:
            self._values, self._vectors = np.linalg.eigh(flat)
            self._projected = self._vectors.T @ aim
        else:
            self._values, self._vectors = np.linalg.eigh(flat.T @ flat / len(flat))
            self._projected = self._vectors.T @ (flat.T @ aim / len(flat))

    def weights(self, strength: float) -> Float64[np.ndarray, "f a"]:
        """Return the weights for a strength in units of the mean eigenvalue."""
        ridge = strength * max(float(self._values.mean()), 1e-300)
        return (self._vectors / (np.maximum(self._values, 0.0) + ridge)) @ self._projected
