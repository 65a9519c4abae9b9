"""AUC and TPR at FPR against counting pairs, limits, resamples and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, InsufficientDataError, ShapeError
from xnn.metrics import bootstrap_membership, roc_auc, tar_at_far, tpr_at_fpr

SCORES = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=12).map(np.array)


def slow_auc(members: np.ndarray, others: np.ndarray) -> float:
    wins = sum((m > o) + 0.5 * (m == o) for m in members for o in others)
    return wins / (len(members) * len(others))


@given(SCORES, SCORES)
def test_auc_counts_pairs(members: np.ndarray, others: np.ndarray) -> None:
    assert roc_auc(members, others) == pytest.approx(slow_auc(members, others), abs=1e-12)
    assert roc_auc(others, members) == pytest.approx(1 - roc_auc(members, others), abs=1e-12)


@given(SCORES, SCORES)
def test_tpr_is_tar(members: np.ndarray, others: np.ndarray) -> None:
    assert tpr_at_fpr(members, others, fpr=0.5) == tar_at_far(members, others, far=0.5)


def test_limits() -> None:
    assert roc_auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert roc_auc(np.zeros(3), np.zeros(5)) == 0.5
    assert tpr_at_fpr(np.array([0.0, 3.0]), np.arange(100.0) / 100, fpr=1e-2) == 0.5


@given(st.data())
def test_a_weight_is_a_repetition(data: st.DataObject) -> None:
    members, others = data.draw(SCORES), data.draw(SCORES)
    many = [
        np.array(data.draw(st.lists(st.integers(1, 3), min_size=len(x), max_size=len(x))))
        for x in (members, others)
    ]
    repeated = np.repeat(members, many[0]), np.repeat(others, many[1])
    weights = {"member_weights": many[0], "other_weights": many[1]}
    assert roc_auc(members, others, **weights) == pytest.approx(slow_auc(*repeated), abs=1e-12)
    got = tpr_at_fpr(members, others, fpr=0.5, **weights)
    assert got == pytest.approx(tpr_at_fpr(*repeated, fpr=0.5))


def test_resamples_are_repetitions_of_subjects() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.normal(1, 1, 60), rng.normal(0, 1, 300)
    who, whose = rng.integers(0, 6, 60), rng.integers(0, 6, 300)
    boot = bootstrap_membership(
        members, others, who, whose, fprs=[0.1], num_resamples=4,
        generator=np.random.default_rng(5),
    )  # fmt: skip
    assert boot.auc.value == pytest.approx(roc_auc(members, others))
    assert boot.tpr[0].value == pytest.approx(tpr_at_fpr(members, others, fpr=0.1))
    drawn = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), size=4)
    for counts, auc, tpr in zip(drawn, boot.auc.replicates, boot.tpr[0].replicates, strict=True):
        repeated = np.repeat(members, counts[who]), np.repeat(others, counts[whose])
        assert auc == pytest.approx(slow_auc(*repeated))
        assert tpr == pytest.approx(tar_at_far(*repeated, far=0.1))


def test_refusals() -> None:
    with pytest.raises(InsufficientDataError, match=r"fpr=0.001 needs at least 1000 .* got 999"):
        tpr_at_fpr(np.zeros(5), np.zeros(999), fpr=1e-3)
    with pytest.raises(ConfigError, match="not a fraction"):
        tpr_at_fpr(np.zeros(5), np.zeros(999), fpr=5.0)
    with pytest.raises(ShapeError, match="NaN"):
        roc_auc(np.array([np.nan]), np.zeros(3))
    ones = np.zeros(3, dtype=np.int64)
    with pytest.raises(InsufficientDataError, match="at least 2"):
        bootstrap_membership(
            np.zeros(3), np.zeros(3), ones, ones, generator=np.random.default_rng(0)
        )
    with pytest.raises(InsufficientDataError, match="needs at least 10"):
        bootstrap_membership(
            np.zeros(3), np.zeros(3), ones, ones, fprs=[0.1], generator=np.random.default_rng(0)
        )
    # Members and others never meet in a resample: two subjects, all of one or none.
    with pytest.raises(InsufficientDataError, match="no resample"):
        bootstrap_membership(
            np.zeros(1), np.zeros(1), np.array([0]), np.array([1]),
            num_resamples=1, generator=_FirstTwice(np.random.PCG64(0)),
        )  # fmt: skip


class _FirstTwice(np.random.Generator):
    def multinomial(self, *_: object, **__: object) -> np.ndarray:
        return np.array([[2, 0]])
