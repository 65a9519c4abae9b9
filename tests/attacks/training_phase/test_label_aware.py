"""The key is recovered with class numbers; the model behind it equals the slow one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnn.attacks.statistics.class_gaussian import ClassGaussian, Contrasts
from xnn.attacks.statistics.joint_gaussian import JointGaussian
from xnn.attacks.training_phase.label_aware import LabelAware
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES

Play = Callable[..., Any]


def test_it_breaks_the_paper_scheme(play: Play, tmp_path: Path) -> None:
    with_labels, without, rates = [], [], []
    for seed in range(3):
        scene = play("paper", seed=seed, people=30, shots=6, labels=True)
        answer = LabelAware().run(scene.observation, seed=0, work_dir=tmp_path)
        blind = MomentRecovery().run(scene.observation, seed=0, work_dir=tmp_path)
        assert np.array_equal(answer.key.place, blind.key.place)
        with_labels.append(scene.error(answer.features))
        without.append(scene.error(blind.features))
        rates.append(scene.rank_1(answer.scores))
    # Made-up people are Gaussian, so class numbers add nothing; on real features they do.
    assert np.mean(with_labels) < 1.25 * np.mean(without)
    assert np.mean(rates) > 0.4  # chance is 1 / 30


def test_it_works_on_plain_records(play: Play, tmp_path: Path) -> None:
    scene = play("plain", people=30, shots=6, labels=True)
    answer = LabelAware().run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.found_again(answer.features) > 0.8
    assert scene.rank_1(answer.scores) > 0.4


def test_noise_tells_it_nothing(play: Play, tmp_path: Path) -> None:
    rates = []
    for seed in range(3):
        scene = play("paper", seed=seed, people=30, labels=True)
        noise = np.random.default_rng(seed).normal(size=scene.observation.records.shape)
        blind = replace(scene.observation, records=noise.astype(np.float32))
        answer = LabelAware().run(blind, seed=0, work_dir=tmp_path)
        rates.append(scene.rank_1(answer.scores))
    assert np.mean(rates) < 4 / 30  # chance is 1 / 30, 225 probes


def test_it_is_repeatable_and_refuses(play: Play, tmp_path: Path) -> None:
    observation = play("paper", labels=True).observation
    state = torch.get_rng_state()
    one, two = (LabelAware().run(observation, seed=1, work_dir=tmp_path) for _ in range(2))
    assert np.array_equal(one.scores, two.scores)
    assert torch.equal(state, torch.get_rng_state())
    card, attack = SCHEMES["paper"].card, LabelAware()
    assert attack.refusal(card, observation) is None
    assert attack.refusal(card, replace(observation, labels=None)) is not None
    alone = replace(observation, labels=np.arange(len(observation.records)))
    assert "two records" in attack.refusal(card, alone)
    strangers = observation.public.at(np.arange(0, 40 * 5, 5))
    assert "20 people" in attack.refusal(card, replace(observation, public=strangers))
    assert attack.refusal(replace(card, fresh_order=True), observation) is not None
    with pytest.raises(InsufficientDataError):
        attack.run(replace(observation, labels=None), seed=0, work_dir=tmp_path)


def test_contrasts_are_independent_rows() -> None:
    rng = np.random.default_rng(0)
    person, picture = rng.normal(size=(2000, 2, 3)), rng.normal(size=(8000, 2, 3))
    labels = np.repeat(np.arange(2000), 4)
    tokens = (5 + 2 * person[labels] + 0.5 * picture).astype(np.float32)
    rows = Contrasts.of(tokens, labels)
    assert (len(rows.means), len(rows.rest)) == (2000, 6000)
    assert rows.means[0] == pytest.approx(2 * tokens[:4].mean(axis=0), rel=1e-4)
    assert np.var(rows.means) == pytest.approx(4 * 4 + 0.25, rel=0.1)  # m B + W
    assert np.var(rows.rest) == pytest.approx(0.25, rel=0.1)
    assert np.square(rows.rows()).sum() == pytest.approx(np.square(tokens).sum(), rel=1e-3)
    with pytest.raises(InsufficientDataError):
        Contrasts.of(tokens[:3], np.arange(3))


def test_the_model_weighs_rows_as_the_slow_one_does() -> None:
    rng = np.random.default_rng(0)
    n, d = 8, 12
    ways = rng.normal(size=(3, n * d, n * d)) / 10
    whole, between, within = (
        JointGaussian.fit((rng.normal(size=(400, n * d)) @ way).reshape(-1, n, d).astype("f4"))
        for way in ways
    )
    mean, sizes = rng.normal(size=(n, d)), np.array([4, 9])
    model = ClassGaussian(whole, between, within, mean, sizes, 3)
    rows = rng.normal(size=(5, n, d)).astype(np.float32)
    energy = np.einsum("bnd,bnd->b", rows, model.precision_times(rows))
    unit = np.eye(n * d, dtype=np.float32).reshape(-1, n, d)
    for i, row in enumerate(rows):
        part = between if i < 2 else within
        dense = part.precision_times(unit).reshape(n * d, n * d)
        flat = (row @ np.linalg.inv(model.into) @ part.into).reshape(-1)
        assert energy[i] == pytest.approx(flat @ dense @ flat, rel=1e-3)
    assert model.means[:2] == pytest.approx(
        np.stack([2 * mean @ model.into, 3 * mean @ model.into]), rel=1e-3, abs=1e-4
    )
    assert not model.means[2:].any()
    assert (model.mean_curvature() > 0).all()
