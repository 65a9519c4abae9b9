"""D(s) and D_sys against a slow estimate, known integrals, limits and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import bootstrap_d_sys, chance_d_sys, d_sys, linkability_curve, pair_comparisons

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=10, max_size=40).map(np.array)


def slow_d_sys(mated: np.ndarray, non_mated: np.ndarray, omega: float) -> float:
    """Score by score: find the bin, count both kinds in it, apply the published formula."""
    num_bins = min(100, math.isqrt(len(mated)), math.isqrt(len(non_mated)))
    rising = sorted(mated)
    starts = sorted({rising[math.ceil(i * len(mated) / num_bins)] for i in range(num_bins)})
    bounds = [-math.inf, *starts, math.inf]  # past the highest mated score nothing is counted
    total = 0.0
    for score in mated:
        low = max(b for b in bounds if b <= score)
        high = min(b for b in bounds if b > score)
        high = min(high, math.nextafter(rising[-1], math.inf))
        p = sum(low <= s < high for s in mated) / len(mated)
        q = sum(low <= s < high for s in non_mated) / len(non_mated)
        if q == 0:
            total += 1.0
        elif omega * p / q > 1:
            ratio = omega * p / q
            total += 2 * ratio / (1 + ratio) - 1
    return total / len(mated)


@given(SCORES, SCORES, st.sampled_from([0.1, 1.0, 3.0]))
def test_equals_the_slow_one(mated: np.ndarray, non_mated: np.ndarray, omega: float) -> None:
    got = d_sys(mated, non_mated, omega=omega)
    assert got == pytest.approx(slow_d_sys(mated, non_mated, omega), abs=1e-12)
    assert 0 <= got <= 1


@given(SCORES, SCORES)
def test_free_of_score_scale_and_pair_order(mated: np.ndarray, non_mated: np.ndarray) -> None:
    got = d_sys(mated, non_mated)
    assert d_sys(np.exp(mated[::-1]), np.exp(non_mated[::-1])) == pytest.approx(got, abs=1e-12)


def test_limits() -> None:
    low, high = np.arange(50.0), np.arange(50.0) + 100
    assert d_sys(high, low) == 1.0
    assert d_sys(low, high) == 1.0  # linked just as well: every score speaks for one kind
    assert d_sys(low, low) == 0.0
    assert d_sys(np.zeros(20), np.zeros(30)) == 0.0


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_estimates_the_integral_of_two_gaussians(shift: float) -> None:
    rng = np.random.default_rng(0)
    got = d_sys(rng.normal(shift, 1, 20_000), rng.normal(0, 1, 200_000))
    s = np.linspace(-8, 12, 20_001)
    p, q = np.exp(-((s - shift) ** 2) / 2), np.exp(-(s**2) / 2)
    local = np.maximum(0, (p - q) / (p + q))
    expected = np.sum(p * local) * (s[1] - s[0]) / math.sqrt(2 * math.pi)
    assert got == pytest.approx(expected, abs=0.01)


def test_a_far_score_hides_nothing() -> None:
    rng = np.random.default_rng(0)
    mated, non_mated = rng.normal(3, 1, 500), rng.normal(0, 1, 5000)
    before = d_sys(mated, non_mated)
    assert d_sys(np.append(mated, 1e9), non_mated) == pytest.approx(before, abs=0.01)


def test_the_curve_adds_up() -> None:
    rng = np.random.default_rng(0)
    mated, non_mated = rng.normal(1, 1, 400), rng.normal(0, 1, 900)
    curve = linkability_curve(mated, non_mated)
    assert len(curve.edges) == len(curve.local) + 1 == 20 + 2 + 1
    assert (np.diff(curve.edges) > 0).all()
    assert (curve.edges[1], curve.edges[0], curve.edges[-1]) == (mated.min(), -np.inf, np.inf)
    assert curve.mated.sum() == pytest.approx(1)
    assert curve.non_mated.sum() == pytest.approx(1)
    assert curve.system == pytest.approx(curve.mated @ curve.local)
    assert curve.local[-2] > 0.5 > curve.local[1]


@pytest.mark.parametrize(("num_mated", "num_non_mated"), [(30, 30), (100, 5000), (900, 400)])
def test_chance_is_what_equal_distributions_give(num_mated: int, num_non_mated: int) -> None:
    rng = np.random.default_rng(1)
    drawn = [d_sys(rng.normal(size=num_mated), rng.normal(size=num_non_mated)) for _ in range(400)]
    got = chance_d_sys(num_mated, num_non_mated, generator=rng)
    assert got == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 20)
    assert got > 0


def test_resamples_weigh_subjects() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, size=(2, 3000))
    scores = rng.normal(size=3000) + 2.0 * (labels[0] == labels[1])
    comparisons = pair_comparisons(scores, labels[0], labels[1])
    boot = bootstrap_d_sys(comparisons, num_resamples=100, generator=rng)
    assert boot.value == d_sys(comparisons.mated, comparisons.non_mated)
    estimate = boot.estimate()
    assert estimate.low < boot.value < estimate.high


def test_a_resample_is_a_repetition_of_pairs() -> None:
    """With tied scores the bins stay the same, so counts can be checked by repeating pairs."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, size=(2, 400))
    scores = np.sign(rng.normal(size=400) + (labels[0] == labels[1]))
    comparisons = pair_comparisons(scores, labels[0], labels[1])
    boot = bootstrap_d_sys(comparisons, num_resamples=5, generator=np.random.default_rng(7))
    drawn = np.random.default_rng(7).multinomial(4, np.full(4, 1 / 4), size=5)
    for counts, value in zip(drawn, boot.replicates, strict=True):
        mated = np.repeat(comparisons.mated, counts[comparisons.mated_subjects])
        couples = counts[comparisons.non_mated_subjects]
        non_mated = np.repeat(comparisons.non_mated, couples[:, 0] * couples[:, 1])
        p = np.array([np.mean(mated == s) for s in (-1, 1)])
        q = np.array([np.mean(non_mated == s) for s in (-1, 1)])
        assert value == pytest.approx(np.sum(p * np.maximum(0, (p - q) / (p + q))))


def test_refusals() -> None:
    with pytest.raises(InsufficientDataError, match="at least 10 scores of each kind, got 9 mated"):
        d_sys(np.zeros(9), np.zeros(20))
    with pytest.raises(InsufficientDataError, match="0 non-mated"):
        chance_d_sys(20, 0, generator=np.random.default_rng(0))
    with pytest.raises(ShapeError, match="mated holds 1 NaN"):
        d_sys(np.append(np.zeros(9), np.nan), np.zeros(20))
    for omega in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="no prior odds"):
            d_sys(np.zeros(10), np.zeros(10), omega=omega)
