"""Ridge regression with more inputs than photographs: one Gram matrix, every strength.

Inputs of 4096 numbers and 50 photographs make a 50x50 system. Inputs are standardised number by
number and scaled so that the strengths mean the same for every shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float32, Float64

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""In units of the mean eigenvalue of the Gram matrix of the inputs."""

_FLOOR = 0.01
"""Least deviation of an input, as a share of the mean one."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standardiser:
    """Subtract the mean, divide by the deviation, flatten."""

    mean: Float64[np.ndarray, " f"]
    deviation: Float64[np.ndarray, " f"]

    @classmethod
    def of(cls, inputs: Float[np.ndarray, "s ..."]) -> "Standardiser":
        """Measure inputs; a row each, of any shape."""
        flat = inputs.reshape(len(inputs), -1)
        deviation = flat.std(axis=0, dtype=np.float64)
        floor = _FLOOR * float(np.sqrt(np.mean(deviation**2))) + 1e-12
        return cls(mean=flat.mean(axis=0, dtype=np.float64), deviation=np.maximum(deviation, floor))

    def __call__(self, inputs: Float[np.ndarray, "b ..."]) -> Float32[np.ndarray, "b f"]:
        """Return rows whose squared length is about 1."""
        flat = inputs.reshape(len(inputs), -1)
        scale = self.deviation * np.sqrt(len(self.deviation))
        return ((flat - self.mean) / scale).astype(np.float32)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DualRidge:
    """A fitted regression from anything to rows of numbers."""

    standardise: Standardiser
    support: Float32[np.ndarray, "s f"]
    weights: Float64[np.ndarray, "s t"]
    centre: Float64[np.ndarray, " t"]
    strength: float

    @classmethod
    def fit(
        cls,
        inputs: Float[np.ndarray, "s ..."],
        targets: Float[np.ndarray, "s t"],
        *,
        strength: float,
    ) -> "DualRidge":
        """Solve for one strength."""
        return fit_strengths(inputs, targets, (strength,))[0]

    def __call__(self, inputs: Float[np.ndarray, "b ..."]) -> Float64[np.ndarray, "b t"]:
        """Return the targets foreseen for these inputs."""
        across = (self.standardise(inputs) @ self.support.T).astype(np.float64)
        foreseen: Float64[np.ndarray, "b t"] = across @ self.weights + self.centre
        return foreseen


def fit_strengths(
    inputs: Float[np.ndarray, "s ..."],
    targets: Float[np.ndarray, "s t"],
    strengths: Sequence[float] = STRENGTHS,
) -> list[DualRidge]:
    """Return one regression per strength; the Gram matrix is made once.

    Args:
        inputs: A row per photograph, of any shape, finite.
        targets: A row per photograph.
        strengths: See `STRENGTHS`; above 0.
    """
    standardise = Standardiser.of(inputs)
    support = standardise(inputs)
    gram = (support @ support.T).astype(np.float64)
    unit = max(float(np.trace(gram)) / len(gram), 1e-12)
    centre = targets.mean(axis=0, dtype=np.float64)
    fitted = []
    for strength in strengths:
        system = gram + strength * unit * np.eye(len(gram))
        fitted.append(
            DualRidge(
                standardise=standardise,
                support=support,
                weights=np.linalg.solve(system, targets - centre),
                centre=centre,
                strength=strength,
            )
        )
    return fitted


def fit_chosen(
    inputs: Float[np.ndarray, "s ..."],
    targets: Float[np.ndarray, "s t"],
    *,
    held: np.ndarray,
    quality: Callable[[Float64[np.ndarray, "h t"]], float],
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[DualRidge, float]:
    """Return the regression of the strength that does best on rows held out, fitted on all rows.

    Args:
        inputs: A row per photograph.
        targets: A row per photograph.
        held: Which rows are held out while strengths are compared.
        quality: Of what is foreseen for the rows held out; higher is better.
        strengths: See `STRENGTHS`.

    Returns:
        The regression, and its quality on the rows held out.
    """
    tried = fit_strengths(inputs[~held], targets[~held], strengths)
    qualities = [quality(one(inputs[held])) for one in tried]
    best = int(np.argmax(qualities))
    return DualRidge.fit(inputs, targets, strength=strengths[best]), qualities[best]
