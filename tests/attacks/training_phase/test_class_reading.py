"""Class reading: noise without a key falls to averages, a key's map does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xnn.attacks.suite import find_attack
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES

ATTACK = find_attack("class-reading")


def rank_1(scene, tmp_path: Path, seed: int = 0) -> float:
    return scene.rank_1(ATTACK.run(scene.observation, seed=seed, work_dir=tmp_path).scores)


@pytest.mark.parametrize(
    ("scheme", "shots", "least"),
    [("plain", 5, 0.9), ("gaussian-noise-1", 16, 0.8), ("laplace-noise-1", 16, 0.8)],
)
def test_what_has_no_key_is_read(play, tmp_path, scheme, shots, least) -> None:
    scene = play(scheme, labels=True, people=12, shots=shots)
    assert rank_1(scene, tmp_path) >= least


def test_records_of_a_class_add_up(play, tmp_path) -> None:
    few, many = (
        rank_1(play("gaussian-noise-3", labels=True, people=12, shots=shots), tmp_path)
        for shots in (2, 60)
    )
    assert many > few + 0.2


def test_a_matrix_under_the_key_stops_it(play, tmp_path) -> None:
    found = [rank_1(play("paper", labels=True, seed=seed), tmp_path) for seed in range(3)]
    assert np.mean(found) < 0.2  # 20 people: 0.05 by guessing


def test_it_finds_nothing_in_classes_that_are_no_people(play, tmp_path) -> None:
    scene = play("plain", labels=True, shots=8)
    labels = np.random.default_rng(0).permutation(scene.observation.labels)
    scene = replace(scene, observation=replace(scene.observation, labels=labels))
    assert rank_1(scene, tmp_path) < 0.25


def test_it_repeats(play, tmp_path) -> None:
    scene = play("gaussian-noise-1", labels=True)
    first, second = (
        ATTACK.run(scene.observation, seed=3, work_dir=tmp_path).scores for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_it_says_what_it_needs(play, tmp_path) -> None:
    scene = play("plain")
    assert ATTACK.refusal(SCHEMES["plain"].card, scene.observation) is not None
    with pytest.raises(InsufficientDataError, match="class numbers"):
        ATTACK.run(scene.observation, seed=0, work_dir=tmp_path)
    scene = play("plain", labels=True, public_people=7)
    with pytest.raises(InsufficientDataError, match="7 people"):
        ATTACK.run(scene.observation, seed=0, work_dir=tmp_path)
