"""A secret ReLU layer falls to known pairs, unit by unit; a slow version says what a unit is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from xnn.attacks.statistics.half_observed import pooled, read_half_observed
from xnn.attacks.statistics.relu_units import Units, UnitSettings, find_units
from xnn.attacks.training_phase.relu_key import ReluKey, checked
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, KeyStream
from xnn.schemes.matrices import draw_matrix

Play = Callable[..., Any]
N, D = 6, 24
PAIRS = 80
ATTACK = ReluKey(UnitSettings(starts=96, most_rounds=10))


def key(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order and the two matrices, which the attack never sees."""
    stream = KeyStream(bytes([seed + 1]) * 32)
    order = stream.permutation(N)
    first, second = (draw_matrix(stream, D, "gaussian") for _ in range(2))
    return order, first, second


@pytest.mark.parametrize("seed", range(2))
def test_pairs_take_the_layer_apart(play: Play, tmp_path: Path, seed: int) -> None:
    scene = play("paper-relu", seed=seed, pairs=PAIRS, stored="float16")
    answer = ATTACK.run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.details["units"] >= 0.6 * D
    assert scene.found_again(scene.observation.probe_records) < 0.2, "not before the attack"
    assert scene.found_again(answer.features) > 0.9  # chance is 1 / 50
    assert scene.error(answer.features) < 0.6
    plain = play("plain", seed=seed, pairs=PAIRS)
    best = ATTACK.run(plain.observation, seed=0, work_dir=tmp_path)
    assert plain.rank_1(best.scores) > 0.5, "the positive control; chance is 1 / 20"
    assert scene.rank_1(answer.scores) > plain.rank_1(best.scores) - 0.2


def test_units_are_those_of_the_key(play: Play) -> None:
    scene = play("paper-relu", pairs=PAIRS)
    pairs = scene.observation.pairs
    order, first, second = key()
    tokens = pairs.faces.tokens[:, order].reshape(-1, D)
    found = find_units(tokens, pairs.records.reshape(-1, D), settings=UnitSettings(), seed=0)
    units = checked(found, scene.observation.records)
    hidden = np.maximum(tokens.astype(np.float64) @ first, 0.0)
    mine = np.maximum(tokens.astype(np.float64) @ units.into, 0.0)
    alike = (hidden / np.linalg.norm(hidden, axis=0)).T @ (mine / np.linalg.norm(mine, axis=0))
    assert np.mean(alike.max(axis=0) > 0.99) > 0.9
    read = pairs.records.reshape(-1, D) @ units.back
    assert np.linalg.norm(read - mine) < 0.02 * np.linalg.norm(mine)
    assert np.linalg.matrix_rank(second) == D


def test_what_is_half_observed_is_read_like_a_slow_optimiser_does(play: Play) -> None:
    scene = play("paper-relu")
    order, first, second = key()
    units = Units(into=first, back=np.linalg.inv(second), noise=np.full(D, 1e-4))
    records, public = scene.observation.records[:3], scene.observation.public.tokens
    fast = read_half_observed(records, units, order, public)
    means = public.mean(axis=0, dtype=np.float64)
    shared = pooled(public, means)
    hidden = records.astype(np.float64) @ units.back
    for place in (0, 3):
        position = order[place]
        own = (public[:, position] - means[position]).astype(np.float64)
        prior = np.linalg.inv(0.5 * shared + 0.5 * own.T @ own / len(own))
        seen, usual = hidden[0, place], np.sqrt(np.square(hidden[:, place]).mean(axis=0))
        on = seen > 6e-4
        scale = np.hypot(1e-3 * usual, 1e-4)

        def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
            missed = x @ first - np.maximum(seen, 0.0)  # noqa: B023
            missed = np.where(on, missed, np.maximum(missed, 0.0)) / scale  # noqa: B023
            away = x - means[position]  # noqa: B023
            slope = 2 * first @ (missed / scale) + 2 * prior @ away  # noqa: B023
            return float(missed @ missed + away @ prior @ away), slope  # noqa: B023

        slow = minimize(cost, means[position], jac=True, options={"maxiter": 5000})
        here, there = fast[0, position].astype(np.float64), cost(means[position])[0]
        assert cost(here)[0] < slow.fun + 0.02 * (there - slow.fun)
        apart = np.linalg.norm(here - slow.x) / np.linalg.norm(slow.x - means[position])
        assert apart < 0.25


def test_records_that_are_noise_have_no_units(play: Play, tmp_path: Path) -> None:
    scene = play("paper-relu", pairs=PAIRS)
    rng = np.random.default_rng(0)
    pairs = scene.observation.pairs
    blind = replace(
        scene.observation,
        records=rng.normal(size=scene.observation.records.shape).astype(np.float32),
        pairs=replace(pairs, records=rng.normal(size=pairs.records.shape).astype(np.float32)),
    )
    with pytest.raises(InsufficientDataError, match="no hidden unit found with 80"):
        ATTACK.run(blind, seed=0, work_dir=tmp_path)


def test_it_is_repeatable_and_changes_nothing(play: Play, tmp_path: Path) -> None:
    scene = play("paper-relu", pairs=PAIRS)
    before = scene.observation.records.copy()
    state = torch.get_rng_state()
    attack = ReluKey(UnitSettings(starts=32, most_rounds=2))
    one, two = (attack.run(scene.observation, seed=3, work_dir=tmp_path) for _ in range(2))
    assert np.array_equal(one.scores, two.scores)
    assert np.array_equal(before, scene.observation.records)
    assert torch.equal(state, torch.get_rng_state())


def test_it_says_what_it_cannot_use(play: Play, tmp_path: Path) -> None:
    few, none = play("paper-relu", pairs=4).observation, play("paper-relu").observation
    card = SCHEMES["paper-relu"].card
    assert ATTACK.refusal(card, few) is None
    assert ATTACK.refusal(card, none) == "no known pairs"
    assert ATTACK.refusal(SCHEMES["plain"].card, few) is None, "the control"
    for name in ("paper", "paper-fresh-order", "gaussian-noise-1", "mixup", "dctdp"):
        assert ATTACK.refusal(SCHEMES[name].card, few) is not None
    with pytest.raises(InsufficientDataError, match=r"4 known pairs; .* need about 16"):
        ATTACK.run(few, seed=0, work_dir=tmp_path)
