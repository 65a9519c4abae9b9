"""Ridge regression in its dual form from any numbers of a record to a recogniser's embedding."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float32, Float64, Int64

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""In units of the mean eigenvalue of the Gram matrix of the inputs."""

_FLOOR = 0.05
_HELD = 0.25


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingRidge:
    """A fitted regression; `fit` makes one."""

    mean: Float32[np.ndarray, " f"]
    scale: Float32[np.ndarray, " f"]
    support: Float32[np.ndarray, "s f"]
    weights: Float64[np.ndarray, "s e"]

    @classmethod
    def fit(
        cls,
        inputs: Float32[np.ndarray, "s f"],
        targets: Float64[np.ndarray, "s e"],
        people: Int64[np.ndarray, " s"],
        *,
        rng: np.random.Generator,
    ) -> "EmbeddingRidge":
        """Fit with the strength that does best on people held out.

        Args:
            inputs: A row per record.
            targets: Unit embeddings, less their mean.
            people: Who is on each; with fewer than 8 people a strong ridge is taken.
            rng: Draws the people held out.
        """
        mean = inputs.mean(axis=0)
        deviation = inputs.std(axis=0)
        floor = _FLOOR * float(np.sqrt(np.mean(deviation**2))) + 1e-9
        scale = (np.maximum(deviation, floor) * np.sqrt(inputs.shape[1])).astype(np.float32)
        support = ((inputs - mean) / scale).astype(np.float32)
        gram = (support @ support.T).astype(np.float64)
        strength = _strength(gram, targets, people, rng)
        return cls(mean=mean, scale=scale, support=support, weights=_solve(gram, targets, strength))

    def __call__(self, inputs: Float32[np.ndarray, "b f"]) -> Float64[np.ndarray, "b e"]:
        """Return the embeddings foreseen, of any length."""
        across = (((inputs - self.mean) / self.scale) @ self.support.T).astype(np.float64)
        foreseen: Float64[np.ndarray, "b e"] = across @ self.weights
        return foreseen


def unit(rows: Float64[np.ndarray, "b e"] | Float32[np.ndarray, "b e"]) -> np.ndarray:
    """Return rows scaled to length 1, in float64; a row of zeros stays."""
    wide = rows.astype(np.float64)
    scaled: np.ndarray = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return scaled


def _solve(
    gram: Float64[np.ndarray, "s s"], targets: Float64[np.ndarray, "s e"], strength: float
) -> Float64[np.ndarray, "s e"]:
    ridge = strength * max(float(np.trace(gram)) / len(gram), 1e-12)
    solved: Float64[np.ndarray, "s e"] = np.linalg.solve(gram + ridge * np.eye(len(gram)), targets)
    return solved


def _strength(
    gram: Float64[np.ndarray, "s s"],
    targets: Float64[np.ndarray, "s e"],
    people: Int64[np.ndarray, " s"],
    rng: np.random.Generator,
) -> float:
    distinct = np.unique(people)
    if len(distinct) < 8:
        return STRENGTHS[2]
    drawn = rng.permutation(distinct)[: max(2, round(_HELD * len(distinct)))]
    held = np.isin(people, drawn)
    wanted = unit(targets[held])
    kept = gram[np.ix_(~held, ~held)]
    across = gram[np.ix_(held, ~held)]

    def quality(strength: float) -> float:
        foreseen = unit(across @ _solve(kept, targets[~held], strength))
        return float(np.mean(np.sum(foreseen * wanted, axis=1)))

    return max(STRENGTHS, key=quality)
