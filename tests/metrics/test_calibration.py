"""Thresholds at false accept rates against loops, and what a calibration says of itself."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import (
    Calibration,
    all_pairs_scores,
    calibrate,
    tar_at_far,
    threshold_at_far,
)

scores = st.lists(
    st.floats(-1, 1, width=32).map(lambda x: round(x, 1)), min_size=1, max_size=40
).map(lambda values: np.array(values, dtype=np.float64))


def share(values: np.ndarray, threshold: float) -> float:
    return sum(value >= threshold for value in values.tolist()) / len(values)


@given(non_mated=scores, mated=scores, far=st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 1.0]))
def test_the_threshold_keeps_to_the_rate_and_no_looser_one_does(
    non_mated: np.ndarray, mated: np.ndarray, far: float
) -> None:
    if far * len(non_mated) < 1 - 1e-9:
        with pytest.raises(InsufficientDataError):
            threshold_at_far(non_mated, far=far)
        return
    threshold = threshold_at_far(non_mated, far=far)
    assert share(non_mated, threshold) <= far + 1e-12
    looser = [s for s in set(non_mated.tolist()) if s < threshold]
    assert all(share(non_mated, other) > far for other in looser)
    # The middle of the gap accepts no more mated pairs than its lower end, which is tar_at_far's.
    assert share(mated, threshold) <= tar_at_far(mated, non_mated, far=far)


def test_the_threshold_lies_in_the_middle_of_a_gap() -> None:
    non_mated = np.array([0.9, 0.5, 0.3, 0.1])
    assert threshold_at_far(non_mated, far=0.25) == pytest.approx(0.7)
    assert threshold_at_far(non_mated, far=0.5) == pytest.approx(0.4)
    assert threshold_at_far(non_mated, far=1.0) == pytest.approx(0.1)
    tied = threshold_at_far(np.full(4, 0.5), far=0.5)
    assert 0.5 < tied < 0.5 + 1e-12


def test_bad_rates_and_scores_are_refused() -> None:
    fine = np.linspace(0, 1, 10)
    for far in (0.0, -0.1, 1.1):
        with pytest.raises(ConfigError, match="not a fraction"):
            threshold_at_far(fine, far=far)
    with pytest.raises(InsufficientDataError, match="at least 100"):
        threshold_at_far(fine, far=0.01)
    with pytest.raises(InsufficientDataError, match="empty"):
        threshold_at_far(fine[:0], far=0.1)
    with pytest.raises(ShapeError, match="NaN"):
        threshold_at_far(np.array([0.1, np.nan]), far=0.5)


def upper_rate(embeddings: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    """The 97.5 % point of the rate among resamples of the people, by loops."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores, names = unit @ unit.T, np.unique(labels)
    rows = [np.flatnonzero(labels == name) for name in names]
    generator = np.random.default_rng(1)
    hits = {
        (i, j): (scores[np.ix_(a, b)] >= threshold).sum()
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
    }
    rates = []
    for _ in range(1000):
        drawn = generator.choice(len(names), len(names))
        pairs = [(i, j) for i in drawn for j in drawn if i != j]
        made = sum(len(rows[i]) * len(rows[j]) for i, j in pairs)
        rates.append(sum(hits[pair] for pair in pairs) / made)
    return float(np.quantile(rates, 0.975))


@pytest.fixture(scope="module")
def people() -> tuple[np.ndarray, np.ndarray]:
    """Thirty people with six images each, told apart well and not perfectly."""
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(30), 6)
    centres = generator.normal(size=(30, 16))
    return centres[labels] + 0.9 * generator.normal(size=(180, 16)), labels


def test_a_calibration_is_what_a_loop_counts(people: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings, labels = people
    found = calibrate(embeddings, labels, generator=np.random.default_rng(0))
    assert (found.subjects, found.images) == (30, 180)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mated, non_mated = [], []
    for i in range(180):
        for j in range(i + 1, 180):
            (mated if labels[i] == labels[j] else non_mated).append(float(unit[i] @ unit[j]))
    assert (found.mated, found.non_mated) == (len(mated), len(non_mated)) == (450, 15660)
    # 15,660 comparisons allow 15 false matches at 1e-3: other people might have more, and fewer
    # than 10 tell nothing.
    assert [point.far for point in found.thresholds] == [1e-1, 1e-2]
    for point in found.thresholds:
        false = sum(score >= point.threshold for score in non_mated)
        assert point.false_matches == false
        assert 0 < false <= point.far * len(non_mated)
        assert point.tar == pytest.approx(sum(s >= point.threshold for s in mated) / len(mated))
        assert point.far_low < false / len(non_mated) < point.far_high <= point.far
        # A threshold that lets one more comparison match would not keep to the rate.
        looser = sorted(non_mated)[-false - 1]
        assert upper_rate(embeddings, labels, looser) > 0.97 * point.far
    thresholds = [point.threshold for point in found.thresholds]
    assert thresholds == sorted(thresholds)
    assert found.default_far == 1e-2
    assert found.at(0.01) is found.thresholds[1]


def test_the_interval_is_that_of_resampled_subjects() -> None:
    """Two people who look alike carry all false matches: without one of them there are none."""
    embeddings = np.eye(8)[np.repeat(np.arange(8), 8)]
    embeddings[8:16] = embeddings[:8] + 0.01
    labels = np.repeat(np.arange(8), 8)
    found = calibrate(embeddings, labels, fars=[0.1, 0.2], generator=np.random.default_rng(0))
    (point,) = (
        found.thresholds
    )  # 64 of 1792 are less than 0.1, but others may have three times that
    assert point.far == 0.2
    assert point.false_matches == 64
    assert point.far_low == 0.0
    assert point.far_high > 0.1 > 2 * 64 / found.non_mated


def test_the_rate_holds_on_other_people() -> None:
    """Drawn from the same population again and again: it seldom exceeds what was asked for."""
    generator = np.random.default_rng(5)
    exceeded = nominal = 0
    tries = 40
    for _ in range(tries):
        labels = np.repeat(np.arange(25), 8)
        known, others = (
            generator.normal(size=(25, 12))[labels] + 0.9 * generator.normal(size=(200, 12))
            for _ in range(2)
        )
        found = calibrate(known, labels, fars=[1e-2], generator=generator)
        fresh = all_pairs_scores(others, labels).non_mated
        exceeded += np.mean(fresh >= found.at(1e-2).threshold) > 1e-2
        loose = threshold_at_far(all_pairs_scores(known, labels).non_mated, far=1e-2)
        nominal += np.mean(fresh >= loose) > 1e-2
    assert exceeded <= 0.15 * tries
    assert nominal >= 0.3 * tries  # the rate of the same people's own comparisons does not hold


def test_few_people_give_few_rates(people: tuple[np.ndarray, np.ndarray]) -> None:
    embeddings, labels = people
    found = calibrate(embeddings[:36], labels[:36], generator=np.random.default_rng(0))
    assert [point.far for point in found.thresholds] == [1e-1]
    assert found.default_far == 0.1
    with pytest.raises(ConfigError, match=r"far=0\.001 was not measured .* 540 comparisons of 6"):
        found.at(1e-3)
    none = calibrate(embeddings[:12], labels[:12], generator=np.random.default_rng(0))
    assert none.thresholds == ()
    assert none.default_far is None
    with pytest.raises(ConfigError, match="measured are: none"):
        none.at(0.1)
    with pytest.raises(InsufficientDataError):
        calibrate(embeddings[:6], labels[:6], generator=np.random.default_rng(0))


def test_a_calibration_survives_its_card(people: tuple[np.ndarray, np.ndarray]) -> None:
    found = calibrate(*people, generator=np.random.default_rng(0))
    content = json.loads(json.dumps(found.to_dict()))
    assert Calibration.from_dict(content) == found
    content["thresholds"][0]["threshold"] = float("nan")
    with pytest.raises(ValueError, match="threshold of nan"):
        Calibration.from_dict(content)
    for broken in ({}, {"thresholds": [{"far": 0.1}]}):
        with pytest.raises((KeyError, TypeError)):
            Calibration.from_dict(broken)
