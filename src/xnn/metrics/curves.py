"""Curves of an evaluation with their bands over subjects."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from xnn.metrics.evaluation import Evaluation
from xnn.metrics.intervals import Band, band
from xnn.metrics.resampled_verification import bootstrap_verification

_NUM_ROC_POINTS = 25
_LOWEST_FAR = 1e-4
_NUM_RESAMPLES = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A band over an axis."""

    x: Float[np.ndarray, " k"]
    band: Band

    def to_dict(self) -> dict[str, list[float]]:
        """Return it as plain lists: x, value, low, high."""
        columns = {"x": self.x, "value": self.band.value}
        columns |= {"low": self.band.low, "high": self.band.high}
        return {name: [round(float(v), 6) for v in values] for name, values in columns.items()}


def cmc_curve(evaluation: Evaluation) -> Curve | None:
    """Return rank k against the share found, or None where there was no search."""
    if not evaluation.cmc:
        return None
    ranks = np.arange(1, len(evaluation.cmc) + 1, dtype=np.float64)
    return Curve(x=ranks, band=band(evaluation.cmc))


def roc_curve(evaluation: Evaluation, generator: np.random.Generator) -> Curve:
    """Return FAR against TAR, at the rates that the pairs resolve.

    Args:
        evaluation: Of a search or a list of pairs.
        generator: Source of the resamples.
    """
    comparisons = evaluation.comparisons
    lowest = max(_LOWEST_FAR, 1.0 / len(comparisons.non_mated))
    fars = np.geomspace(lowest * (1 + 1e-9), 1.0, _NUM_ROC_POINTS)
    resampled = bootstrap_verification(
        comparisons, fars=fars.tolist(), num_resamples=_NUM_RESAMPLES, generator=generator
    )
    return Curve(x=fars, band=band(resampled.tar))
