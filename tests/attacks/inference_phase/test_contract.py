"""What every attack on the inference phase owes: a control, chance on noise, the limit kept."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnn.attacks.base import Attack
from xnn.attacks.inference_phase.attribute_heads import AttributeHeads
from xnn.attacks.inference_phase.distillation import DistillationSettings
from xnn.attacks.inference_phase.distilled_linkage import DistilledLinkage, LinkageSettings
from xnn.attacks.inference_phase.moment_map import MomentMap
from xnn.attacks.inference_phase.noise_filter import NoiseFilter
from xnn.attacks.inference_phase.noisy_gallery import NoisyGallery
from xnn.attacks.inference_phase.query_averaging import AveragingSettings, QueryAveraging
from xnn.attacks.inference_phase.ridge_denoiser import DenoiserSettings, RidgeDenoiser
from xnn.attacks.inference_phase.tail_from_pretrained import (
    PretrainedSettings,
    TailFromPretrained,
)
from xnn.attacks.inference_phase.tail_from_scratch import (
    ScratchSettings,
    TailFromScratch,
    paper_settings,
)
from xnn.attacks.inference_phase.z_inversion import InversionSettings, ZInversion
from xnn.attacks.statistics.embedding_reader import ReaderSettings
from xnn.attacks.suite import ATTACKS
from xnn.errors import InsufficientDataError
from xnn.models.tail_config import TailConfig
from xnn.training.presets import adamw_tail, tiny

Play = Callable[..., Any]
CHANCE = 1 / 20


def small_tail(n: int, d: int) -> TailConfig:
    return adamw_tail(n, d, token_dropout=0.2)


READER = ReaderSettings(network_epochs=5, components=64, hidden=32)
SCRATCH = ScratchSettings(train=tiny(epochs=2, batch_size=32), tail=small_tail)
PRETRAINED = PretrainedSettings(
    pretraining=DistillationSettings(epochs=4),
    train=tiny(epochs=2, batch_size=32, lr=1e-3),
)


@dataclass(frozen=True)
class Case:
    """An attack at a strength that a test has time for."""

    attack: Attack
    needs_queries: bool = True
    on_plain: float = 0.6
    """Rank-1 it must reach on clean features."""


CASES = {
    case.attack.card.name: case
    for case in (
        Case(TailFromScratch(SCRATCH)),
        Case(DistilledLinkage(LinkageSettings(reader=READER))),
        Case(RidgeDenoiser(DenoiserSettings(queries=50))),
        Case(MomentMap(), needs_queries=False),
        Case(NoiseFilter(), needs_queries=False),
        Case(TailFromPretrained(PRETRAINED)),
        Case(NoisyGallery()),
        Case(QueryAveraging(AveragingSettings(repeats=2, reader=READER))),
        Case(AttributeHeads(), on_plain=0.2),
        Case(ZInversion(InversionSettings(components=30))),
    )
}


@pytest.mark.parametrize("name", CASES)
def test_it_succeeds_on_clean_features(play: Play, tmp_path: Path, name: str) -> None:
    scene = play("clean")
    case = CASES[name]
    assert case.attack.refusal(None, scene.observation) is None
    answer = case.attack.run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > case.on_plain  # chance is 1 / 20
    assert sum(scene.asked) == answer.details["queries"]
    assert (sum(scene.asked) > 0) == case.needs_queries


@pytest.mark.parametrize("name", CASES)
def test_it_gets_chance_from_records_without_a_face(play: Play, tmp_path: Path, name: str) -> None:
    rates = []
    for seed in range(3):
        scene = play("iid", seed=seed)
        answer = CASES[name].attack.run(scene.observation, seed=0, work_dir=tmp_path / str(seed))
        rates.append(scene.rank_1(answer.scores))
    assert np.mean(rates) < CHANCE + 0.06  # 300 probes: three standard errors are 0.04


@pytest.mark.parametrize("name", CASES)
def test_it_is_repeatable_and_changes_nothing(play: Play, tmp_path: Path, name: str) -> None:
    before = play("gaussian")
    arrays = {
        f.name: value.copy()
        for f in fields(before.observation)
        if isinstance(value := getattr(before.observation, f.name), np.ndarray)
    }
    state = torch.get_rng_state()
    found = []
    for run in ("one", "two"):
        scene = before if run == "one" else play("gaussian")
        answer = CASES[name].attack.run(scene.observation, seed=3, work_dir=tmp_path / run)
        found.append(answer.scores)
    assert np.array_equal(*found)
    assert torch.equal(state, torch.get_rng_state())
    for field_name, value in arrays.items():
        assert np.array_equal(getattr(before.observation, field_name), value)


@pytest.mark.parametrize("name", CASES)
def test_it_keeps_to_the_queries_it_was_granted(play: Play, tmp_path: Path, name: str) -> None:
    scene = play("gaussian", queries=60)
    CASES[name].attack.run(scene.observation, seed=0, work_dir=tmp_path)
    assert sum(scene.asked) <= 60  # the oracle would have refused


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.needs_queries])
def test_it_refuses_without_a_front_end(play: Play, tmp_path: Path, name: str) -> None:
    scene = play("clean", queries=0)
    attack = CASES[name].attack
    assert "query" in (attack.refusal(None, scene.observation) or "")
    with pytest.raises(InsufficientDataError):
        attack.run(scene.observation, seed=0, work_dir=tmp_path)


def test_no_query_means_no_query(play: Play, tmp_path: Path) -> None:
    scene = play("gaussian", queries=0)
    assert scene.observation.oracle is None
    answer = MomentMap().run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 3 * CHANCE


def test_the_papers_own_settings_train_too(play: Play, tmp_path: Path) -> None:
    scene = play("clean")
    settings = replace(paper_settings(epochs=4, tail_depth=1), queries=200)
    answer = TailFromScratch(settings).run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 2 * CHANCE
    assert sum(scene.asked) == 200 + 20


def test_each_budget_of_the_denoiser_has_a_name_of_its_own() -> None:
    cards = [RidgeDenoiser(DenoiserSettings(queries=q)).card for q in (10, 300)]
    assert [card.name for card in cards] == ["ridge-denoiser-10", "ridge-denoiser"]
    assert ["from 10 queries" in card.summary for card in cards] == [True, False]
    for name, attack in ATTACKS.items():
        if attack.card.phase == "inference":
            assert attack.card.name == name
