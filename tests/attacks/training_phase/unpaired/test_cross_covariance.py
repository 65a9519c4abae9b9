"""Positions without means or covariances of their own, and noisy ones, still give the matrix."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ortho_group

from xnn.attacks.statistics.cross_positions import (
    measure_pairs,
    standardise,
    strongest_pairs,
    turn,
)
from xnn.attacks.training_phase.cross_covariance import CrossCovariance
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES


def test_pairs_are_measured_as_by_loops() -> None:
    rng = np.random.default_rng(0)
    white = rng.exponential(size=(50, 4, 3)).astype(np.float32) - 1
    first, second = np.array([0, 1]), np.array([2, 3])
    got = measure_pairs(white, first, second)
    for k, s, t in ((0, 0, 2), (1, 1, 3)):
        slow = sum(np.outer(one[s], one[t]) for one in white.astype(float)) / 50
        assert np.allclose(got.covariances[k], slow, atol=1e-4)
    for t in range(4):
        sizes = [float(one[t] @ one[t]) for one in white]
        slow = sum(one[t] * (size - np.mean(sizes)) for one, size in zip(white, sizes, strict=True))
        assert np.allclose(got.skews[t], slow / 50, atol=1e-3)


def test_the_strongest_pairs_come_first() -> None:
    products = np.array([[9, 1, -5], [1, 9, 3], [-5, 3, 9]], dtype=float)
    first, second = strongest_pairs(products, 2)
    assert list(zip(first, second, strict=True)) == [(0, 2), (1, 2)]


def test_standardising_can_be_undone(owner) -> None:
    tokens = owner().truth.tokens
    white, means, roots = standardise(tokens, ridge=1e-9)
    t = 3
    assert np.allclose(white[:, t].mean(axis=0), 0, atol=1e-3)
    assert np.allclose(np.cov(white[:, t].T), np.eye(white.shape[2]), atol=0.15)
    assert np.allclose(white[:, t] @ roots[t] + means[t], tokens[:, t], atol=1e-3)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rotation_is_found_with_its_sign(owner, sign: int) -> None:
    white, _, _ = standardise(owner(people=100).truth.tokens)
    d = white.shape[2]
    rotation = sign * ortho_group.rvs(d, random_state=0)
    pairs = np.triu_indices(white.shape[1], k=1)
    public, records = (measure_pairs(x, *pairs) for x in (white, white @ rotation.astype("f4")))
    noisy = ortho_group.rvs(d, random_state=1)
    # From near, and from near the wrong sign: second moments lead to either.
    for side in (1, -1):
        u, _, v = np.linalg.svd(side * rotation + 0.4 * noisy)
        found = turn(public, records, u @ v)
        assert np.allclose(found.rotation, rotation, atol=0.05)
        assert found.agreement == pytest.approx(1, abs=0.01)


def test_standardised_positions_hide_nothing(tmp_path: Path, owner) -> None:
    upload = owner(people=200, standardised=True)
    attack = CrossCovariance()
    assert attack.refusal(SCHEMES["paper"].card, upload.observation) is None
    answer = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    again = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.features is not None
    assert np.array_equal(answer.features, again.features)
    assert answer.details["standardised"]
    assert answer.key is None
    assert upload.found_again(answer.features) > 0.5  # chance is 1 / 400


def test_it_works_on_plain_records_and_through_noise(tmp_path: Path, owner) -> None:
    upload = owner("plain", people=100)
    answer = CrossCovariance().run(upload.observation, seed=0, work_dir=tmp_path)
    assert not answer.details["standardised"]
    assert answer.key is not None
    assert upload.found_again(answer.features) > 0.9
    noise = np.random.default_rng(0).normal(size=upload.observation.records.shape)
    noisy = upload.observation.records + 0.5 * noise
    blurred = replace(upload.observation, records=noisy.astype(np.float32))
    answer = CrossCovariance().run(blurred, seed=0, work_dir=tmp_path)
    assert answer.details["signal_share"] < 1
    assert upload.found_again(answer.features) > 0.5


def test_noise_alone_tells_it_nothing(tmp_path: Path, owner) -> None:
    upload = owner()
    noise = np.random.default_rng(0).normal(size=upload.observation.records.shape)
    blind = replace(upload.observation, records=noise.astype(np.float32))
    answer = CrossCovariance().run(blind, seed=0, work_dir=tmp_path)
    assert upload.rank_1(answer.scores) < 0.1


def test_it_says_how_much_it_needs(tmp_path: Path, owner) -> None:
    observation = owner(people=6, shots=1).observation
    few = replace(observation, records=observation.records[:2], probes=np.arange(2))
    with pytest.raises(InsufficientDataError, match="at least"):
        CrossCovariance().run(few, seed=0, work_dir=tmp_path)
    assert CrossCovariance().refusal(SCHEMES["paper-fresh-order"].card, observation) is not None
