"""The bootstrap: weighted = repeated, coverage on a known case, pooling, pairs of systems."""

import numpy as np
import pytest

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import (
    Bootstrap,
    all_pairs_scores,
    band,
    bootstrap_cmc,
    bootstrap_interval,
    bootstrap_mean,
    bootstrap_ratio,
    bootstrap_verification,
    equal_error_rate,
    paired_difference,
    pool_seeds,
    tar_at_far,
)
from xnn.metrics.intervals import draw_subjects


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy_hits(generator: np.random.Generator, num_subjects: int) -> tuple[np.ndarray, np.ndarray]:
    """Probes of one subject agree: each subject has its own rate, 0.7 on average."""
    rates = generator.beta(1.4, 0.6, size=num_subjects)
    sizes = generator.integers(3, 9, size=num_subjects)
    subjects = np.repeat(np.arange(num_subjects), sizes)
    return generator.random(len(subjects)) < rates[subjects], subjects


def test_the_fast_mean_equals_repeating_the_items_of_each_drawn_subject() -> None:
    hits, subjects = noisy_hits(rng(), 12)
    fast = bootstrap_mean(hits, subjects, num_resamples=20, generator=rng(5))
    for counts, replicate in zip(draw_subjects(subjects, 20, rng(5)), fast.replicates, strict=True):
        drawn = [hits[subjects == s] for s in range(12) for _ in range(counts[s])]
        assert replicate == pytest.approx(np.concatenate(drawn).mean())
    assert fast.value == hits.mean()


def test_any_statistic_agrees_with_the_fast_mean() -> None:
    hits, subjects = noisy_hits(rng(), 12)
    slow = bootstrap_interval(
        lambda weights: float(np.average(hits, weights=weights)), subjects, generator=rng(5)
    )
    fast = bootstrap_mean(hits, subjects, generator=rng(5)).estimate()
    assert (slow.value, slow.low, slow.high) == pytest.approx((fast.value, fast.low, fast.high))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator, covered, covered_by_images, trials = rng(11), 0, 0, 400
    for _ in range(trials):
        hits, subjects = noisy_hits(generator, 60)
        by_subject = bootstrap_mean(hits, subjects, num_resamples=400, generator=generator)
        images = np.arange(len(hits))
        by_image = bootstrap_mean(hits, images, num_resamples=400, generator=generator)
        covered += by_subject.estimate().low <= 0.7 <= by_subject.estimate().high
        covered_by_images += by_image.estimate().low <= 0.7 <= by_image.estimate().high
    assert 0.91 <= covered / trials <= 0.98
    assert covered_by_images / trials < 0.88  # the reason why subjects are resampled


def test_verification_replicates_equal_repeating_the_pairs() -> None:
    generator = rng(3)
    labels = np.repeat(np.arange(6), 4) * 10
    centres = generator.normal(size=(6, 3))
    embeddings = centres[labels // 10] + generator.normal(size=(24, 3))
    pairs = all_pairs_scores(embeddings.round(0) + 0.5, labels)  # rounding makes ties
    found = bootstrap_verification(pairs, fars=[0.02, 0.3], num_resamples=25, generator=rng(9))
    assert found.eer.value == pytest.approx(equal_error_rate(pairs.mated, pairs.non_mated))
    assert found.tar[0].value == tar_at_far(pairs.mated, pairs.non_mated, far=0.02)
    for r, counts in enumerate(draw_subjects(labels, 25, rng(9))):
        of_subject = dict(zip(range(0, 60, 10), counts, strict=True))
        mated = np.repeat(pairs.mated, [of_subject[s] for s in pairs.mated_subjects])
        non_mated = np.repeat(
            pairs.non_mated, [of_subject[a] * of_subject[b] for a, b in pairs.non_mated_subjects]
        )
        assert found.eer.replicates[r] == pytest.approx(equal_error_rate(mated, non_mated))
        for tar, far in zip(found.tar, (0.02, 0.3), strict=True):
            assert tar.replicates[r] == pytest.approx(tar_at_far(mated, non_mated, far=far))


def test_resamples_without_both_kinds_of_pair_are_dropped() -> None:
    pairs = all_pairs_scores(rng().normal(size=(4, 3)), np.array([1, 1, 2, 2]))
    found = bootstrap_verification(pairs, num_resamples=100, generator=rng())
    assert 20 < len(found.eer.replicates) < 80  # one of two subjects twice: half of the draws
    unlucky = next(s for s in range(50) if 2 in draw_subjects(np.array([1, 2]), 1, rng(s)))
    with pytest.raises(InsufficientDataError, match="no resample held both"):
        bootstrap_verification(pairs, num_resamples=1, generator=rng(unlucky))


def test_cmc_band_starts_at_rank_one_and_holds_its_curve() -> None:
    generator = rng(4)
    ranks, subjects = generator.integers(1, 6, 200), np.repeat(np.arange(20), 10)
    points = bootstrap_cmc(ranks, subjects, max_rank=5, generator=rng(6))
    curve = band(points)
    assert curve.value.tolist() == pytest.approx([np.mean(ranks <= k) for k in range(1, 6)])
    assert (curve.low <= curve.value).all()
    assert (curve.value <= curve.high).all()
    first = bootstrap_mean(ranks == 1, subjects, generator=rng(6))
    np.testing.assert_allclose(points[0].replicates, first.replicates)


def test_paired_difference_is_narrower_than_two_separate_intervals() -> None:
    hits, subjects = noisy_hits(rng(7), 60)
    worse = hits & (rng(8).random(len(hits)) < 0.95)
    found = paired_difference(hits, worse, subjects, generator=rng(9))
    assert found.value == pytest.approx(hits.mean() - worse.mean())
    assert 0 < found.low < found.value < found.high
    alone = bootstrap_mean(hits, subjects, generator=rng(9)).estimate()
    assert found.high - found.low < (alone.high - alone.low) / 2
    same = paired_difference(hits, hits, subjects, generator=rng(9))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_pooling_covers_the_seeds_and_their_subjects() -> None:
    wide = [Bootstrap(value=v, replicates=v + np.linspace(-0.1, 0.1, 201)) for v in (0.5, 0.9)]
    pooled = pool_seeds(wide)
    assert pooled.value == pytest.approx(0.7)
    assert pooled.low == pytest.approx(0.41, abs=1e-3)  # 5 % into the lower seed: half of the union
    assert pooled.high == pytest.approx(0.99, abs=1e-3)
    alone = pool_seeds(wide[:1])
    assert (alone.low, alone.high) == pytest.approx((0.405, 0.595), abs=1e-3)


def test_pooled_seeds_count_alike_whatever_their_number_of_replicates() -> None:
    few, many = np.zeros(10), np.ones(1000)
    pooled = pool_seeds(
        [Bootstrap(value=0.0, replicates=few), Bootstrap(value=1.0, replicates=many)]
    )
    assert (pooled.low, pooled.high) == (0.0, 1.0)


def test_the_same_generator_gives_the_same_interval() -> None:
    hits, subjects = noisy_hits(rng(), 12)
    first = bootstrap_mean(hits, subjects, generator=rng(1)).estimate()
    assert first == bootstrap_mean(hits, subjects, generator=rng(1)).estimate()
    assert first != bootstrap_mean(hits, subjects, generator=rng(2)).estimate()
    assert str(first) == f"{first.value:.3f} [{first.low:.3f}, {first.high:.3f}]"


@pytest.mark.usefixtures("as_in_production")
def test_refusals() -> None:
    one_subject, two = np.zeros(3, dtype=int), np.array([0, 1, 1])
    with pytest.raises(InsufficientDataError, match="at least 2 of them, got 1"):
        bootstrap_mean(np.ones(3), one_subject, generator=rng())
    with pytest.raises(ConfigError, match="num_resamples=0"):
        bootstrap_mean(np.ones(3), two, num_resamples=0, generator=rng())
    with pytest.raises(ConfigError, match="confidence=95"):
        bootstrap_mean(np.ones(3), two, generator=rng()).estimate(confidence=95.0)
    with pytest.raises(ShapeError, match="subjects has 3 entries but values has 2"):
        bootstrap_mean(np.ones(2), two, generator=rng())
    with pytest.raises(ShapeError, match="values_a has 2"):
        paired_difference(np.ones(2), np.ones(3), two, generator=rng())
    with pytest.raises(ConfigError, match="max_rank=0"):
        bootstrap_cmc(np.ones(3, dtype=int), two, max_rank=0, generator=rng())
    with pytest.raises(InsufficientDataError, match="no seeds"):
        pool_seeds([])
    with pytest.raises(InsufficientDataError, match="no points"):
        band([])
    pairs = all_pairs_scores(np.eye(4), np.array([1, 1, 2, 2]))
    with pytest.raises(InsufficientDataError, match="needs at least 1000 non-mated"):
        bootstrap_verification(pairs, fars=[1e-3], generator=rng())


def test_a_ratio_of_sums_equals_a_slow_one() -> None:
    generator = rng(3)
    subjects = generator.integers(0, 6, 40)
    above, below = generator.normal(size=40), generator.uniform(0.1, 2.0, size=40)
    fast = bootstrap_ratio(above, below, subjects, num_resamples=20, generator=rng(5))
    drawn = draw_subjects(subjects, 20, rng(5))
    for replicate, counts in zip(fast.replicates, drawn, strict=True):
        items = [
            i
            for s, c in zip(np.unique(subjects), counts, strict=True)
            for i in list(np.flatnonzero(subjects == s)) * c
        ]
        assert replicate == pytest.approx(sum(above[items]) / sum(below[items]))
    assert fast.value == pytest.approx(above.sum() / below.sum())


def test_a_ratio_to_nothing_is_refused_or_dropped() -> None:
    subjects = np.array([0, 1])
    with pytest.raises(ShapeError, match="not all 0"):
        bootstrap_ratio(np.ones(2), np.zeros(2), subjects, generator=rng(0))
    fast = bootstrap_ratio(np.ones(2), np.array([0.0, 1.0]), subjects, generator=rng(0))
    assert np.isfinite(fast.replicates).all()
    assert len(fast.replicates) < 2000
