"""Learning from known pairs on made-up people, and the coordinates it rests on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.observation import KnownPairs, Observation
from xnn.attacks.statistics.anchors import agreement, frame, frame_weights, match_anchors
from xnn.attacks.statistics.embedding_ridge import STRENGTHS, EmbeddingRidge
from xnn.attacks.statistics.pair_rows import rows_of_pairs
from xnn.attacks.statistics.upload_whitening import UploadWhitening
from xnn.attacks.training_phase.learned_inversion import InversionSettings, LearnedInversion
from xnn.errors import InsufficientDataError

World = Callable[..., tuple[Observation, np.ndarray]]

BRIEF = InversionSettings(simulated_keys=3, faces_per_key=200)


def linked(observation: Observation, truth: np.ndarray, tmp_path: Path) -> float:
    answer = LearnedInversion(BRIEF).run(observation, seed=0, work_dir=tmp_path)
    assert answer.scores is not None
    return float(np.mean(answer.scores.argmax(axis=1) == truth))


@pytest.mark.parametrize("scheme", ["plain", "paper", "paper-fresh-order"])
@pytest.mark.parametrize("pairs", [6, 60])
def test_pairs_give_the_rest_away(world: World, scheme: str, pairs: int, tmp_path: Path) -> None:
    assert linked(*world(scheme, pairs=pairs), tmp_path) > 0.4  # chance is 1 / 24


def test_without_class_numbers_and_without_a_scheme(world: World, tmp_path: Path) -> None:
    observation, truth = world("paper", pairs=60)
    assert linked(replace(observation, labels=None), truth, tmp_path) > 0.4
    assert linked(replace(observation, scheme=""), truth, tmp_path) > 0.4


def test_records_of_noise_give_chance(world: World, tmp_path: Path) -> None:
    rates = []
    for seed in range(3):
        observation, truth = world(noise=True, pairs=8, seed=seed)
        rates.append(linked(replace(observation, labels=None), truth, tmp_path))
    assert np.mean(rates) < 3 / 24


def test_it_is_repeatable_and_needs_pairs(world: World, tmp_path: Path) -> None:
    observation, _ = world("paper", pairs=16)
    state = torch.get_rng_state()
    first, again = (
        LearnedInversion(BRIEF).run(observation, seed=5, work_dir=tmp_path) for _ in range(2)
    )
    assert np.array_equal(first.scores, again.scores)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(first.details["held_out"]) == {"pairs", "anchors", "both"}
    assert LearnedInversion().refusal(None, replace(observation, pairs=None)) == "no known pairs"
    assert observation.pairs is not None
    one = KnownPairs(
        faces=observation.pairs.faces.at(np.array([0])), records=observation.pairs.records[:1]
    )
    with pytest.raises(InsufficientDataError, match="at least 2"):
        LearnedInversion().run(replace(observation, pairs=one), seed=0, work_dir=tmp_path)


def rotated(records: np.ndarray, seed: int) -> np.ndarray:
    d = records.shape[2]
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    return (records @ turn).astype(np.float32)


@pytest.mark.parametrize("one_order", [True, False])
def test_anchors_find_the_order_and_a_frame_no_rotation_changes(one_order: bool) -> None:
    rng = np.random.default_rng(0)
    ours = rng.normal(size=(6, 5, 16)).astype(np.float32)
    if one_order:
        truth = np.broadcast_to(rng.permutation(5), (6, 5))
    else:
        truth = np.argsort(rng.random((6, 5)), axis=1)
    theirs = rotated(np.take_along_axis(ours, truth[:, :, None], axis=1), 1)
    found = match_anchors(theirs, ours, one_order=one_order)
    assert np.array_equal(found, truth)
    placed = np.take_along_axis(ours, found[:, :, None], axis=1)
    assert agreement(theirs, placed) == pytest.approx(1.0, abs=1e-4)
    weights = frame_weights(theirs, most=12)
    assert weights.shape == (30, 12)
    new = rng.normal(size=(3, 5, 16)).astype(np.float32)
    left, right = frame(placed, weights)(new), frame(theirs, weights)(rotated(new, 1))
    assert np.allclose(left, right, atol=1e-4)
    axes = frame(theirs, weights).axes
    assert np.allclose(axes.T @ axes, np.eye(12), atol=1e-4), "orthonormal in their upload"


def test_whitening_leaves_unit_tokens_and_drops_what_is_not_there() -> None:
    rng = np.random.default_rng(0)
    records = rng.normal(size=(200, 3, 8)).astype(np.float32) @ rng.normal(size=(8, 10))
    white = UploadWhitening.of(records.astype(np.float32))(records.astype(np.float32))
    variances = np.linalg.eigvalsh(np.cov(white.reshape(-1, 10).T))
    assert np.allclose(variances[:2], 0, atol=1e-3)
    assert np.allclose(variances[2:], 1, atol=1e-2)
    with pytest.raises(InsufficientDataError, match="differ"):
        UploadWhitening.of(np.ones((5, 2, 3), dtype=np.float32))


def test_ridge_equals_the_primal_one() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 6)).astype(np.float32)
    targets = rng.normal(size=(40, 3))
    people = np.zeros(40, dtype=np.int64)  # nobody to hold out: the third strength is taken
    ridge = EmbeddingRidge.fit(inputs, targets, people, rng=rng)
    x = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0) / np.sqrt(6)
    penalty = STRENGTHS[2] * np.trace(x @ x.T) / 40
    slow = np.linalg.solve(x.T @ x + penalty * np.eye(6), x.T @ targets)
    assert np.allclose(ridge(inputs), x @ slow, atol=1e-5)


def test_pairs_are_found_among_the_records(world: World) -> None:
    observation, _ = world("paper", pairs=10)
    assert observation.pairs is not None
    rows = rows_of_pairs(observation.pairs, observation.records)
    assert np.array_equal(observation.records[rows], observation.pairs.records)
    assert not np.isin(rows, observation.probes).any()
    assert (rows_of_pairs(observation.pairs, observation.records[observation.probes]) == -1).all()
