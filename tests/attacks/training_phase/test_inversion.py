"""Faces are rebuilt from what another attack recovered, and noise shows nobody."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack, AttackCard
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation
from xnn.attacks.training_phase.inversion import Inversion
from xnn.attacks.training_phase.known_plaintext import KnownPlaintext
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics.reconstruction import ssim
from xnn.schemes import SCHEMES, SchemeCard

Play = Callable[..., Any]


@final
class ReadAsTheyAre(Attack):
    """Takes records for features: right on `plain`, and nowhere else."""

    card = AttackCard(name="as-they-are", phase="training", goal="linkage", summary="", source="")

    def __init__(self, refuses: str | None = None, *, silent: bool = False) -> None:
        self._refuses = refuses
        self._silent = silent

    def refusal(self, scheme: SchemeCard | None, observation: Observation) -> str | None:
        return self._refuses

    def run(self, observation: Observation, *, seed: int, work_dir: Path) -> Answer:
        return Answer(features=None if self._silent else observation.probe_records)


def likeness(scene: Any, answer: Answer) -> float:
    """SSIM of the pictures above that of the attacker's mean photograph."""
    true = scene.probes.crops
    mean = scene.observation.public.crops.mean(axis=0).round().astype(np.uint8)
    floor = ssim(np.broadcast_to(mean, true.shape), true).mean()
    return float(ssim(answer.pictures, true).mean() - floor)


def test_it_rebuilds_faces_from_plain_records(play: Play, tmp_path: Path) -> None:
    scene = play("plain")
    answer = Inversion([ReadAsTheyAre()]).run(scene.observation, seed=0, work_dir=tmp_path)
    assert likeness(scene, answer) > 0.1
    assert answer.details["wrapped"] == "as-they-are"
    own = [int(np.argmax(ssim(np.broadcast_to(p, c.shape), c))) for p, c in pairs_of(scene, answer)]
    assert np.mean(np.array(own) == 0) > 0.8, "a picture is most like its own photograph"


def pairs_of(scene: Any, answer: Answer) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each picture with its own photograph first, and those of other people."""
    crops, labels = scene.probes.crops, scene.probes.labels
    return [
        (picture, np.concatenate([crops[[i]], crops[labels != labels[i]][::4]]))
        for i, picture in enumerate(answer.pictures)
        if i % 5 == 0
    ]


def test_a_recovered_key_rebuilds_as_well_as_no_key(play: Play, tmp_path: Path) -> None:
    plain, paper = play("plain"), play("paper", pairs=5)
    reference = Inversion([ReadAsTheyAre()]).run(plain.observation, seed=0, work_dir=tmp_path)
    attack = Inversion([KnownPlaintext()])
    broken = attack.run(paper.observation, seed=0, work_dir=tmp_path)
    assert likeness(paper, broken) > 0.9 * likeness(plain, reference)
    assert broken.key is not None
    assert broken.scores is not None
    before = Inversion([ReadAsTheyAre()]).run(paper.observation, seed=0, work_dir=tmp_path)
    assert likeness(paper, before) < 0.2 * likeness(plain, reference), "not before the attack"


def test_no_pair_is_needed(play: Play, tmp_path: Path) -> None:
    scene = play("paper", people=100)
    answer = Inversion([MomentRecovery()]).run(scene.observation, seed=0, work_dir=tmp_path)
    assert likeness(scene, answer) > 0.05


def test_noise_shows_nobody(play: Play, tmp_path: Path) -> None:
    scene = play("plain")
    noise = np.random.default_rng(0).normal(size=scene.observation.records.shape)
    blind = replace(scene.observation, records=noise.astype(np.float32))
    answer = Inversion([ReadAsTheyAre()]).run(blind, seed=0, work_dir=tmp_path)
    assert likeness(scene, answer) < 0.01


def test_the_first_attack_that_does_not_refuse_is_run(play: Play, tmp_path: Path) -> None:
    scene = play("plain")
    attack = Inversion([ReadAsTheyAre("no pairs"), ReadAsTheyAre()])
    assert attack.refusal(SCHEMES["plain"].card, scene.observation) is None
    assert attack.run(scene.observation, seed=0, work_dir=tmp_path).pictures is not None
    none = Inversion([ReadAsTheyAre("no pairs"), ReadAsTheyAre("no key")])
    assert none.refusal(SCHEMES["plain"].card, scene.observation) == "no pairs"
    with pytest.raises(ConfigError, match="every attack that inversion wraps refuses"):
        none.run(scene.observation, seed=0, work_dir=tmp_path)


def test_it_says_when_it_cannot_be_tried(play: Play, tmp_path: Path) -> None:
    observation = play("plain").observation
    card, attack = SCHEMES["plain"].card, Inversion([ReadAsTheyAre()])
    alone = replace(observation, public=observation.public.at(np.arange(0)))
    assert "has none" in str(attack.refusal(card, alone))
    objects = replace(observation, knowledge=Knowledge(public_faces="no_faces"))
    assert "show no faces" in str(attack.refusal(card, objects))
    few = replace(observation, public=observation.public.at(np.arange(5)))
    with pytest.raises(InsufficientDataError, match="decoding needs at least 8"):
        attack.run(few, seed=0, work_dir=tmp_path)
    with pytest.raises(ConfigError, match="wraps no attack"):
        Inversion([])
    with pytest.raises(ConfigError, match="answers none"):
        Inversion([ReadAsTheyAre(silent=True)]).run(observation, seed=0, work_dir=tmp_path)


def test_the_same_seed_rebuilds_the_same_pictures(play: Play, tmp_path: Path) -> None:
    observation = play("plain").observation
    records = observation.records.copy()
    first, second = (
        Inversion([ReadAsTheyAre()]).run(observation, seed=3, work_dir=tmp_path) for _ in range(2)
    )
    assert np.array_equal(first.pictures, second.pictures)
    assert np.array_equal(observation.records, records)
