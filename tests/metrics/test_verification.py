"""ROC, TAR at FAR and EER against slow loops, hand fractions and laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import equal_error_rate, roc, tar_at_far

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=12).map(np.array)


def slow_points(mated: np.ndarray, non_mated: np.ndarray) -> list[tuple[float, float]]:
    """(FAR, TAR) of every threshold, one at a time, strictest first."""
    points = []
    for t in [np.inf, *sorted({*mated, *non_mated}, reverse=True)]:
        far = sum(s >= t for s in non_mated) / len(non_mated)
        points.append((far, sum(s >= t for s in mated) / len(mated)))
    return points


def slow_eer(mated: np.ndarray, non_mated: np.ndarray) -> float:
    """Walk the polyline (FMR, FNMR) and meet the diagonal by bisection."""
    points = [(far, 1 - tar) for far, tar in slow_points(mated, non_mated)]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= y0 and x1 >= y1:
            low, high = 0.0, 1.0
            for _ in range(60):
                mid = (low + high) / 2
                behind = x0 + mid * (x1 - x0) < y0 + mid * (y1 - y0)
                low, high = (mid, high) if behind else (low, mid)
            return x0 + high * (x1 - x0)
    raise AssertionError("the path from (0, 1) to (1, 0) must cross the diagonal")


@given(SCORES, SCORES)
def test_roc_equals_the_slow_points(mated: np.ndarray, non_mated: np.ndarray) -> None:
    curve = roc(mated, non_mated)
    slow = np.array(slow_points(mated, non_mated))
    np.testing.assert_allclose(np.stack([curve.far, curve.tar], axis=1), slow, atol=1e-12)
    assert curve.thresholds[0] == np.inf
    assert (np.diff(curve.thresholds) < 0).all()


@given(SCORES, SCORES, st.sampled_from([0.5, 0.75, 1.0]))
def test_tar_is_the_best_slow_point_that_keeps_to_far(
    mated: np.ndarray, non_mated: np.ndarray, far: float
) -> None:
    best = max(tar for f, tar in slow_points(mated, non_mated) if f <= far)
    assert tar_at_far(mated, non_mated, far=far) == pytest.approx(best)


@given(SCORES, SCORES)
def test_eer_equals_the_slow_crossing(mated: np.ndarray, non_mated: np.ndarray) -> None:
    assert equal_error_rate(mated, non_mated) == pytest.approx(slow_eer(mated, non_mated))


@given(SCORES, SCORES, st.randoms())
def test_free_of_score_scale_and_pair_order(mated: np.ndarray, non_mated: np.ndarray, rng) -> None:
    far, eer = tar_at_far(mated, non_mated, far=0.5), equal_error_rate(mated, non_mated)
    moved = [np.exp(np.array(rng.sample(list(x), len(x)))) for x in (mated, non_mated)]
    assert tar_at_far(*moved, far=0.5) == far
    assert equal_error_rate(*moved) == pytest.approx(eer, abs=1e-12)


@given(SCORES, SCORES)
def test_tar_rises_with_far(mated: np.ndarray, non_mated: np.ndarray) -> None:
    rates = [tar_at_far(mated, non_mated, far=f) for f in (0.5, 0.6, 0.8, 1.0)]
    assert rates == sorted(rates)
    assert rates[-1] == 1.0


@given(SCORES, SCORES)
def test_eer_is_the_same_when_the_kinds_change_places(
    mated: np.ndarray, non_mated: np.ndarray
) -> None:
    swapped = equal_error_rate(-non_mated, -mated)
    assert swapped == pytest.approx(equal_error_rate(mated, non_mated), abs=1e-12)


@given(st.data())
def test_a_weight_is_the_same_as_repeating_the_pair(data: st.DataObject) -> None:
    mated, non_mated = data.draw(SCORES), data.draw(SCORES)
    counts = st.integers(0, 3)
    many = [
        np.array(data.draw(st.lists(counts, min_size=len(x), max_size=len(x)).filter(any)))
        for x in (mated, non_mated)
    ]
    weights = {"mated_weights": many[0], "non_mated_weights": many[1]}
    repeated = np.repeat(mated, many[0]), np.repeat(non_mated, many[1])
    assert tar_at_far(mated, non_mated, far=1.0, **weights) == tar_at_far(*repeated, far=1.0)
    if many[1].sum() >= 2:
        weighted = tar_at_far(mated, non_mated, far=0.5, **weights)
        assert weighted == pytest.approx(tar_at_far(*repeated, far=0.5))
    assert equal_error_rate(mated, non_mated, **weights) == pytest.approx(
        equal_error_rate(*repeated), abs=1e-12
    )


def test_fractions_by_hand() -> None:
    mated, non_mated = np.array([0.9, 0.8, 0.5, 0.3]), np.array([0.7, 0.4, 0.2, 0.1])
    assert tar_at_far(mated, non_mated, far=0.25) == 0.75  # threshold 0.5 lets 0.7 in
    assert tar_at_far(mated, non_mated, far=0.5) == 1.0  # threshold 0.3 lets 0.4 in too
    assert equal_error_rate(mated, non_mated) == 0.25  # at 0.5: one of four on each side


def test_scores_that_say_nothing_are_at_chance() -> None:
    assert equal_error_rate(np.zeros(3), np.zeros(7)) == 0.5
    assert tar_at_far(np.zeros(3), np.zeros(7), far=0.5) == 0.0


def test_perfect_and_opposite_scores() -> None:
    high, low = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    assert equal_error_rate(high, low) == 0.0
    assert equal_error_rate(low, high) == 1.0


@pytest.mark.parametrize("num_pairs", [100, 1_000_000])
def test_rounding_does_not_lose_an_allowed_accept(num_pairs: int) -> None:
    scores = np.arange(float(num_pairs))
    assert tar_at_far(scores, scores, far=0.29) == 0.29  # though 0.29 * 100 < 29 in binary
    assert tar_at_far(scores, scores, far=1 / num_pairs) == 1 / num_pairs


def test_rounding_in_the_rate_itself_is_forgiven() -> None:
    scores = np.arange(10.0)
    assert tar_at_far(scores, scores, far=1 - 0.9) == 0.1  # 1 - 0.9 < 0.1 in binary


def test_refuses_a_rate_the_data_cannot_resolve() -> None:
    with pytest.raises(InsufficientDataError, match=r"needs at least 1000 .* got 10"):
        tar_at_far(np.zeros(5), np.zeros(10), far=1e-3)


@pytest.mark.parametrize("percent", [0.0, 5.0, -1.0, float("nan")])
def test_refuses_percent(percent: float) -> None:
    with pytest.raises(ConfigError, match=r"write 0.1% as 1e-3"):
        tar_at_far(np.zeros(5), np.zeros(10), far=percent)


@pytest.mark.parametrize("metric", [roc, equal_error_rate])
def test_refuses_nan_and_empty(metric) -> None:
    with pytest.raises(ShapeError, match="mated holds 1 NaN"):
        metric(np.array([0.0, np.nan]), np.zeros(3))
    with pytest.raises(InsufficientDataError, match="non_mated is empty"):
        metric(np.zeros(3), np.zeros(0))


@pytest.mark.parametrize(
    ("weights", "words"), [([1, -1], "counts >= 0"), ([0, 0], "not all 0"), ([1], "1 entries")]
)
@pytest.mark.usefixtures("as_in_production")
def test_refuses_weights_that_do_not_fit(weights: list[int], words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        roc(np.zeros(2), np.zeros(3), mated_weights=np.array(weights))
