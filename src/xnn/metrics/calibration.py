"""Which score is a match: thresholds at false accept rates, with what they were measured on."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from xnn.errors import ConfigError
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
    """False accept rate asked for, a fraction in (0, 1)."""
    threshold: float
    """Cosine; a score of this or more is a match."""
    false_matches: int
    """Non-mated comparisons at or above it."""
    far_low: float
    """With `far_high`: where the rate lies in 95 % of resamples of the subjects."""
    far_high: float
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

    Args:
        embeddings: As the service makes them. Neither of people trained on nor of test people.
        labels: Subject of each row.
        fars: Rates wanted; those that the comparisons cannot tell are left out.
        generator: Source of the resamples, and of the choice among more than 2 million pairs.

    Raises:
        ConfigError: A rate is outside (0, 1].
        InsufficientDataError: Fewer than 2 subjects, or none with 2 images.
        ShapeError: Lengths differ, or an embedding is zero, NaN or infinite.

    Trust: owner. The card that it goes on tells scores of nobody.
    """
    pairs = all_pairs_scores(embeddings, labels, max_non_mated=_MAX_NON_MATED, generator=generator)
    resolved = [far for far in fars if far * len(pairs.non_mated) >= FEWEST_FALSE_MATCHES]
    counts = draw_subjects(labels, _NUM_RESAMPLES, generator)
    points = [_point(pairs, np.unique(labels), counts, far) for far in sorted(resolved)[::-1]]
    return Calibration(
        thresholds=tuple(points),
        subjects=counts.shape[1],
        images=len(labels),
        mated=len(pairs.mated),
        non_mated=len(pairs.non_mated),
    )


def _point(
    pairs: Comparisons, subjects: np.ndarray, counts: Integer[np.ndarray, "r s"], far: float
) -> Threshold:
    threshold = threshold_at_far(pairs.non_mated, far=far)
    false = pairs.non_mated >= threshold
    first, second = np.searchsorted(subjects, pairs.non_mated_subjects).T
    # A pair counts as often as the product of its two subjects was drawn.
    accepted, made = np.zeros((2, len(subjects), len(subjects)))
    np.add.at(accepted, (first, second), false)
    np.add.at(made, (first, second), 1)
    accepted_drawn = np.einsum("rs,st,rt->r", counts, accepted, counts, optimize=True)
    made_drawn = np.einsum("rs,st,rt->r", counts, made, counts, optimize=True)
    rates = accepted_drawn[made_drawn > 0] / made_drawn[made_drawn > 0]
    low, high = np.quantile(rates, [0.025, 0.975])
    return Threshold(
        far=far,
        threshold=threshold,
        false_matches=int(false.sum()),
        far_low=float(low),
        far_high=float(high),
        tar=float(np.mean(pairs.mated >= threshold)),
    )
