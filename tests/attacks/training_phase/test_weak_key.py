"""Keys from seeded generators are found; keys from the operating system are not."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.statistics.weak_sources import WEAK_SOURCES, unrank_permutation
from xnn.attacks.training_phase.weak_key import WeakKeySearch, WeakKeySettings
from xnn.errors import ConfigError
from xnn.schemes import SCHEMES
from xnn.schemes.paper import LinearObfuscator
from xnn.types import TokenShape

Play = Callable[..., Any]
SHAPE = TokenShape(6, 24)
FEW = WeakKeySettings(small_seeds=300, clock=(1_700_000_000, 1_700_000_200), max_matrices=50)


def weak_obfuscator(name: str, seed: int) -> LinearObfuscator:
    source = next(source for source in WEAK_SOURCES if source.name == name)
    order = source.order(seed, SHAPE.n, SHAPE.n).astype(np.int64)
    return LinearObfuscator(SHAPE, order, source.matrix(seed, SHAPE.n, SHAPE.d, True))


def test_it_draws_as_the_authors_did() -> None:
    rank = random.Random(11).randint(0, math.factorial(197))
    assert unrank_permutation(rank, 197, 5).tolist() == [174, 177, 81, 7, 14]  # method.md 8.1.8


@given(n=st.integers(1, 5), data=st.data())
@settings(max_examples=30, deadline=None)
def test_numbers_of_permutations_go_in_their_order(n: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(0, math.factorial(n) - 1))
    listed = list(permutations(range(n)))[rank]
    assert tuple(unrank_permutation(rank, n, n)) == listed
    assert tuple(unrank_permutation(rank, n, n - 1)) == listed[: n - 1]


@pytest.mark.parametrize("source", WEAK_SOURCES, ids=lambda source: source.name)
def test_a_source_draws_the_same_key_twice_and_no_global_state(source: Any) -> None:
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    one, two = (source.order(5, 9, 9) for _ in range(2))
    assert np.array_equal(one, two)
    assert sorted(one) == list(range(9))
    assert np.array_equal(source.order(5, 9, 4), one[:4])
    matrices = [source.matrix(seed, 9, 30, True) for seed in (5, 5, 6)]
    assert np.array_equal(matrices[0], matrices[1])
    assert not np.array_equal(matrices[0], matrices[2])
    assert abs(matrices[0].std() * np.sqrt(30) - 1) < 0.1
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize(
    ("source", "seed"),
    [
        ("python-numpy", 11),
        ("python-numpy", 1_700_000_123),
        ("numpy-legacy", 42),
        ("numpy-generator", 7),
        ("torch", 299),
        ("stream-integer", 0),
        ("stream-digest", 123),
    ],
)
def test_a_weak_key_is_found(play: Play, tmp_path: Path, source: str, seed: int) -> None:
    obfuscator = weak_obfuscator(source, seed)
    scene = play(obfuscator, people=30)
    answer = WeakKeySearch(FEW).run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.details["found"]
    assert answer.details["source"] == source
    assert answer.key is not None
    assert scene.error(answer.features) < 1e-2
    assert scene.rank_1(answer.scores) > 0.5  # chance is 1 / 30


def test_the_scheme_that_is_its_control_falls(play: Play, tmp_path: Path) -> None:
    card = WeakKeySearch.card
    scene = play(card.control, seed=5, people=30)
    answer = WeakKeySearch(WeakKeySettings(small_seeds=1 << 12)).run(
        scene.observation, seed=0, work_dir=tmp_path
    )
    assert answer.details["source"] == "numpy-legacy"
    assert scene.error(answer.features) < 1e-2


@pytest.mark.parametrize("seed", range(3))
def test_a_key_of_the_owner_is_not(play: Play, tmp_path: Path, seed: int) -> None:
    from xnn.schemes import KeyStream, find_scheme

    obfuscator = find_scheme("paper").bind(SHAPE, KeyStream.fresh())
    scene = play(obfuscator, seed=seed)
    answer = WeakKeySearch(FEW).run(scene.observation, seed=0, work_dir=tmp_path)
    assert not answer.details["found"]
    assert answer.key is None
    assert not answer.scores.any()
    assert answer.details["seeds"] == 500
    assert answer.details["candidates_per_second"] > 0


def test_plain_records_are_read_and_a_matrix_alone_is_tried(play: Play, tmp_path: Path) -> None:
    plain = play("plain")
    answer = WeakKeySearch(FEW).run(plain.observation, seed=0, work_dir=tmp_path)
    assert answer.details["found"]
    assert plain.error(answer.features) < 1e-5
    source = WEAK_SOURCES[0]
    alone = LinearObfuscator(SHAPE, np.arange(6), source.matrix(17, 6, 24, False))
    scene = play(alone)
    observation = replace(scene.observation, scheme="paper-matrix-only")
    answer = WeakKeySearch(FEW).run(observation, seed=0, work_dir=tmp_path)
    assert answer.details["found"]
    assert scene.error(answer.features) < 1e-2


def test_what_it_refuses(play: Play) -> None:
    observation = play("paper").observation
    attack = WeakKeySearch()
    card = SCHEMES["paper"].card
    assert attack.refusal(card, observation) is None
    assert attack.refusal(None, observation) is not None
    assert attack.refusal(replace(card, linear=False), observation) is not None
    for bad in ({"small_seeds": 0}, {"clock": (5, 5)}, {"clock": (0, 1 << 33)}):
        with pytest.raises(ConfigError):
            WeakKeySettings(**bad)  # type: ignore[arg-type]
