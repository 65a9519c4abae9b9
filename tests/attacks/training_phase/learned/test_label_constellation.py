"""The constellation of classes against made-up people."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.observation import Observation
from xnn.attacks.statistics.bred_matching import BreedingSettings, bred_matching
from xnn.attacks.training_phase.label_constellation import (
    ConstellationSettings,
    LabelConstellation,
)
from xnn.errors import InsufficientDataError
from xnn.schemes import divide_classes

World = Callable[..., tuple[Observation, np.ndarray]]

BRIEF = ConstellationSettings(
    breeding=BreedingSettings(islands=2, random_climbs=20, bred_climbs=30, last_climbs=20),
    simulated_keys=1,
)


def linked(observation: Observation, truth: np.ndarray, tmp_path: Path, seed: int = 0) -> float:
    answer = LabelConstellation(BRIEF).run(observation, seed=seed, work_dir=tmp_path)
    assert answer.scores is not None
    assert answer.scores.shape == (len(observation.probes), len(observation.gallery))
    return float(np.mean(answer.scores.argmax(axis=1) == truth))


@pytest.mark.parametrize("scheme", ["plain", "paper"])
def test_classes_find_their_people(world: World, scheme: str, tmp_path: Path) -> None:
    rates = [linked(*world(scheme, seed=seed), tmp_path, seed) for seed in range(2)]
    assert np.mean(rates) > 0.5  # chance is 1 / 24


def test_classes_of_one_person_are_put_together_first(world: World, tmp_path: Path) -> None:
    rates = []
    for seed in range(2):
        observation, truth = world("paper", seed=seed)
        order = np.random.default_rng(seed).permutation(len(observation.labels))
        parts = replace(observation, labels=divide_classes(observation.labels, 4, order))
        answer = LabelConstellation(BRIEF).run(parts, seed=seed, work_dir=tmp_path)
        assert answer.classes is not None
        assert answer.classes.shape == (2 * 24, 24)
        assert answer.details["groups"] <= 24
        rates.append(np.mean(answer.scores.argmax(axis=1) == truth))
    assert np.mean(rates) > 0.3  # chance is 1 / 24


def test_noise_gives_chance(world: World, tmp_path: Path) -> None:
    rates = [linked(*world(noise=True, seed=seed), tmp_path, seed) for seed in range(3)]
    assert np.mean(rates) < 4 / 24


def test_a_gallery_of_more_people_than_classes(world: World, tmp_path: Path) -> None:
    observation, truth = world("paper")
    few = observation.labels < 22
    kept = np.flatnonzero(few)
    asked = few[observation.probes]
    part = replace(
        observation,
        records=observation.records[kept],
        labels=observation.labels[kept],
        probes=np.arange(len(kept)),
    )
    assert linked(part, truth[asked], tmp_path) > 0.4


def test_it_is_repeatable_and_changes_nothing(world: World, tmp_path: Path) -> None:
    observation, _ = world("paper")
    records, state = observation.records.copy(), torch.get_rng_state()
    first, again = (
        LabelConstellation(BRIEF).run(observation, seed=3, work_dir=tmp_path) for _ in range(2)
    )
    assert np.array_equal(first.scores, again.scores)
    assert np.array_equal(observation.records, records)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_it_needs_class_numbers_and_enough_of_them(world: World, tmp_path: Path) -> None:
    observation, _ = world()
    nameless = replace(observation, labels=None)
    assert "class numbers" in str(LabelConstellation().refusal(None, nameless))
    assert LabelConstellation().refusal(None, observation) is None
    with pytest.raises(InsufficientDataError, match="grant labels"):
        LabelConstellation().run(nameless, seed=0, work_dir=tmp_path)
    few = replace(observation, labels=observation.labels % 5)
    with pytest.raises(InsufficientDataError, match="at least 8"):
        LabelConstellation().run(few, seed=0, work_dir=tmp_path)


def test_the_search_finds_what_trying_everything_finds() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = (x + x.T for x in rng.normal(size=(2, 6, 6)))
        np.fill_diagonal(a, 0)
        np.fill_diagonal(b, 0)
        best = max(float(np.sum(a * b[np.ix_(p, p)])) for p in permutations(range(6)))
        settings = BreedingSettings(islands=2, random_climbs=15, bred_climbs=15, last_climbs=10)
        found = bred_matching(a[None], b[None], settings=settings, rng=rng)[0]
        assert found.objective == pytest.approx(best)
        place = found.place
        assert float(np.sum(a * b[np.ix_(place, place)])) == pytest.approx(best)
