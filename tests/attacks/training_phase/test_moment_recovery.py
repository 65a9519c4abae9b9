"""Unpaired moments break a plain key, and nothing can be read out of noise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, KeyStream, find_scheme
from xnn.types import TokenShape

N, D = 10, 16
SHAPE = TokenShape(N, D)
Faces = Callable[..., OwnFaces]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def faces(people: int, shots: int, seed: int) -> OwnFaces:
    """Features with positions, people and shades in them; the recogniser sees the person."""
    rng = np.random.default_rng(1234)  # of the extractor, the same for everybody
    means = rng.normal(size=(N, D))
    shared = rng.normal(size=(8, N, D)) * 0.6
    own = rng.normal(size=(N, D, D)) / np.sqrt(D)
    own *= np.exp(0.7 * rng.normal(size=(N, D)))[:, None]
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), shots)
    person = (rng.exponential(size=(people, 8)) - 1.0)[labels]
    local = (rng.normal(size=(len(labels), N, 1, D)) @ own)[:, :, 0]
    tokens = (means + np.tensordot(person, shared, 1) + 0.4 * local) * np.linspace(0.3, 3.0, D)
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=(person + 0.1 * rng.normal(size=person.shape)).astype(np.float32),
        labels=labels,
    )


def observe(
    scheme: str = "paper", *, seed: int = 0, people: int = 60, shots: int = 6
) -> tuple[Observation, OwnFaces]:
    """What crossed the border, and the truth about the records."""
    victims = faces(people, shots + 1, seed + 100)
    clean = np.arange(len(victims)) % (shots + 1) == 0
    truth = victims.at(np.flatnonzero(~clean))
    obfuscator = find_scheme(scheme).bind(SHAPE, KeyStream(bytes([seed]) * 32))
    records = obfuscator.obfuscate(torch.from_numpy(truth.tokens)).numpy()
    observation = Observation(
        scheme=scheme,
        shape=SHAPE,
        knowledge=Knowledge(),
        records=records,
        labels=None,
        probes=np.arange(0, len(records), 3),
        gallery=victims.at(np.flatnonzero(clean)),
        public=faces(80, 5, seed + 200),
    )
    return observation, truth


def found_again(features: np.ndarray, truth: np.ndarray) -> float:
    """Share of probes nearest to their own features, centred."""
    a, b = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(axis=0) for x in (features, truth))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float(np.mean((a @ b.T).argmax(axis=1) == np.arange(len(a))))


@pytest.mark.parametrize("seed", range(3))
def test_it_breaks_the_paper_scheme(tmp_path: Path, seed: int) -> None:
    observation, truth = observe(seed=seed)
    answer = MomentRecovery().run(observation, seed=seed, work_dir=tmp_path)
    order = KeyStream(bytes([seed]) * 32).permutation(N)
    assert answer.key is not None
    assert answer.features is not None
    assert answer.scores is not None
    assert np.mean(answer.key.place == order) >= 0.95
    probes = truth.at(observation.probes)
    assert found_again(answer.features, probes.tokens) > 0.95  # chance is 1 / 120
    # Nothing of this was there before the attack.
    assert found_again(observation.probe_records, probes.tokens) < 0.1
    rank_1 = np.mean(answer.scores.argmax(axis=1) == probes.labels)
    assert rank_1 > 0.8  # chance is 1 / 60


def test_it_works_on_plain_records(tmp_path: Path) -> None:
    observation, truth = observe("plain")
    answer = MomentRecovery().run(observation, seed=0, work_dir=tmp_path)
    assert answer.key is not None
    assert answer.features is not None
    assert np.array_equal(answer.key.place, np.arange(N))
    assert found_again(answer.features, truth.at(observation.probes).tokens) > 0.95


def test_noise_tells_it_nothing(tmp_path: Path) -> None:
    rates = []
    for seed in range(3):
        observation, truth = observe(seed=seed)
        noise = np.random.default_rng(seed).normal(size=observation.records.shape)
        blind = replace(observation, records=noise.astype(np.float32))
        answer = MomentRecovery().run(blind, seed=0, work_dir=tmp_path)
        assert answer.scores is not None
        rates.append(np.mean(answer.scores.argmax(axis=1) == truth.at(blind.probes).labels))
    assert np.mean(rates) < 4 / 60  # chance is 1 / 60, 360 probes


def test_the_seed_decides_and_nothing_is_changed(tmp_path: Path) -> None:
    observation, _ = observe()
    records, public = observation.records.copy(), observation.public.tokens.copy()
    state = torch.get_rng_state()
    first, second = (MomentRecovery().run(observation, seed=1, work_dir=tmp_path) for _ in range(2))
    assert first.scores is not None
    assert second.scores is not None
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(observation.records, records)
    assert np.array_equal(observation.public.tokens, public)
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(tmp_path.iterdir())


def test_it_says_how_much_it_needs(tmp_path: Path) -> None:
    observation, _ = observe()
    for few in (
        replace(observation, records=observation.records[:3], probes=np.arange(3)),
        replace(observation, public=observation.public.at(np.arange(5))),
    ):
        with pytest.raises(InsufficientDataError, match="at least"):
            MomentRecovery().run(few, seed=0, work_dir=tmp_path)


def test_it_refuses_what_it_cannot_try() -> None:
    observation, _ = observe()
    attack = MomentRecovery()
    card = SCHEMES["paper"].card
    assert attack.refusal(card, observation) is None
    assert attack.refusal(None, observation) is not None
    assert attack.refusal(replace(card, fresh_order=True), observation) is not None
    assert attack.refusal(replace(card, reads="crops"), observation) is not None
    secret = replace(observation, knowledge=Knowledge(extractor="secret"))
    assert attack.refusal(card, secret) is not None
    alone = replace(observation, public=observation.public.at(np.arange(0)))
    assert attack.refusal(card, alone) is not None
