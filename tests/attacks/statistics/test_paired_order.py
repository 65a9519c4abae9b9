"""Order of tokens from pairs, against every order, and least squares against the slow way."""

from itertools import permutations

import numpy as np
import pytest

from xnn.attacks.statistics.paired_order import match_tokens
from xnn.attacks.statistics.paired_reading import PairedTokens, learn_reading
from xnn.attacks.statistics.position_order import order_by_position, order_by_tokens


def pairs_of(
    k: int, n: int, d: int, seed: int, *, fresh: bool = False, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(n, d)) + rng.normal(size=(k, n, d))).astype(np.float32)
    one = rng.permutation(n)
    place = np.stack([rng.permutation(n) if fresh else one for _ in range(k)])
    matrix = rng.normal(size=(d, d)) / np.sqrt(d)
    shuffled = features[np.arange(k)[:, None], place]
    shuffled = shuffled + noise * rng.normal(size=shuffled.shape)
    return (shuffled @ matrix).astype(np.float32), features, place, matrix


def slow_hat(stack: np.ndarray) -> np.ndarray:
    stack = stack.astype(np.float64)
    return stack @ np.linalg.pinv(stack.T @ stack) @ stack.T


@pytest.mark.parametrize("seed", range(4))
def test_the_order_is_the_best_of_all(seed: int) -> None:
    k, n, d = 3, 5, 9
    records, features, place, _ = pairs_of(k, n, d, seed)
    found = match_tokens(records, features, fresh_order=False)
    left = slow_hat(records.reshape(k * n, d))

    def misfit(order: tuple[int, ...]) -> float:
        return float(np.abs(left - slow_hat(features[:, list(order)].reshape(k * n, d))).sum())

    best = min(permutations(range(n)), key=misfit)
    assert tuple(found.place[0]) == best == tuple(place[0])
    assert found.agreement > 0.999


@pytest.mark.parametrize("seed", range(3))
def test_an_order_per_record_is_found_too(seed: int) -> None:
    records, features, place, matrix = pairs_of(8, 6, 20, seed, fresh=True)
    found = match_tokens(records, features, fresh_order=True)
    assert np.array_equal(found.place, place)
    reading = learn_reading(
        PairedTokens(records=records, features=features, place=place), records[:0]
    )
    assert np.abs(matrix @ reading.weights - np.eye(20)).max() < 1e-3


def test_as_many_rows_as_channels_say_nothing() -> None:
    records, features, _, _ = pairs_of(2, 6, 20, 0)
    assert abs(match_tokens(records, features, fresh_order=False).agreement) < 0.5


def test_dead_channels_leave_fewer_to_solve_for() -> None:
    records, features, place, _ = pairs_of(3, 6, 20, 0)
    features[:, :, 15:] = 0.0
    matrix = np.random.default_rng(5).normal(size=(20, 20))
    records = (features[:, place[0]] @ matrix).astype(np.float32)
    found = match_tokens(records, features, fresh_order=False)
    assert found.rank == 15
    assert np.array_equal(found.place, place)


def test_many_noisy_pairs_choose_a_ridge() -> None:
    records, features, place, _ = pairs_of(60, 6, 20, 1, noise=0.5)
    found = match_tokens(records, features, fresh_order=False)
    assert np.array_equal(found.place[0], place[0])
    pairs = PairedTokens(records=records, features=features, place=found.place)
    reading = learn_reading(pairs, records)
    assert reading.left_out_error is not None
    assert 0.2 < reading.left_out_error < 0.6  # the noise itself leaves 0.45
    back = reading.features(records, found.place)
    assert np.linalg.norm(back - features) < 0.6 * np.linalg.norm(features - features.mean(0))


def test_an_unridged_reading_is_least_squares() -> None:
    records, features, place, _ = pairs_of(5, 6, 10, 2, noise=0.3)
    pairs = PairedTokens(records=records, features=features, place=place)
    reading = learn_reading(pairs, records[:0])
    slow = np.linalg.lstsq(
        records.reshape(-1, 10).astype(np.float64), pairs.targets().reshape(-1, 10), rcond=None
    )[0]
    assert reading.strength <= 1e-2
    assert np.linalg.norm(reading.weights - slow) < 0.05 * np.linalg.norm(slow)


def test_a_prior_decides_what_pairs_do_not() -> None:
    records, features, place, matrix = pairs_of(1, 4, 12, 3)
    rough = np.linalg.inv(matrix) + 0.05 * np.random.default_rng(0).normal(size=(12, 12))
    pairs = PairedTokens(records=records, features=features, place=place)
    reading = learn_reading(pairs, records[:0], prior=rough)
    assert np.abs(reading.tokens(records) - pairs.targets()).max() < 1e-2  # the pair is met
    error, before = (np.linalg.norm(w - np.linalg.inv(matrix)) for w in (reading.weights, rough))
    assert error < before


def test_scale_and_offset_per_position_are_found() -> None:
    records, features, place, _ = pairs_of(60, 5, 10, 4)
    rng = np.random.default_rng(1)
    scale, offset = np.exp(rng.normal(size=(5, 10))), 3 * rng.normal(size=(5, 10))
    features = (features * scale + offset).astype(np.float32)
    pairs = PairedTokens(records=records, features=features, place=place)
    reading = learn_reading(pairs, records)
    assert reading.by_position
    back = reading.features(records, place)
    assert np.linalg.norm(back - features) < 0.3 * np.linalg.norm(features - features.mean(0))


def test_single_records_are_ordered_by_position() -> None:
    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(6, 8))
    known = (means + rng.normal(size=(50, 6, 8))).astype(np.float32)
    tokens = means + 0.3 + rng.normal(size=(20, 6, 8))  # shifted: another camera
    place = np.stack([rng.permutation(6) for _ in range(20)])
    found = order_by_position(tokens[np.arange(20)[:, None], place], known)
    assert np.mean(found == place) > 0.99
    one = place[0]
    rough = tokens[:, one] + 0.5 * rng.normal(size=tokens.shape)
    assert np.array_equal(order_by_tokens(rough, tokens.astype(np.float32), known[:0]), one)
