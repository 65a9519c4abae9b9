"""The most likely matrix, given the order of tokens: what makes records look like public faces.

With x = y B the records' log-likelihood under the public Gaussian is a quadratic in B plus the log
of its determinant. The recipe of the key is public too: entries of M = B^-1 are N(0, 1/d), which
keeps directions apart that few records confuse. Minimised by L-BFGS in steps B <- B (I + E), each
entry of E scaled by its own curvature; without that scaling it crawls.

Source: this project (redteam.md, A1 step 5, there with positions taken as independent); relative
steps as in Cardoso and Laheld 1996.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.optimize import minimize

from xnn.attacks.statistics.moments import Whitening


@runtime_checkable
class MapModel(Protocol):
    """A Gaussian of maps, as `JointGaussian` is; rows may have their own means and precisions."""

    @property
    def into(self) -> Float64[np.ndarray, "d d"]:
        """From the extractor's channels to the model's."""

    @property
    def variances(self) -> Float64[np.ndarray, " d"]:
        """Pooled variance of each of the model's directions, in the extractor's units."""

    @property
    def means(self) -> Float32[np.ndarray, "..."]:
        """Mean of each position, or of each row's positions."""

    def precision_times(self, maps: Float32[np.ndarray, "b n d"]) -> Float32[np.ndarray, "b n d"]:
        """Return the precision of whole maps, applied to maps less their mean."""

    def mean_curvature(self) -> Float64[np.ndarray, " d"]:
        """Return the diagonal of the precision, averaged over positions."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refined:
    """A better matrix."""

    inverse: Float64[np.ndarray, "d d"]
    """From a record's channels to the extractor's."""
    objective: float
    """Per number in the records; lower = more likely."""


def refine(
    records: Float32[np.ndarray, "b n d"],
    place: Int64[np.ndarray, " n"],
    inverse: Float64[np.ndarray, "d d"],
    model: MapModel,
    whitening: Whitening,
    *,
    rounds: int = 3,
    steps: int = 15,
) -> Refined:
    """Climb the likelihood from a first matrix.

    Args:
        records: Under one key.
        place: Position of the token at each place.
        inverse: Where to begin.
        model: Of the attacker's own features.
        whitening: Of the records, for numbers of order 1.
        rounds: Times the scaling is worked out anew.
        steps: L-BFGS steps in a round.
    """
    white = np.empty(records.shape, dtype=np.float32)
    white[:, place] = (records.astype(np.float64) @ whitening.inverse_root).astype(np.float32)
    back = whitening.root @ inverse @ model.into
    for _ in range(rounds):
        climb = _Climb(white, back, model, whitening)
        d = len(back)
        found = minimize(
            climb.value_and_gradient,
            np.zeros(d * d),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": steps, "maxcor": 15, "maxls": 10},
        )
        back = climb.moved(found.x)
    out_of = np.linalg.inv(model.into)
    return Refined(
        inverse=whitening.inverse_root @ back @ out_of,
        objective=_Climb(white, back, model, whitening).absolute_objective(),
    )


class _Climb:
    """The objective round one matrix B, as a function of the scaled relative step E.

    (1/NTd) [ sum_n (x - mean)' Precision (x - mean) + d |M|^2 ] - c log|det B|, with
    c = (2 - 2 d / NT) / d: the measure on M that no rescaling changes.
    """

    def __init__(
        self,
        white: Float32[np.ndarray, "b n d"],
        back: Float64[np.ndarray, "d d"],
        model: MapModel,
        whitening: Whitening,
    ) -> None:
        b, n, d = white.shape
        self._back, self._model, self._shape = back, model, (b, n, d)
        self._tokens = (white.reshape(-1, d) @ back.astype(np.float32)).reshape(-1, d)
        self._volume = (2.0 - 2.0 * d / (b * n)) / d
        # M = into' B^-1 W^(1/2) up to a rotation: rows weigh by 1 / variance.
        self._weights = 1 / model.variances
        self._metric = whitening.root @ whitening.root
        self._forth = np.linalg.inv(back)
        size = np.einsum("ij,jk,ik->i", self._forth, self._metric, self._forth)
        spread = np.square(self._tokens).mean(axis=0, dtype=np.float64)
        curvature = (
            2 * np.outer(spread, model.mean_curvature()) / d
            + 2 * np.outer(self._weights, size) / (b * n)
            + max(self._volume, 0.0)
        )
        self._scale = 1 / np.sqrt(curvature)

    def moved(self, step: Float64[np.ndarray, " dd"]) -> Float64[np.ndarray, "d d"]:
        """Return B (I + E)."""
        return self._back @ self._relative(step)

    def absolute_objective(self) -> float:
        """Return the objective at E = 0, with log|det B| counted from the whitened records."""
        value, _ = self.value_and_gradient(np.zeros(self._scale.size))
        return value - self._volume * float(np.linalg.slogdet(self._back)[1])

    def value_and_gradient(
        self, step: Float64[np.ndarray, " dd"]
    ) -> tuple[float, Float64[np.ndarray, " dd"]]:
        """Return the objective, less a constant, and its gradient."""
        b, n, d = self._shape
        relative = self._relative(step)
        maps = (self._tokens @ relative.astype(np.float32)).reshape(b, n, d) - self._model.means
        pulled = self._model.precision_times(maps)
        quadratic = float(np.sum(maps * pulled, dtype=np.float64))
        undone = np.linalg.inv(relative)
        matrix = undone @ self._forth
        weighed = self._weights[:, None] * (matrix @ self._metric)
        value = (
            quadratic / (b * n * d)
            - self._volume * float(np.linalg.slogdet(relative)[1])
            + float(np.sum(weighed * matrix)) / (b * n)
        )
        gradient = (
            2 * (self._tokens.T @ pulled.reshape(-1, d)).astype(np.float64) / (b * n * d)
            - self._volume * undone.T
            - 2 / (b * n) * undone.T @ weighed @ matrix.T
        )
        return value, (gradient * self._scale).ravel()

    def _relative(self, step: Float64[np.ndarray, " dd"]) -> Float64[np.ndarray, "d d"]:
        d = len(self._scale)
        return np.eye(d) + step.reshape(d, d) * self._scale
