"""Unpaired moments break a plain key, and nothing can be read out of noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES


@pytest.mark.parametrize("seed", range(3))
def test_it_breaks_the_paper_scheme(tmp_path: Path, owner, seed: int) -> None:
    upload = owner(seed=seed)
    answer = MomentRecovery().run(upload.observation, seed=seed, work_dir=tmp_path)
    assert answer.key is not None
    assert answer.features is not None
    assert np.mean(answer.key.place == upload.order) >= 0.95
    assert upload.found_again(answer.features) > 0.95  # chance is 1 / 120
    # Nothing of this was there before the attack.
    assert upload.found_again(upload.observation.probe_records) < 0.1
    assert upload.rank_1(answer.scores) > 0.8  # chance is 1 / 60


def test_few_records_are_enough(tmp_path: Path, owner) -> None:
    upload = owner(people=9, shots=1)
    answer = MomentRecovery().run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.key is not None
    assert answer.details["orders_tried"] > 1
    assert np.mean(answer.key.place == upload.order) >= 0.8


def test_it_works_on_plain_records(tmp_path: Path, owner) -> None:
    upload = owner("plain")
    answer = MomentRecovery().run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.key is not None
    assert np.array_equal(answer.key.place, np.arange(len(answer.key.place)))
    assert upload.found_again(answer.features) > 0.95


def test_several_keys_are_recovered_one_by_one(tmp_path: Path, owner) -> None:
    upload = owner(keys=2)
    answer = MomentRecovery().run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.key is not None
    assert np.mean(answer.key.place == upload.order) >= 0.95
    assert upload.found_again(answer.features) > 0.9


def test_noise_tells_it_nothing(tmp_path: Path, owner) -> None:
    rates = []
    for seed in range(3):
        upload = owner(seed=seed)
        noise = np.random.default_rng(seed).normal(size=upload.observation.records.shape)
        blind = replace(upload.observation, records=noise.astype(np.float32))
        answer = MomentRecovery().run(blind, seed=0, work_dir=tmp_path)
        rates.append(upload.rank_1(answer.scores))
    assert np.mean(rates) < 4 / 60  # chance is 1 / 60, 360 probes


def test_the_seed_decides_and_nothing_is_changed(tmp_path: Path, owner) -> None:
    observation = owner().observation
    records, public = observation.records.copy(), observation.public.tokens.copy()
    state = torch.get_rng_state()
    first, second = (
        MomentRecovery().run(observation, seed=1, work_dir=tmp_path).scores for _ in range(2)
    )
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    assert np.array_equal(observation.records, records)
    assert np.array_equal(observation.public.tokens, public)
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(tmp_path.iterdir())


def test_it_says_how_much_it_needs(tmp_path: Path, owner) -> None:
    observation = owner().observation
    for few in (
        replace(observation, records=observation.records[:3], probes=np.arange(3)),
        replace(observation, public=observation.public.at(np.arange(5))),
    ):
        with pytest.raises(InsufficientDataError, match="at least"):
            MomentRecovery().run(few, seed=0, work_dir=tmp_path)


def test_it_refuses_what_it_cannot_try(owner) -> None:
    observation = owner().observation
    attack = MomentRecovery()
    card = SCHEMES["paper"].card
    assert attack.refusal(card, observation) is None
    assert attack.refusal(None, observation) is not None
    assert attack.refusal(replace(card, fresh_order=True), observation) is not None
    assert attack.refusal(replace(card, reads="crops"), observation) is not None
    fewer = replace(observation, records=observation.records[:, :4])
    assert attack.refusal(card, fewer) is not None
    secret = replace(observation, knowledge=Knowledge(extractor="secret"))
    assert attack.refusal(card, secret) is not None
    alone = replace(observation, public=observation.public.at(np.arange(0)))
    assert attack.refusal(card, alone) is not None
