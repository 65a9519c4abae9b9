"""Features of another collection are moved to the attacker's own, and only where they differ."""

import numpy as np
import pytest

from xnn.attacks.statistics.domain_shift import is_shifted, moved


def features(seed: int, b: int = 600, n: int = 4, d: int = 6) -> np.ndarray:
    world = np.random.default_rng(0)
    means, mix = world.normal(size=(n, d)), world.normal(size=(d, d))
    rng = np.random.default_rng(seed)
    return (means + rng.normal(size=(b, n, d)) @ mix).astype(np.float32)


def pooled(x: np.ndarray) -> np.ndarray:
    rows = (x - x.mean(axis=0)).reshape(-1, x.shape[2])
    return rows.T @ rows / len(rows)


def test_two_samples_of_one_collection_are_not_shifted() -> None:
    assert not is_shifted(features(1), features(2))
    assert not is_shifted(features(1, b=10), features(2))
    assert is_shifted(features(1) + 2.0, features(2))


def test_what_is_moved_has_the_mean_and_nearly_the_covariance_of_the_own() -> None:
    own = features(1)
    other = features(2) @ np.diag([0.5, 1, 1, 2, 1, 1]).astype(np.float32) + 3
    found = moved(other, own)
    assert np.allclose(found.mean(axis=0), own.mean(axis=0), atol=1e-3)
    before = np.linalg.norm(pooled(other) - pooled(own))
    assert np.linalg.norm(pooled(found) - pooled(own)) < 0.3 * before
    assert not is_shifted(found, own)


def test_what_need_not_change_does_not() -> None:
    own = features(1)
    assert np.allclose(moved(own, own), own, atol=1e-2)


def test_an_offset_alone_is_taken_away_exactly() -> None:
    own = features(1)
    assert np.allclose(moved(own + 5, own), own, atol=1e-2)
    assert moved(own + 5, own).dtype == np.float32


@pytest.mark.parametrize("scale", [0.0, 1e-6])
def test_features_that_do_not_vary_are_no_error(scale: float) -> None:
    own = features(1, b=20)
    assert np.isfinite(moved(own * np.float32(scale), own)).all()
