"""A few known pairs break a linear key; fewer break it with the help of unpaired records."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnn.attacks.training_phase.known_plaintext import KnownPlaintext
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, KeyStream

Play = Callable[..., Any]
N, D = 6, 24
JUST_ENOUGH = D // N + 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("stored", "bound"), [("float32", 1e-3), ("float16", 0.1)])
def test_just_over_d_by_n_pairs_give_the_key(
    play: Play, tmp_path: Path, seed: int, stored: str, bound: float
) -> None:
    scene = play("paper", seed=seed, pairs=JUST_ENOUGH, stored=stored)
    answer = KnownPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.key is not None
    assert np.array_equal(answer.key.place, scene.order)
    assert scene.error(answer.features) < bound
    assert scene.found_again(answer.features) == 1.0
    assert scene.found_again(scene.observation.probe_records) < 0.2  # not before the attack
    plain = play("plain", seed=seed, pairs=JUST_ENOUGH)
    best = KnownPlaintext().run(plain.observation, seed=0, work_dir=tmp_path)
    assert abs(scene.rank_1(answer.scores) - plain.rank_1(best.scores)) < 0.1
    assert scene.rank_1(answer.scores) > 0.5  # chance is 1 / 20
    assert answer.details["pairs"] == JUST_ENOUGH


def test_the_inverse_is_that_of_the_matrix(play: Play, tmp_path: Path) -> None:
    from xnn.schemes.matrices import draw_matrix

    scene = play("paper", pairs=2 * JUST_ENOUGH)
    answer = KnownPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    stream = KeyStream(bytes([1]) * 32)
    stream.permutation(N)
    matrix = draw_matrix(stream, D, "gaussian")
    assert np.abs(matrix @ answer.key.inverse - np.eye(D)).max() < 1e-3


def test_one_pair_helps_the_unpaired_records(play: Play, tmp_path: Path) -> None:
    scene = play("paper", pairs=1, people=60)
    answer = KnownPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.details["from_unpaired"]
    assert scene.found_again(answer.features) > 0.5  # chance is 1 / 150


def test_records_that_are_noise_give_chance(play: Play, tmp_path: Path) -> None:
    scene = play("paper", pairs=JUST_ENOUGH)
    rng = np.random.default_rng(0)
    pairs = scene.observation.pairs
    blind = replace(
        scene.observation,
        records=rng.normal(size=scene.observation.records.shape).astype(np.float32),
        pairs=replace(pairs, records=rng.normal(size=pairs.records.shape).astype(np.float32)),
    )
    answer = KnownPlaintext().run(blind, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) < 4 / 20  # chance is 1 / 20, 50 probes


def test_it_is_repeatable_and_changes_nothing(play: Play, tmp_path: Path) -> None:
    scene = play("paper", pairs=JUST_ENOUGH)
    before = scene.observation.records.copy(), scene.observation.pairs.records.copy()
    state = torch.get_rng_state()
    one, two = (
        KnownPlaintext().run(scene.observation, seed=3, work_dir=tmp_path) for _ in range(2)
    )
    assert np.array_equal(one.scores, two.scores)
    assert np.array_equal(before[0], scene.observation.records)
    assert np.array_equal(before[1], scene.observation.pairs.records)
    assert torch.equal(state, torch.get_rng_state())
    assert not list(tmp_path.iterdir())


def test_it_refuses_what_it_cannot_use(play: Play, tmp_path: Path) -> None:
    with_pairs, without = play("paper", pairs=1).observation, play("paper").observation
    card = SCHEMES["paper"].card
    attack = KnownPlaintext()
    assert attack.refusal(card, with_pairs) is None
    assert attack.refusal(card, without) == "no known pairs"
    assert attack.refusal(None, with_pairs) is not None
    assert attack.refusal(replace(card, reads="crops"), with_pairs) is not None
    with pytest.raises(InsufficientDataError, match="at least 1"):
        attack.run(without, seed=0, work_dir=tmp_path)
