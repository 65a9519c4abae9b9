"""Which score is a match: thresholds at false accept rates, from the bundle's calibration."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from xnn.errors import ConfigError
from xnn.metrics.calibration import DEFAULT_FAR
from xnn.server.card import ServerCard


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rate and the score at which it holds."""

    far: float
    """False accepts among non-mated comparisons, fraction in (0, 1)."""
    threshold: float
    """Cosine; a score of this or more is a match."""
    far_low: float | None = None
    """With `far_high`: where the rate lies in 95 % of resamples of the people that it was measured
    on; None where the operator measured himself."""
    far_high: float | None = None


@final
class Thresholds:
    """The rates that were measured. Others are refused: between two of them nothing is known.

    Args:
        rows: In any order.
        default_far: Taken where a caller names none; the nearest measured one counts.
    """

    def __init__(self, rows: Sequence[Threshold], *, default_far: float = DEFAULT_FAR) -> None:
        self.rows = sorted(rows, key=lambda row: -row.far)
        nearest = min(self.rows, key=lambda r: abs(math.log(r.far / default_far)), default=None)
        self.default_far = None if nearest is None else nearest.far

    def find(self, far: float | None) -> Threshold:
        """Return the row of a rate.

        Raises:
            ConfigError: It was not measured for this bundle.
        """
        wanted = self.default_far if far is None else far
        for row in self.rows:
            if wanted is not None and math.isclose(row.far, wanted, rel_tol=1e-6):
                return row
        if wanted is None:
            raise ConfigError(
                "this bundle has no thresholds: nobody was kept to measure them by; export it with "
                "validation people, or give the service `thresholds` of your own"
            )
        measured = ", ".join(f"{row.far:g}" for row in self.rows) or "none"
        raise ConfigError(
            f"far={wanted:g} was not measured for this bundle; measured are: {measured} "
            "(GET /v1/bundle)"
        )


def thresholds_of(card: ServerCard, given: Mapping[float, float]) -> Thresholds:
    """Return the operator's own thresholds, or those of the bundle's card."""
    if given:
        return Thresholds([Threshold(far, score) for far, score in given.items()])
    rows = () if card.calibration is None else card.calibration.thresholds
    return Thresholds([Threshold(r.far, r.threshold, r.far_low, r.far_high) for r in rows])
