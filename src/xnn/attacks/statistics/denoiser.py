"""From a few pairs of z and features to a map that takes the noise back.

Three forms are tried. `shared`: one affine map for the tokens of all positions, so that 10 records
of 16 tokens are 160 pairs. `whole`: one affine map of the record, all positions together. `wiener`:
the best linear guess when the noise knows nothing of the face; it needs the pairs only for the
noise's mean and variance, and takes the statistics of clean features from any number of photographs
that were never queried.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32, Float64

from xnn.attacks.statistics.dual_ridge import STRENGTHS, fit_strengths
from xnn.errors import InsufficientDataError

Denoiser = Callable[[Float32[np.ndarray, "b m e"]], Float32[np.ndarray, "b n d"]]

FEWEST = 4
_FOLDS = 5
_MAX_CLEAN = 2000


def fit_denoiser(
    records: Float32[np.ndarray, "s m e"],
    tokens: Float32[np.ndarray, "s n d"],
    clean: Float32[np.ndarray, "c n d"],
    *,
    seed: int,
) -> tuple[Denoiser, dict[str, str | float]]:
    """Return the form and strength that foresee left-out photographs best, fitted on all pairs.

    Args:
        records: z of the attacker's photographs.
        tokens: Clean features of the same photographs.
        clean: Clean features of any photographs.
        seed: Of the folds.

    Returns:
        The denoiser; its form, strength and the share of the features' variance it leaves.

    Raises:
        InsufficientDataError: Fewer than 4 pairs.
    """
    if len(records) < FEWEST:
        raise InsufficientDataError(
            f"{len(records)} pairs of z and features, a denoiser needs at least {FEWEST}"
        )
    forms = _forms(records, tokens, clean)
    order = np.random.default_rng(seed).permutation(len(records))
    errors: dict[tuple[str, float], float] = {}
    for fold in np.array_split(order, min(_FOLDS, len(order))):
        rest = np.setdiff1d(order, fold)
        for name, fit in forms.items():
            fitted = fit(records[rest], tokens[rest])
            for strength, denoise in fitted.items():
                wrong = float(np.square(denoise(records[fold]) - tokens[fold]).sum())
                errors[name, strength] = errors.get((name, strength), 0.0) + wrong
    (form, strength), error = min(errors.items(), key=lambda one: one[1])
    spread = float(np.square(tokens - tokens.mean(axis=0)).sum())
    found: dict[str, str | float] = {
        "form": form,
        "strength": strength,
        "unexplained": round(error / max(spread, 1e-12), 4),
    }
    return forms[form](records, tokens)[strength], found


_Fit = Callable[[Float32[np.ndarray, "s m e"], Float32[np.ndarray, "s n d"]], dict[float, Denoiser]]


def _forms(
    records: Float32[np.ndarray, "s m e"],
    tokens: Float32[np.ndarray, "s n d"],
    clean: Float32[np.ndarray, "c n d"],
) -> dict[str, _Fit]:
    forms: dict[str, _Fit] = {"whole": _whole}
    if records.shape[1] == tokens.shape[1]:
        forms["shared"] = _shared
    if records.shape == tokens.shape:
        forms["wiener"] = _Wiener(clean[:_MAX_CLEAN]).fit
    return forms


def _whole(
    records: Float32[np.ndarray, "s m e"], tokens: Float32[np.ndarray, "s n d"]
) -> dict[float, Denoiser]:
    shape = tokens.shape[1:]
    fitted = fit_strengths(records, tokens.reshape(len(tokens), -1))
    return {
        ridge.strength: lambda z, ridge=ridge: (  # type: ignore[misc]
            ridge(z).reshape(len(z), *shape).astype(np.float32)
        )
        for ridge in fitted
    }


def _shared(
    records: Float32[np.ndarray, "s m e"], tokens: Float32[np.ndarray, "s n d"]
) -> dict[float, Denoiser]:
    """Fit the deviation of a token from its position's mean, one map for all positions."""
    z_mean, f_mean = (part.mean(axis=0, dtype=np.float64) for part in (records, tokens))
    z, f = (
        (part - mean).reshape(-1, part.shape[2])
        for part, mean in ((records, z_mean), (tokens, f_mean))
    )
    gram, cross = z.T @ z, z.T @ f
    unit = max(float(np.trace(gram)) / len(gram), 1e-12)
    return {
        strength: _affine(
            np.linalg.solve(gram + strength * unit * np.eye(len(gram)), cross), z_mean, f_mean
        )
        for strength in STRENGTHS
    }


def _affine(
    matrix: Float64[np.ndarray, "e d"],
    z_mean: Float64[np.ndarray, "n e"],
    f_mean: Float64[np.ndarray, "n d"],
) -> Denoiser:
    return lambda z: ((z - z_mean) @ matrix + f_mean).astype(np.float32)


class _Wiener:
    """The clean features' principal directions, measured once for all folds."""

    def __init__(self, clean: Float32[np.ndarray, "c n d"]) -> None:
        flat = clean.reshape(len(clean), -1).astype(np.float64)
        self._mean = flat.mean(axis=0)
        centred = flat - self._mean
        values, vectors = np.linalg.eigh(centred @ centred.T / len(flat))
        kept = values > 1e-8 * values[-1]
        self._variances = values[kept]
        # Columns are directions of length 1 in the features' space.
        self._directions = centred.T @ (vectors[:, kept] / np.sqrt(len(flat) * values[kept]))

    def fit(
        self, records: Float32[np.ndarray, "s n d"], tokens: Float32[np.ndarray, "s n d"]
    ) -> dict[float, Denoiser]:
        noise = (records - tokens).astype(np.float64)
        offset = noise.mean(axis=0)
        left = float(np.square(noise - offset).sum() / max(1, len(noise) - 1) / offset.size)
        return {
            factor: self._filter(offset, max(factor * left, 1e-12)) for factor in (0.3, 1.0, 3.0)
        }

    def _filter(self, offset: Float64[np.ndarray, "n d"], variance: float) -> Denoiser:
        gain = self._variances / (self._variances + variance)

        def denoise(z: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
            flat = (z - offset).reshape(len(z), -1) - self._mean
            guessed = (flat @ self._directions * gain) @ self._directions.T + self._mean
            return guessed.reshape(z.shape).astype(np.float32)

        return denoise
