"""Class anchors against made-up people, and class vectors against a rotation and noise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.observation import Observation
from xnn.attacks.statistics.class_vectors import class_vectors
from xnn.attacks.training_phase.class_anchors import AnchorSettings, ClassAnchors
from xnn.errors import InsufficientDataError
from xnn.schemes import divide_classes

World = Callable[..., tuple[Observation, np.ndarray]]


def linked(observation: Observation, truth: np.ndarray, tmp_path: Path) -> float:
    answer = ClassAnchors().run(observation, seed=0, work_dir=tmp_path)
    assert answer.scores is not None
    assert answer.scores.shape == (len(observation.probes), len(observation.gallery))
    return float(np.mean(answer.scores.argmax(axis=1) == truth))


@pytest.mark.parametrize("scheme", ["plain", "paper", "paper-fresh-order"])
def test_a_few_pairs_name_the_other_classes(world: World, scheme: str, tmp_path: Path) -> None:
    rates = [linked(*world(scheme, pairs=16, seed=seed), tmp_path) for seed in range(2)]
    assert np.mean(rates) > 0.5  # chance is 1 / 24
    before = [
        ClassAnchors(AnchorSettings(rounds=0))
        .run(world(scheme, pairs=16, seed=seed)[0], seed=0, work_dir=tmp_path)
        .classes
        for seed in range(2)
    ]
    assert all(belief is not None and belief.shape == (24, 24) for belief in before)


@pytest.mark.parametrize("scheme", ["plain", "paper"])
def test_people_with_several_classes(world: World, scheme: str, tmp_path: Path) -> None:
    rates = []
    for seed in range(2):
        observation, truth = world(scheme, pairs=16, seed=seed)
        order = np.random.default_rng(seed).permutation(len(observation.labels))
        parts = replace(observation, labels=divide_classes(observation.labels, 4, order))
        assert len(np.unique(parts.labels)) == 2 * 24
        rates.append(linked(parts, truth, tmp_path))
    assert np.mean(rates) > 0.4  # chance is 1 / 24


def test_noise_gives_no_more_than_the_known_classes(world: World, tmp_path: Path) -> None:
    observation, truth = world(noise=True, pairs=6)
    known = np.unique(observation.labels[np.setdiff1d(np.arange(192), observation.probes)])
    others = ~np.isin(observation.labels[observation.probes], known)
    answer = ClassAnchors().run(observation, seed=0, work_dir=tmp_path)
    hits = answer.scores.argmax(axis=1) == truth  # type: ignore[union-attr]
    assert np.mean(hits[others]) < 5 / 24


def test_it_is_repeatable_and_changes_nothing(world: World, tmp_path: Path) -> None:
    observation, _ = world("paper", pairs=12)
    records, state = observation.records.copy(), torch.get_rng_state()
    first, again = (ClassAnchors().run(observation, seed=s, work_dir=tmp_path) for s in (3, 3))
    assert np.array_equal(first.scores, again.scores)
    assert np.array_equal(observation.records, records)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_it_needs(world: World, tmp_path: Path) -> None:
    observation, _ = world(pairs=12)
    assert ClassAnchors().refusal(None, observation) is None
    assert "class numbers" in str(ClassAnchors().refusal(None, replace(observation, labels=None)))
    alone = replace(observation, pairs=None)
    assert "no pair" in str(ClassAnchors().refusal(None, alone))
    with pytest.raises(InsufficientDataError, match="grant both"):
        ClassAnchors().run(alone, seed=0, work_dir=tmp_path)
    with pytest.raises(InsufficientDataError, match="at least 4"):
        ClassAnchors().run(world(pairs=2)[0], seed=0, work_dir=tmp_path)


def test_class_vectors_do_not_change_under_an_affine_map() -> None:
    rng = np.random.default_rng(0)
    members = np.repeat(np.arange(10), 12)
    rows = 3 * rng.normal(size=(10, 6))[members] + rng.normal(size=(120, 6))
    moved = rows @ rng.normal(size=(6, 6)) + 5
    one, other = (class_vectors(x[:, None].astype(np.float32), members) for x in (rows, moved))
    assert np.allclose(one @ one.T, other @ other.T, atol=1e-2)
    with pytest.raises(InsufficientDataError, match="within one"):
        class_vectors(rows[:10, None].astype(np.float32), np.arange(10))


def test_class_vectors_shrink_what_noise_explains() -> None:
    rng = np.random.default_rng(1)
    members = np.repeat(np.arange(40), 10)
    looks = np.zeros((40, 20))
    looks[:, :2] = 2 * rng.normal(size=(40, 2))
    rows = looks[members] + rng.normal(size=(400, 20))
    likeness = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    found = class_vectors(rows[:, None].astype(np.float32), members)
    means = np.stack([rows[members == c].mean(axis=0) for c in range(40)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    truth = likeness @ likeness.T
    assert (
        np.corrcoef((found @ found.T).ravel(), truth.ravel())[0, 1]
        > np.corrcoef((means @ means.T).ravel(), truth.ravel())[0, 1]
    )
