"""What class numbers give away: averages over a class, and the sizes of classes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.linker import Linker
from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_evidence import (
    assigned,
    average_by_class,
    average_by_person,
    classes_for_each,
    share_out,
)
from xnn.attacks.statistics.class_merging import merged_classes
from xnn.attacks.training_phase.class_averaging import ClassAveraging, ClassAveragingSettings
from xnn.attacks.training_phase.label_size import LabelSize
from xnn.errors import ConfigError, InsufficientDataError
from xnn.schemes import SCHEMES

Play = Callable[..., Any]


class Blurred(Attack):
    """Reads plain records badly: what many records of a class make up for."""

    card = AttackCard(name="blurred", phase="training", goal="linkage", summary="", source="test")

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        rng = np.random.default_rng(seed)
        records = observation.probe_records
        blur = self.noise * rng.normal(size=records.shape) * records.std(axis=0)
        scores = Linker.fit(observation.public, seed=0).scores(
            (records + blur).astype(np.float32), observation.gallery
        )
        return Answer(scores=scores)


@pytest.mark.parametrize("seed", range(3))
def test_averaging_gains_over_single_records(play: Play, tmp_path: Path, seed: int) -> None:
    scene = play("plain", seed=seed, people=30, shots=10, labels=True)
    single = Blurred(2.5).run(scene.observation, seed=seed, work_dir=tmp_path)
    attack = ClassAveraging([Blurred(2.5)])
    answer = attack.run(scene.observation, seed=seed, work_dir=tmp_path)
    before, after = scene.rank_1(single.scores), scene.rank_1(answer.scores)
    assert 0.1 < before < 0.8
    assert after > before + 0.1
    assert answer.classes.shape == (30, 30)
    assert answer.details["records_per_class"] == 10
    right = answer.classes.argmax(axis=1) == np.arange(30)
    assert np.mean(right) == pytest.approx(after, abs=0.1)


def test_averaging_of_noise_is_chance(play: Play, tmp_path: Path) -> None:
    rates = []
    for seed in range(5):
        scene = play("plain", seed=seed, people=30, shots=4, labels=True)
        attack = ClassAveraging([Blurred(1e4)])
        answer = attack.run(scene.observation, seed=seed, work_dir=tmp_path)
        rates.append(np.mean(answer.classes.argmax(axis=1) == np.arange(30)))
    assert np.mean(rates) < 4 / 30  # chance is 1 / 30, 150 classes


def test_averaging_is_repeatable_and_keeps_the_rows(play: Play, tmp_path: Path) -> None:
    scene = play("plain", labels=True)
    few = ClassAveragingSettings(max_records=2, exclusive=False)
    one, two = (
        ClassAveraging([Blurred(1.0)], few).run(scene.observation, seed=4, work_dir=tmp_path)
        for _ in range(2)
    )
    assert np.array_equal(one.scores, two.scores)
    assert one.scores.shape == (len(scene.observation.probes), 20)
    same = scene.observation.labels[scene.observation.probes]
    assert all(
        np.array_equal(one.scores[same == c][0], row)
        for c, row in zip(same, one.scores, strict=True)
    )


def test_averaging_refuses(play: Play, tmp_path: Path) -> None:
    with_labels, without = play("plain", labels=True).observation, play("plain").observation
    attack = ClassAveraging([Blurred(1.0)])
    assert attack.refusal(SCHEMES["plain"].card, with_labels) is None
    assert attack.refusal(SCHEMES["plain"].card, without) is not None
    with pytest.raises(InsufficientDataError):
        attack.run(without, seed=0, work_dir=tmp_path)
    with pytest.raises(ConfigError):
        ClassAveraging([])


def uneven(play: Play, seed: int, error: float) -> tuple[Observation, np.ndarray]:
    """Classes of different sizes under numbers that tell nothing, and whose they are."""
    rng = np.random.default_rng(seed)
    observation = play("paper", people=12, shots=2, seed=seed).observation
    counts = np.unique(np.geomspace(3, 300, 12).round()).astype(np.int64)
    counts = rng.permutation(counts)
    numbers = rng.permutation(12)  # class number of each suspect
    labels = np.repeat(numbers, counts)
    records = rng.normal(size=(len(labels), 6, 24)).astype(np.float32)
    heard = counts * np.exp(error * rng.normal(size=12))
    seen = replace(
        observation,
        knowledge=Knowledge(suspect_counts_error=error),
        records=records,
        labels=labels,
        probes=np.arange(len(labels)),
        suspect_counts=heard,
    )
    return seen, np.argsort(numbers)


@pytest.mark.parametrize(
    ("error", "low", "high"), [(0.0, 1.0, 1.0), (0.1, 0.8, 1.0), (30.0, 0.0, 0.4)]
)
def test_sizes_name_the_classes(
    play: Play, tmp_path: Path, error: float, low: float, high: float
) -> None:
    rates = []
    for seed in range(4):
        observation, whose = uneven(play, seed, error)
        answer = LabelSize().run(observation, seed=0, work_dir=tmp_path)
        rates.append(np.mean(answer.classes.argmax(axis=1) == whose))
        assert answer.scores.shape == (len(observation.probes), 12)
    assert low <= np.mean(rates) <= high


def test_sizes_are_refused(play: Play, tmp_path: Path) -> None:
    observation, _ = uneven(play, 0, 0.1)
    card = SCHEMES["paper"].card
    assert LabelSize().refusal(card, observation) is None
    assert LabelSize().refusal(card, replace(observation, labels=None)) is not None
    blind = replace(observation, suspect_counts=None)
    assert LabelSize().refusal(card, blind) is not None
    with pytest.raises(InsufficientDataError):
        LabelSize().run(blind, seed=0, work_dir=tmp_path)
    with pytest.raises(ConfigError):
        Knowledge(suspect_counts_error=-0.1)
    assert "10%" in Knowledge(suspect_counts_error=0.1).describe()


@given(seed=st.integers(0, 100), c=st.integers(1, 5), s=st.integers(5, 7))
@settings(max_examples=20, deadline=None)
def test_suspects_are_shared_out(seed: int, c: int, s: int) -> None:
    shares = share_out(3 * np.random.default_rng(seed).normal(size=(c, s)))
    assert np.allclose(shares.sum(axis=1), 1)
    assert shares.sum(axis=0).max() < 1.05


def test_averages_equal_slow_ones() -> None:
    rng = np.random.default_rng(0)
    scores, classes = rng.normal(size=(9, 5)), np.array([3, 1, 3, 7, 1, 1, 3, 7, 7])
    slow = [
        np.mean([(r - r.mean()) / r.std() for r in scores[classes == c]], axis=0) for c in (1, 3, 7)
    ]
    assert np.allclose(average_by_class(scores, classes), slow)
    labels = np.array([2, 0, 2, 0, 1])
    persons = average_by_person(scores, labels)
    assert np.allclose(persons[:, 0], scores[:, [1, 3]].mean(axis=1))
    assert np.allclose(persons[:, 1], scores[:, 4])


def test_people_are_shared_out_no_more_often_than_they_have_classes() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(8), 3)
    belief = 3.0 * (person[:, None] == np.arange(8)) + rng.normal(size=(24, 8))
    assert classes_for_each(*belief.shape) == 3
    shared = share_out(belief)
    assert np.allclose(shared.sum(axis=1), 1)
    assert np.all(shared.sum(axis=0) < 3.01)
    classes, people = assigned(belief)
    assert list(classes) == list(range(24))
    assert list(np.bincount(people)) == [3] * 8
    assert np.mean(people == person) > 0.8
    one = np.array([[2.0, 1.9], [2.0, 0.0]])
    assert [list(found) for found in assigned(one)] == [[0, 1], [1, 0]], "one to one, as before"


def test_classes_that_point_the_same_way_are_merged() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(6), 4)
    vectors = rng.normal(size=(6, 40))[person] + 0.3 * rng.normal(size=(24, 40))
    groups = merged_classes(vectors * rng.uniform(0.5, 2, size=(24, 1)), 6)
    assert len(np.unique(groups)) == 6
    assert np.array_equal(groups[:, None] == groups, person[:, None] == person)
    assert list(merged_classes(vectors[:5], 6)) == [0, 1, 2, 3, 4], "no more than people"
