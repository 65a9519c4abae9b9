"""Expectation recognition on features made up to have subjects in them.

A record is the mean of its subject plus noise, under the statistics of a made-up extractor.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnn.attacks.answer import Answer
from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.own_keys import OwnKeys
from xnn.attacks.training_phase.expectation_recognition import (
    ExpectationRecognition,
    ExpectationSettings,
    FreshKeySource,
    whitened,
)
from xnn.errors import InsufficientDataError
from xnn.models.tail_config import TailConfig
from xnn.schemes import KeyStream, find_scheme
from xnn.training.presets import tiny
from xnn.types import TokenShape

N, D = 4, 16
SUSPECTS, PROBES = 20, 4
SETTINGS = ExpectationSettings(
    train=tiny(accelerator="cpu", epochs=6, batch_size=32, lr=1e-3, imprint_head=False),
    tail=TailConfig(n=N, d=D, tail_depth=1, heads=2),
    gallery_keys=2,
    val_share=0.2,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def faces(rng: np.random.Generator, subjects: int, shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Token features with a subject in each, and their labels."""
    labels = np.repeat(np.arange(subjects), shots)
    centres = rng.normal(size=(subjects, 1, D)) + 0.5 * rng.normal(size=(subjects, N, D))
    tokens = centres[labels] + 0.4 * rng.normal(size=(len(labels), N, D))
    scales = np.linspace(0.3, 3.0, D)  # channels of an extractor are not alike
    return ((tokens + 1.0) * scales).astype(np.float32), labels


def own(tokens: np.ndarray, labels: np.ndarray) -> OwnFaces:
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens,
        embeddings=tokens.mean(axis=1),
        labels=labels,
    )


def observe(scheme: str, seed: int = 0) -> tuple[Observation, np.ndarray]:
    """What crossed the border, and the truth about the probes."""
    rng = np.random.default_rng(seed)
    obfuscator = find_scheme(scheme).bind(TokenShape(N, D), KeyStream(bytes([seed]) * 32))
    tokens, labels = faces(rng, SUSPECTS, 1 + PROBES)
    clean = np.arange(len(labels)) % (1 + PROBES) == 0
    observation = Observation(
        scheme=scheme,
        shape=TokenShape(N, D),
        knowledge=Knowledge(),
        records=obfuscator.obfuscate(torch.from_numpy(tokens[~clean])).numpy(),
        labels=None,
        probes=np.arange(np.count_nonzero(~clean)),
        gallery=own(tokens[clean], labels[clean]),
        public=own(*faces(rng, 50, 8)),
    )
    return observation, labels[~clean]


def rank_1(result: Answer, truth: np.ndarray) -> float:
    assert result.scores is not None
    return float(np.mean(result.scores.argmax(axis=1) == truth))


def test_it_recognises_plain_records(tmp_path: Path) -> None:
    observation, truth = observe("plain")
    result = ExpectationRecognition(SETTINGS).run(observation, seed=0, work_dir=tmp_path / "run")
    assert result.scores.shape == (SUSPECTS * PROBES, SUSPECTS)
    assert rank_1(result, truth) > 0.5  # chance is 1 / 20
    assert result.details["steps"] == 6 * 10


def test_a_few_epochs_do_not_undo_a_key(tmp_path: Path) -> None:
    rates = []
    for seed in range(2):
        observation, truth = observe("paper", seed)
        work_dir = tmp_path / str(seed)
        result = ExpectationRecognition(SETTINGS).run(observation, seed=seed, work_dir=work_dir)
        rates.append(rank_1(result, truth))
    assert np.mean(rates) < 4 / SUSPECTS  # chance is 1 / 20


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    observation, _ = observe("paper")
    brief = ExpectationRecognition(replace(SETTINGS, train=replace(SETTINGS.train, epochs=2)))
    runs = {
        name: brief.run(observation, seed=seed, work_dir=tmp_path / name)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    }
    assert np.array_equal(runs["a"].scores, runs["b"].scores)
    assert not np.array_equal(runs["a"].scores, runs["c"].scores)


def test_it_reads_its_observation_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observation, _ = observe("paper")
    records, gallery = observation.records.copy(), observation.gallery.tokens.copy()
    drawn: list[str] = []
    monkeypatch.setattr(KeyStream, "fresh", lambda: drawn.append("fresh"))
    brief = ExpectationRecognition(replace(SETTINGS, train=replace(SETTINGS.train, epochs=2)))
    state = torch.get_rng_state()
    brief.run(observation, seed=0, work_dir=tmp_path / "deep" / "run")
    assert np.array_equal(observation.records, records)
    assert np.array_equal(observation.gallery.tokens, gallery)
    assert torch.equal(torch.get_rng_state(), state)
    assert not drawn, "keys of the attacker come from its seed, so that it can be repeated"
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}


def test_it_refuses_too_little(tmp_path: Path) -> None:
    observation, _ = observe("plain")
    alone = replace(observation, public=own(*faces(np.random.default_rng(0), 3, 1)))
    with pytest.raises(InsufficientDataError, match="3 people"):
        ExpectationRecognition(SETTINGS).run(alone, seed=0, work_dir=tmp_path / "run")


def test_each_batch_has_a_key_of_its_own() -> None:
    mine = own(*faces(np.random.default_rng(0), 5, 4))
    keys = OwnKeys("paper", mine, TokenShape(N, D), seed=0)
    source = FreshKeySource(mine, keys, whiten=False)
    first, second = (source.read(np.arange(6)) for _ in range(2))
    assert not np.allclose(first, second)
    # One key within a batch: the same records twice are the same.
    twice = source.read(np.array([3, 3]))
    assert np.array_equal(twice[0], twice[1])
    assert (source.num_classes, len(source)) == (5, 20)


def slowly_whitened(records: np.ndarray, sample: np.ndarray) -> np.ndarray:
    tokens = [token.astype(np.float64) for record in sample for token in record]
    mean = sum(tokens) / len(tokens)
    covariance = sum(np.outer(token - mean, token - mean) for token in tokens) / len(tokens)
    covariance = covariance + 0.01 * np.mean(np.diag(covariance)) * np.eye(D)
    values, vectors = np.linalg.eigh(covariance)
    root = sum(
        np.outer(vector, vector) / np.sqrt(value)
        for value, vector in zip(values, vectors.T, strict=True)
    )
    return np.array([[(token - mean) @ root for token in record] for record in records])


@given(seed=st.integers(0, 1000), num=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_whitening_equals_a_slow_one(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    sample, _ = faces(rng, 10, 2)
    records, _ = faces(rng, num, 1)
    got = whitened(records, sample)
    assert got.dtype == np.float32
    assert np.allclose(got, slowly_whitened(records, sample), atol=1e-3)


def test_whitening_takes_back_all_of_a_matrix_but_a_rotation() -> None:
    tokens, _ = faces(np.random.default_rng(0), 30, 4)
    scheme = find_scheme("paper-matrix-only").bind(TokenShape(N, D), KeyStream(bytes(32)))
    records = scheme.obfuscate(torch.from_numpy(tokens)).numpy()
    rows = whitened(tokens, tokens).reshape(-1, D)
    keyed = whitened(records, records).reshape(-1, D)
    # Not shrunk away: directions above 1 % of the mean variance; their angles stay the same.
    cosines, keyed_cosines = (
        np.corrcoef(x[:40] @ x[:40].T, rowvar=True)[np.triu_indices(40, 1)] for x in (rows, keyed)
    )
    assert np.corrcoef(cosines, keyed_cosines)[0, 1] > 0.8
    raw = np.corrcoef(records.reshape(-1, D)[:40] @ records.reshape(-1, D)[:40].T)
    assert np.corrcoef(cosines, raw[np.triu_indices(40, 1)])[0, 1] < 0.7
