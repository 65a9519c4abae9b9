"""Recovered features and keys: fast against slow, and what the numbers mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.errors import InsufficientDataError, ShapeError
from xnn.metrics.identification import mated_ranks
from xnn.metrics.recovery import (
    centred_cosines,
    data_error,
    instance_scores,
    matrix_error,
    order_accuracy,
    r_squared,
    squared_errors,
)


def features(seed: int, q: int = 6, n: int = 3, d: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(q, n, d)) * rng.uniform(0.5, 2.0, d) + 10 * rng.normal(size=(n, d))


def slowly_centred(x: np.ndarray) -> np.ndarray:
    q, n, d = x.shape
    out = np.empty_like(x)
    for token in range(n):
        for channel in range(d):
            mean = sum(x[i, token, channel] for i in range(q)) / q
            for i in range(q):
                out[i, token, channel] = x[i, token, channel] - mean
    return out


@given(seed=st.integers(0, 10**6), q=st.integers(2, 5), n=st.integers(1, 3), d=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_cosines_and_r_squared_equal_slow_ones(seed: int, q: int, n: int, d: int) -> None:
    recovered, true = features(seed, q, n, d), features(seed + 1, q, n, d)
    a, b = slowly_centred(recovered), slowly_centred(true)
    slow = [
        np.mean(
            [
                sum(x * y for x, y in zip(a[i, t], b[i, t], strict=True))
                / (np.linalg.norm(a[i, t]) * np.linalg.norm(b[i, t]))
                for t in range(n)
            ]
        )
        for i in range(q)
    ]
    assert np.allclose(centred_cosines(recovered, true), slow)
    lost = sum((x - y) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True))
    assert r_squared(recovered, true) == pytest.approx(1 - lost / sum(y**2 for y in b.ravel()))


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_instance_scores_equal_slow_ones(seed: int) -> None:
    recovered, true = features(seed), features(seed + 1)
    a, b = (slowly_centred(x).reshape(6, -1) for x in (recovered, true))
    slow = [[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a]
    assert np.allclose(instance_scores(recovered, true), slow)


def test_an_offset_is_no_error_and_the_mean_is_no_answer() -> None:
    true = features(0)
    shifted = true + np.arange(5)
    assert np.allclose(centred_cosines(shifted, true), 1.0)
    assert r_squared(shifted, true) == pytest.approx(1.0)
    mean = np.broadcast_to(true.mean(axis=0), true.shape).copy()
    assert np.all(centred_cosines(mean, true) == 0)
    assert np.all(centred_cosines(true, np.ones_like(true)) == 0)
    assert r_squared(mean, true) == pytest.approx(0.0)
    ranks = mated_ranks(instance_scores(mean, true), np.arange(6), np.arange(6))
    assert np.mean(ranks == 1) <= 1 / 6, "an answer without content finds no more than chance"


def test_half_the_scale_costs_a_quarter_of_the_variance_and_no_cosine() -> None:
    true = features(0)
    assert np.allclose(centred_cosines(true / 2, true), 1.0)
    assert r_squared(true / 2, true) == pytest.approx(0.75)
    errors, lengths = squared_errors(true / 2, true)
    assert np.allclose(errors, lengths / 4)


def test_noise_recovers_nothing() -> None:
    true, noise = features(0, q=400, n=4, d=20), features(1, q=400, n=4, d=20)
    assert abs(centred_cosines(noise, true).mean()) < 0.02
    assert r_squared(noise, true) < 0
    ranks = mated_ranks(instance_scores(noise, true), np.arange(400), np.arange(400))
    assert np.mean(ranks == 1) < 0.02


def test_float32_features_lose_little() -> None:
    recovered, true = features(0) + 1000, features(1) + 1000
    fast = r_squared(recovered.astype(np.float32), true.astype(np.float32))
    assert fast == pytest.approx(r_squared(recovered, true), abs=1e-3)


def test_a_key_is_judged_by_its_parts() -> None:
    rng = np.random.default_rng(0)
    matrix, tokens = rng.normal(size=(5, 5)), features(2)
    order = rng.permutation(8)
    swapped = order.copy()
    swapped[[0, 1]] = order[[1, 0]]
    assert order_accuracy(order, order) == 1.0
    assert order_accuracy(swapped, order) == 0.75
    inverse = np.linalg.inv(matrix)
    assert matrix_error(inverse, matrix) == pytest.approx(0.0, abs=1e-10)
    assert data_error(inverse, matrix, tokens) == pytest.approx(0.0, abs=1e-10)
    # inv(B) = 2 M: off by M itself.
    assert matrix_error(inverse / 2, matrix) == pytest.approx(1.0)
    assert data_error(inverse / 2, matrix, tokens) == pytest.approx(1.0)
    # inv(0) is read as 0: the answer of somebody who knows nothing.
    assert matrix_error(np.zeros((5, 5)), matrix) == 1.0


def test_the_data_error_weighs_directions_by_their_variance() -> None:
    tokens = features(0, q=50) * np.array([1.0, 1.0, 1.0, 1.0, 1e-3])
    inverse = np.eye(5)
    inverse[4, 4] = 0.1  # inv: 10 instead of 1 in the direction that hardly varies
    assert matrix_error(inverse, np.eye(5)) > 1
    assert data_error(inverse, np.eye(5), tokens) < 0.05
    centred = slowly_centred(tokens).reshape(-1, 5)
    slow = np.linalg.norm(centred @ (np.linalg.inv(inverse) - np.eye(5))) / np.linalg.norm(centred)
    assert data_error(inverse, np.eye(5), tokens) == pytest.approx(slow)


def test_bad_input_gets_one_clear_error() -> None:
    true = features(0)
    with pytest.raises(InsufficientDataError, match="at least 2 images"):
        centred_cosines(true[:1], true[:1])
    broken = true.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="NaN"):
        instance_scores(broken, true)
    with pytest.raises(ShapeError, match="the same in every image"):
        r_squared(true, np.ones_like(true))
    with pytest.raises(ShapeError, match="inverse holds NaN"):
        matrix_error(np.full((2, 2), np.nan), np.eye(2))
