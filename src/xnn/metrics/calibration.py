"""Which score is a match: thresholds at false accept rates, with what they were measured on."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Bool, Float, Integer

from xnn.errors import ConfigError
from xnn.metrics._checks import check_fraction
from xnn.metrics.comparisons import Comparisons, all_pairs_scores
from xnn.metrics.intervals import draw_subjects
from xnn.metrics.verification import threshold_at_far

CALIBRATED_FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FEWEST_FALSE_MATCHES = 10
"""A rate that allows fewer of the comparisons to match falsely is not measured but guessed."""
DEFAULT_FAR = 1e-3
_MAX_NON_MATED = 2_000_000
_NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One operating point of one-to-one comparisons."""

    far: float
    """False accept rate that is kept to, a fraction in (0, 1)."""
    threshold: float
    """Cosine; a score of this or more is a match."""
    false_matches: int
    """Non-mated comparisons at or above it."""
    far_low: float
    """With `far_high`: where the rate lies in 95 % of resamples of the subjects."""
    far_high: float
    """At most `far`."""
    tar: float
    """Share of the mated comparisons at or above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Thresholds, the strictest last, and what they rest on.

    They are of one comparison with one template. A search of N templates makes N comparisons: about
    N times the rate is then the chance that somebody who is not enrolled matches someone.
    """

    thresholds: tuple[Threshold, ...]
    subjects: int
    """People, none of whom the student was trained on."""
    images: int
    mated: int
    non_mated: int

    def at(self, far: float) -> Threshold:
        """Return the operating point of a rate.

        Raises:
            ConfigError: It was not measured.
        """
        for point in self.thresholds:
            if math.isclose(point.far, far, rel_tol=1e-6):
                return point
        measured = ", ".join(f"{point.far:g}" for point in self.thresholds) or "none"
        raise ConfigError(
            f"far={far:g} was not measured for this bundle, measured are: {measured}; finer rates "
            f"than its {self.non_mated} comparisons of {self.subjects} people tell need more people"
        )

    @property
    def default_far(self) -> float | None:
        """The rate to use where none is asked for: 0.001, or else the nearest one measured."""
        fars = [point.far for point in self.thresholds]
        return min(fars, key=lambda far: abs(math.log(far / DEFAULT_FAR)), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Calibration":
        """Read `to_dict` back.

        Raises:
            KeyError, TypeError, ValueError: A field is missing, unknown or out of range.
        """
        points = tuple(Threshold(**point) for point in content["thresholds"])
        for point in points:
            if not (0 < point.far <= 1 and math.isfinite(point.threshold)):
                raise ValueError(f"a threshold of {point.threshold} at far={point.far}")
        return cls(**{**content, "thresholds": points})


def calibrate(
    embeddings: Float[np.ndarray, "n e"],
    labels: Integer[np.ndarray, " n"],
    *,
    fars: Sequence[float] = CALIBRATED_FARS,
    generator: np.random.Generator,
) -> Calibration:
    """Choose thresholds from all comparisons of people who are kept for that.

    A threshold is the lowest at which the false accept rate keeps to the one asked for in 97.5 % of
    resamples of the people: that these few accept no more says little of others, since a pair who
    look alike is in many comparisons.

    Args:
        embeddings: As the service makes them. Neither of people trained on nor of test people.
        labels: Subject of each row.
        fars: Rates wanted. Left out is one whose threshold lets fewer than 10 comparisons match.
        generator: Source of the resamples, and of the choice among more than 2 million pairs.

    Raises:
        ConfigError: A rate is outside (0, 1].
        InsufficientDataError: Fewer than 2 subjects, or none with 2 images.
        ShapeError: Lengths differ, or an embedding is zero, NaN or infinite.

    Trust: owner. The card that it goes on tells scores of nobody.
    """
    pairs = all_pairs_scores(embeddings, labels, max_non_mated=_MAX_NON_MATED, generator=generator)
    for far in fars:
        check_fraction("far", far)
    resamples = _Resamples(pairs, labels, generator)
    points = [_point(pairs, resamples, far) for far in sorted(fars)[::-1]]
    return Calibration(
        thresholds=tuple(point for point in points if point is not None),
        subjects=len(np.unique(labels)),
        images=len(labels),
        mated=len(pairs.mated),
        non_mated=len(pairs.non_mated),
    )


@final
class _Resamples:
    """False accept rates of other people such as these: subjects drawn with replacement."""

    def __init__(self, pairs: Comparisons, labels: np.ndarray, generator: np.random.Generator):
        subjects = np.unique(labels)
        self._counts = draw_subjects(labels, _NUM_RESAMPLES, generator).astype(np.float64)
        first, second = np.searchsorted(subjects, pairs.non_mated_subjects).T
        self._cells = first * len(subjects) + second
        made = self._drawn(np.ones(len(self._cells), dtype=bool))
        self._counts, self._made = self._counts[made > 0], made[made > 0]

    def interval(self, false: Bool[np.ndarray, " k"]) -> tuple[float, float]:
        """Return where the rate lies in 95 % of resamples.

        Args:
            false: Whether each non-mated comparison is a match.
        """
        low, high = np.quantile(self._drawn(false) / self._made, [0.025, 0.975])
        return float(low), float(high)

    def _drawn(self, chosen: Bool[np.ndarray, " k"]) -> Float[np.ndarray, " r"]:
        """Count chosen pairs: each as often as the product of its two subjects was drawn."""
        size = self._counts.shape[1]
        cells = np.bincount(self._cells[chosen], minlength=size * size).reshape(size, size)
        drawn: np.ndarray = ((self._counts @ cells) * self._counts).sum(axis=1)
        return drawn


def _point(pairs: Comparisons, resamples: _Resamples, far: float) -> Threshold | None:
    """Return the lowest threshold that keeps to a rate on other people too; None for too few."""
    scores, total = np.sort(pairs.non_mated), len(pairs.non_mated)

    def made(allowed: int) -> Threshold:
        threshold = threshold_at_far(scores, far=allowed / total)
        false = pairs.non_mated >= threshold
        low, high = resamples.interval(false)
        return Threshold(
            far=far,
            threshold=threshold,
            false_matches=int(false.sum()),
            far_low=low,
            far_high=high,
            tar=float(np.mean(pairs.mated >= threshold)),
        )

    best = None
    fewest, most = FEWEST_FALSE_MATCHES, math.floor(far * total + 1e-9)
    while fewest <= most:  # the rate of every resample falls as the threshold rises
        middle = (fewest + most + 1) // 2
        point = made(middle)
        if point.far_high <= far:
            best, fewest = point, middle + 1
        else:
            most = middle - 1
    return best if best is not None and best.false_matches >= FEWEST_FALSE_MATCHES else None
