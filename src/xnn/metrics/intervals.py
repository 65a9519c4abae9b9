"""Uncertainty by resampling subjects, not images.

Images of one subject are alike, so an interval over images is too narrow. Every function here
draws as many subjects as there are, with replacement, and counts each image or pair as often as
its subjects were drawn (cluster bootstrap). Intervals are percentiles of the replicates. They say
how far the result depends on which people were tested; not on the training seed (`pool_seeds`
adds that) and not on the gallery, which stays as it is. A rate that no resample changes, such as
1.0 with no error at all, gets an interval of zero width: read it together with the number of
subjects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics._checks import check_same_length, check_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Band:
    """A curve and the ends of its interval at each point (pointwise, not simultaneous)."""

    value: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bootstrap:
    """A value and what it became in each resample of the subjects."""

    value: float
    replicates: Float[np.ndarray, " r"]

    def estimate(self, *, confidence: float = 0.95) -> Estimate:
        """Return the value with the central `confidence` of its replicates."""
        low, high = _ends(self.replicates, confidence)
        return Estimate(value=self.value, low=low, high=high)


def bootstrap_interval(
    statistic: Callable[[Int[np.ndarray, " n"]], float],
    subjects: Integer[np.ndarray, " n"],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    generator: np.random.Generator,
) -> Estimate:
    """Return any statistic of weighted items with its interval over subjects.

    Args:
        statistic: Takes how often each item counts (whole numbers >= 0, not all 0).
        subjects: The subject of each item.
        num_resamples: At least 1; the statistic is called once for each and once in addition.
        confidence: Fraction in (0, 1).
        generator: Source of the resamples.

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: There are fewer than 2 subjects.
    """
    _, item_subject = np.unique(subjects, return_inverse=True)
    drawn = draw_subjects(subjects, num_resamples, generator)
    replicates = np.array([statistic(counts[item_subject]) for counts in drawn], dtype=np.float64)
    value = float(statistic(np.ones(len(subjects), dtype=np.int64)))
    return Bootstrap(value=value, replicates=replicates).estimate(confidence=confidence)


def bootstrap_mean(
    values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    subjects: Integer[np.ndarray, " n"],
    *,
    num_resamples: int = 2000,
    generator: np.random.Generator,
) -> Bootstrap:
    """Resample the mean of one value per item, such as the hit or miss of each probe.

    All resamples at once: one product of the drawn counts with the sum of each subject.

    Raises:
        ConfigError: `num_resamples` is below 1.
        InsufficientDataError: There are fewer than 2 subjects.
        ShapeError: The lengths differ, or a value is NaN or infinite.
    """
    columns = np.asarray(values, dtype=np.float64)[:, None]
    return _bootstrap_means(columns, subjects, num_resamples, generator)[0]


def bootstrap_ratio(
    numerators: Float[np.ndarray, " n"],
    denominators: Float[np.ndarray, " n"],
    subjects: Integer[np.ndarray, " n"],
    *,
    num_resamples: int = 2000,
    generator: np.random.Generator,
) -> Bootstrap:
    """Resample a ratio of two sums over items, such as squared errors over squared lengths.

    Args:
        numerators: One per item.
        denominators: One per item, each >= 0, not all 0.
        subjects: Subject of each item.
        num_resamples: At least 1. A resample whose denominators sum to 0 is dropped.
        generator: Source of the resamples.

    Raises:
        ConfigError: `num_resamples` is below 1.
        InsufficientDataError: There are fewer than 2 subjects.
        ShapeError: The lengths differ, or a value is NaN, infinite or negative where it may not.
    """
    check_scores("numerators", numerators)
    check_scores("denominators", denominators)
    check_same_length("denominators", len(denominators), "numerators", len(numerators))
    check_same_length("subjects", len(subjects), "numerators", len(numerators))
    if denominators.min() < 0 or not denominators.any():
        raise ShapeError("denominators must be >= 0 and not all 0; there is nothing to divide by")
    drawn = draw_subjects(subjects, num_resamples, generator)
    _, item_subject = np.unique(subjects, return_inverse=True)
    above, below = (
        np.bincount(item_subject, weights=values) for values in (numerators, denominators)
    )
    sums = drawn @ below
    return Bootstrap(
        value=float(numerators.sum() / denominators.sum()),
        replicates=(drawn @ above)[sums > 0] / sums[sums > 0],
    )


def bootstrap_cmc(
    ranks: Integer[np.ndarray, " q"],
    subjects: Integer[np.ndarray, " q"],
    *,
    max_rank: int,
    num_resamples: int = 2000,
    generator: np.random.Generator,
) -> tuple[Bootstrap, ...]:
    """Resample the CMC at ranks 1..max_rank, the same subjects at every rank.

    Args:
        ranks: From `mated_ranks`, one per probe.
        subjects: Subject of each probe.
        max_rank: At least 1.
        num_resamples: At least 1.
        generator: Source of the resamples.

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: There are fewer than 2 subjects.
        ShapeError: The lengths differ.
    """
    if max_rank < 1:
        raise ConfigError(f"max_rank={max_rank} must be at least 1")
    hits = (ranks[:, None] <= np.arange(1, max_rank + 1)).astype(np.float64)
    return _bootstrap_means(hits, subjects, num_resamples, generator)


def paired_difference(
    values_a: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    values_b: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    subjects: Integer[np.ndarray, " n"],
    *,
    num_resamples: int = 2000,
    confidence: float = 0.95,
    generator: np.random.Generator,
) -> Estimate:
    """Return mean(a) - mean(b) of two systems on the same items, with its interval.

    Both systems see the same resamples, so what is hard for both cancels: the interval is
    narrower than that of two separate tests, and the right one for "a costs x points".

    Raises:
        ConfigError: A number is outside its range.
        InsufficientDataError: There are fewer than 2 subjects.
        ShapeError: The lengths differ, or a value is NaN or infinite.
    """
    check_same_length("values_a", len(values_a), "values_b", len(values_b))
    gain = np.asarray(values_a, dtype=np.float64) - np.asarray(values_b, dtype=np.float64)
    bootstrap = bootstrap_mean(gain, subjects, num_resamples=num_resamples, generator=generator)
    return bootstrap.estimate(confidence=confidence)


def pool_seeds(values_per_seed: Sequence[Bootstrap], *, confidence: float = 0.95) -> Estimate:
    """Combine several training seeds into one value and one interval.

    The value is the mean over seeds. The interval holds the central `confidence` of the union of
    all seeds' replicates, each seed with the same weight: the spread of ONE run with a random
    seed on random subjects. It does not shrink as seeds are added; they only make it better known.

    Raises:
        ConfigError: `confidence` is outside (0, 1).
        InsufficientDataError: There is no seed.
    """
    if not values_per_seed:
        raise InsufficientDataError("no seeds to pool, expected at least 1")
    fewest = min(len(seed.replicates) for seed in values_per_seed)
    union = np.concatenate([seed.replicates[:fewest] for seed in values_per_seed])
    low, high = _ends(union, confidence)
    value = float(np.mean([seed.value for seed in values_per_seed]))
    return Estimate(value=value, low=low, high=high)


def band(points: Sequence[Bootstrap], *, confidence: float = 0.95) -> Band:
    """Draw a curve through several bootstraps, such as a CMC or TAR over a grid of FAR.

    Raises:
        ConfigError: `confidence` is outside (0, 1).
        InsufficientDataError: There is no point.
    """
    if not points:
        raise InsufficientDataError("no points for the band, expected at least 1")
    estimates = [point.estimate(confidence=confidence) for point in points]
    return Band(
        value=np.array([e.value for e in estimates]),
        low=np.array([e.low for e in estimates]),
        high=np.array([e.high for e in estimates]),
    )


def draw_subjects(
    subjects: Integer[np.ndarray, " n"], num_resamples: int, generator: np.random.Generator
) -> Int[np.ndarray, "r s"]:
    """Draw as many subjects as there are, with replacement, `num_resamples` times.

    Returns:
        How often each subject was drawn, by rising subject; each row sums to s.

    Raises:
        ConfigError: `num_resamples` is below 1.
        InsufficientDataError: There are fewer than 2 subjects.
    """
    if num_resamples < 1:
        raise ConfigError(f"num_resamples={num_resamples} must be at least 1")
    num_subjects = len(np.unique(subjects))
    if num_subjects < 2:
        raise InsufficientDataError(
            f"an interval over subjects needs at least 2 of them, got {num_subjects}; test more"
        )
    chances = np.full(num_subjects, 1 / num_subjects)
    return generator.multinomial(num_subjects, chances, size=num_resamples)


def _bootstrap_means(
    values: Float[np.ndarray, "n k"],
    subjects: Integer[np.ndarray, " n"],
    num_resamples: int,
    generator: np.random.Generator,
) -> tuple[Bootstrap, ...]:
    check_scores("values", values, ndim=2)
    check_same_length("subjects", len(subjects), "values", len(values))
    drawn = draw_subjects(subjects, num_resamples, generator)
    _, item_subject, sizes = np.unique(subjects, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, item_subject, values)
    replicates = (drawn @ sums) / (drawn @ sizes)[:, None]
    return tuple(
        Bootstrap(value=float(value), replicates=column)
        for value, column in zip(values.mean(axis=0), replicates.T, strict=True)
    )


def _ends(replicates: Float[np.ndarray, " r"], confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence:g} is not a fraction in (0, 1); 95% is 0.95")
    low, high = np.quantile(replicates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
