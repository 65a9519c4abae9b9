"""Moments against loops, and against what a key may change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.statistics.moments import layers_at_count, measure, whiten
from xnn.errors import InsufficientDataError


def slowly(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whitened means, covariances and layers, one number after the other, in float64."""
    wide = tokens.astype(np.float64)
    b, n, d = wide.shape
    means = sum(wide) / b
    pooled = sum(np.outer(x - m, x - m) for one in wide for x, m in zip(one, means, strict=True))
    values, vectors = np.linalg.eigh(pooled / (b * n))
    root = sum(np.outer(v, v) / np.sqrt(value) for value, v in zip(values, vectors.T, strict=True))
    m = means @ root
    z = [(one - means) @ root for one in wide]
    covariances = np.array([sum(np.outer(one[t], one[t]) for one in z) / b for t in range(n)])
    layers = np.zeros((5, n, n))
    for s in range(n):
        for t in range(n):
            products = [one[s] @ one[t] for one in z]
            layers[:, s, t] = [
                m[s] @ m[t],
                np.sum(covariances[s] * covariances[t]) / d,
                np.mean(products) / d,
                np.mean(np.square(products)) / d**2,
                m[t] @ covariances[s] @ m[t] / d,
            ]
    return m, covariances, layers


@given(seed=st.integers(0, 1000), count=st.integers(5, 140))
@settings(max_examples=10, deadline=None)
def test_moments_equal_slow_ones(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = (rng.normal(size=(count, 4, 3)) * [1, 5, 0.2] + 1).astype(np.float32)
    got = measure(tokens)
    means, covariances, layers = slowly(tokens)
    assert got.count == count
    assert np.allclose(got.means, means, rtol=1e-4, atol=1e-4)
    assert np.allclose(got.covariances, covariances, rtol=1e-3, atol=1e-3)
    assert np.allclose(got.layers, layers, rtol=1e-3, atol=1e-2)


def test_a_key_changes_layers_only_in_their_order(made_up) -> None:
    tokens = made_up.tokens(300, 0)
    records, order = made_up.records(tokens)
    plain, keyed = measure(tokens), measure(records)
    assert np.allclose(keyed.layers, plain.layers[:, order][:, :, order], rtol=1e-2, atol=1e-2)
    assert not np.allclose(keyed.layers, plain.layers, rtol=0.1, atol=0.1)


def test_covariances_average_to_the_identity(made_up) -> None:
    got = measure(made_up.tokens(300, 0))
    assert np.allclose(got.covariances.mean(axis=0), np.eye(made_up.d), atol=1e-3)


def test_noise_is_taken_off(made_up) -> None:
    tokens = made_up.tokens(4000, 0)
    noisy = tokens + 0.5 * np.random.default_rng(1).normal(size=tokens.shape).astype(np.float32)
    clean = measure(tokens).whitening.root
    assert np.linalg.norm(measure(noisy, noise_variance=0.25).whitening.root - clean) < (
        0.5 * np.linalg.norm(measure(noisy).whitening.root - clean)
    )


def test_a_ridge_lifts_every_direction() -> None:
    root = whiten(np.diag([1.0, 3.0]), ridge=0.5).root
    assert np.allclose(root @ root, np.diag([2.0, 4.0]))


def test_subsets_have_the_bias_of_their_size(made_up) -> None:
    tokens = made_up.tokens(600, 0)
    few = np.mean([measure(made_up.tokens(12, seed)).layers for seed in range(1, 20)], axis=0)
    matched = layers_at_count(tokens, 12, draws=20, ridge=0.0, rng=np.random.default_rng(0))
    far = np.abs(measure(tokens).layers - few).mean(axis=(1, 2))
    near = np.abs(matched - few).mean(axis=(1, 2))
    assert np.all(near[[1, 3]] < 0.5 * far[[1, 3]])  # second moments of second moments


@pytest.mark.parametrize("tokens", [np.zeros((1, 2, 3)), np.ones((5, 2, 3))])
def test_nothing_to_measure(tokens: np.ndarray) -> None:
    with pytest.raises(InsufficientDataError, match="at least 2"):
        measure(tokens.astype(np.float32))
