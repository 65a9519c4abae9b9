"""What a trained tail gives away: who was trained on, and what its weights hold of the key."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.statistics.bred_matching import BreedingSettings
from xnn.attacks.training_phase.membership import (
    Membership,
    MembershipSettings,
    margin,
    nearest_record,
)
from xnn.attacks.training_phase.tail_inversion import TailInversion, absorbed
from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics import roc_auc
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.schemes import SCHEMES, KeyStream, divide_classes, find_scheme
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.presets import adamw_tail, tiny
from xnn.training.source import ArraySource

Play = Callable[..., object]
BRIEF = MembershipSettings(shadows=2, epochs=2)
MATCHING = BreedingSettings(islands=2, random_climbs=20, bred_climbs=30, last_climbs=20)
MEMBERS = 40


def trained(records: np.ndarray, labels: np.ndarray, run_dir: Path, epochs: int = 4) -> Tail:
    """The cloud: a tail trained on the records."""
    config = tiny(accelerator="cpu", epochs=epochs, imprint_head=True)
    tail, head = new_tail_and_head(adamw_tail(*records.shape[1:]), int(labels.max()) + 1, config)
    fit(ArraySource(records, labels), None, tail, head, config, run_dir)
    return tail


@pytest.fixture
def played(play: Play, tmp_path: Path) -> Callable[..., tuple[Observation, np.ndarray, object]]:
    """Return an observation with tail and candidates, which of these are members, and the scene."""

    def scene(
        scheme: str = "paper", seed: int = 0, people: int = 16
    ) -> tuple[Observation, np.ndarray, object]:
        one = play(scheme, seed=seed, people=people, labels=True)
        strangers = play(scheme, seed=seed + 60, people=16).probes
        names = ("crops", "tokens", "embeddings", "labels")
        candidates = OwnFaces(
            **{
                n: np.concatenate([getattr(one.probes, n)[:MEMBERS], getattr(strangers, n)])
                for n in names
            }
        )
        held = one.observation
        tail = trained(held.records, held.labels, tmp_path / f"cloud-{scheme}-{seed}")
        members = np.arange(len(candidates)) < MEMBERS
        return replace(held, tail=tail, candidates=candidates), members, one

    return scene


def owners_key(scheme: str, held: Observation, seed: int = 0):
    """As the fixture `play` draws it."""
    return find_scheme(scheme).bind(held.shape, KeyStream(bytes([seed + 1]) * 32))


@pytest.mark.parametrize("statistic", ["margin", "nearest-record"])
@pytest.mark.parametrize("scheme", ["plain", "paper"])
def test_members_are_told_with_the_key(
    scheme: str, statistic: str, played: Callable[..., tuple], tmp_path: Path
) -> None:
    held, members, _ = played(scheme)
    held = replace(held, key=owners_key(scheme, held))
    answer = Membership(statistic, BRIEF).run(held, seed=0, work_dir=tmp_path / "run")
    assert answer.membership is not None
    assert answer.details["records_of_candidates"] == "key"
    auc = roc_auc(answer.membership[members], answer.membership[~members])
    assert auc > (0.7 if statistic == "margin" else 0.99)


def test_members_are_told_with_a_recovered_key(
    played: Callable[..., tuple], tmp_path: Path
) -> None:
    held, members, _ = played()
    answer = Membership("nearest-record", BRIEF).run(held, seed=0, work_dir=tmp_path / "run")
    assert answer.membership is not None
    assert answer.details["records_of_candidates"] == "recovered key"
    assert roc_auc(answer.membership[members], answer.membership[~members]) > 0.7


def test_queries_do_as_well_as_the_key(played: Callable[..., tuple], tmp_path: Path) -> None:
    held, _, _ = played()
    asked: list[int] = []

    def oracle(crops: np.ndarray) -> np.ndarray:
        asked.append(len(crops))
        tokens = torch.from_numpy(held.candidates.tokens)
        return owners_key("paper", held).obfuscate(tokens).numpy()

    count = len(held.candidates)
    able = replace(held, oracle=oracle, knowledge=replace(held.knowledge, chosen_inputs=count))
    known = replace(held, key=owners_key("paper", held))
    first, second = (
        Membership("margin", BRIEF).run(h, seed=0, work_dir=tmp_path / str(i)).membership
        for i, h in enumerate((able, known))
    )
    assert asked == [count]
    assert np.allclose(first, second)


@pytest.mark.parametrize("statistic", ["margin", "nearest-record"])
def test_noise_has_no_members(statistic: str, played: Callable[..., tuple], tmp_path: Path) -> None:
    aucs = []
    for seed in range(2):
        held, members, _ = played(seed=seed)
        noise = np.random.default_rng(seed).normal(size=held.records.shape).astype(np.float32)
        blind = replace(held, records=noise, tail=trained(noise, held.labels, tmp_path / str(seed)))
        answer = Membership(statistic, BRIEF).run(blind, seed=0, work_dir=tmp_path / f"r{seed}")
        aucs.append(roc_auc(answer.membership[members], answer.membership[~members]))
    assert 0.3 < np.mean(aucs) < 0.7


def test_the_seed_decides_and_nothing_is_changed(
    played: Callable[..., tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _, _ = played()
    before = {name: weight.clone() for name, weight in held.tail.state_dict().items()}
    monkeypatch.setattr(KeyStream, "fresh", lambda: pytest.fail("a key that is not repeatable"))
    state = torch.get_rng_state()
    for attack in (Membership("margin", BRIEF), TailInversion(MATCHING)):
        name = attack.card.name
        first, second = (
            attack.run(held, seed=1, work_dir=tmp_path / f"{name}-{i}") for i in range(2)
        )
        for part in ("scores", "membership", "classes"):
            assert np.array_equal(getattr(first, part), getattr(second, part))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[n], weight) for n, weight in held.tail.state_dict().items())


def slow_margin(tail: Tail, records: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> list:
    def embedding(record: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return tail(torch.from_numpy(record[None]))[0].double().numpy()

    known = [embedding(r) / np.linalg.norm(embedding(r)) for r in records]
    centres = [
        np.sum([k for k, own in zip(known, labels, strict=True) if own == label], axis=0)
        for label in sorted(set(labels))
    ]
    odds = []
    for record in asked:
        e = embedding(record)
        logits = [32 * e @ c / np.linalg.norm(e) / np.linalg.norm(c) for c in centres]
        best = int(np.argmax(logits))
        p = np.exp(logits[best]) / sum(np.exp(x) for x in logits)
        odds.append(np.log(p / (1 - p)))
    return odds


def test_statistics_equal_slow_ones(played: Callable[..., tuple]) -> None:
    held, _, _ = played("plain")
    records, labels = held.records[:12], held.labels[:12]
    asked = held.candidates.tokens[-5:]
    got = margin(held.tail, records, labels, asked)
    assert np.allclose(got, slow_margin(held.tail, records, labels, asked), rtol=1e-3, atol=1e-2)
    near = nearest_record(held.tail, records, labels, np.concatenate([records[:1], asked]))
    assert near[0] > near[1:].max()


def test_refusals(played: Callable[..., tuple], play: Play, tmp_path: Path) -> None:
    held, _, _ = played()
    card = SCHEMES["paper"].card
    attack = Membership("margin", BRIEF)
    assert attack.refusal(card, held) is None
    assert "no keyed scheme" in str(attack.refusal(None, held))
    assert "class numbers" in str(attack.refusal(card, replace(held, labels=None)))
    secret = replace(held, knowledge=replace(held.knowledge, extractor="secret"))
    assert "public extractor" in str(attack.refusal(card, secret))
    fresh = replace(held, scheme="paper-fresh-order")
    assert "no key" in str(attack.refusal(SCHEMES["paper-fresh-order"].card, fresh))
    known = replace(fresh, key=owners_key("paper", held))
    assert attack.refusal(SCHEMES["paper-fresh-order"].card, known) is None
    with pytest.raises(InsufficientDataError, match="needs a trained tail"):
        attack.run(play(labels=True).observation, seed=0, work_dir=tmp_path)
    alone = replace(held, public=held.public.at(np.arange(20)))
    with pytest.raises(InsufficientDataError, match=r"shows 4 people twice.* at least 8"):
        attack.run(replace(alone, key=owners_key("paper", held)), seed=0, work_dir=tmp_path / "a")
    with pytest.raises(ConfigError, match="shadows=0"):
        MembershipSettings(shadows=0)


@pytest.mark.parametrize("scheme", ["plain", "paper"])
def test_classes_are_named_by_their_angles(
    scheme: str, played: Callable[..., tuple], tmp_path: Path
) -> None:
    right = []
    for seed in range(2):
        held, _, one = played(scheme, seed, people=24)
        answer = TailInversion(MATCHING).run(held, seed=seed, work_dir=tmp_path)
        assert answer.classes is not None
        assert answer.details["read"] == "angles"
        right.append(one.rank_1(answer.scores))
    assert np.mean(right) > 0.3  # chance is 1 / 24


def test_angles_between_classes_of_which_a_person_has_several(
    played: Callable[..., tuple], tmp_path: Path
) -> None:
    right = []
    for seed in range(3):
        held, _, one = played("plain", seed, people=24)
        order = np.random.default_rng(seed).permutation(len(held.labels))
        parts = replace(held, labels=divide_classes(held.labels, 3, order))
        answer = TailInversion(MATCHING).run(parts, seed=seed, work_dir=tmp_path)
        assert answer.classes.shape == (2 * 24, 24)
        right.append(one.rank_1(answer.scores))
    assert np.mean(right) > 0.2  # chance is 1 / 24


def test_one_record_is_fingerprinted_by_the_whitening(
    played: Callable[..., tuple], tmp_path: Path
) -> None:
    held, _, one = played()
    # The gallery holds the very photographs here; the attacker holds no record but the one asked.
    same = replace(held, gallery=one.probes, labels=None)
    hits = []
    for row in range(12):
        alone = replace(same, records=held.records[held.probes[row : row + 1]], probes=np.arange(1))
        answer = TailInversion(MATCHING).run(alone, seed=0, work_dir=tmp_path)
        assert answer.details["read"] == "whitening"
        hits.append(int(np.argsort(-answer.scores[0])[:4].tolist().count(row)))
    assert np.mean(hits) > 0.5  # chance is 4 / 40


def test_a_whitening_undoes_the_covariance_and_plain_weights_do_not(
    played: Callable[..., tuple], tmp_path: Path
) -> None:
    held, _, _ = played()
    raw = Tail(TailConfig(n=6, d=24, tail_depth=1, heads=2))
    assert absorbed(held.tail, held.records) > 0.3 > abs(absorbed(raw, held.records)) + 0.1
    assert absorbed(Tail(TailConfig(n=6, d=24, tail_depth=0)), held.records) is None
    with pytest.raises(InsufficientDataError, match="without a whitening"):
        TailInversion().run(replace(held, tail=raw, labels=None), seed=0, work_dir=tmp_path)
    with pytest.raises(InsufficientDataError, match="no tail"):
        TailInversion().run(replace(held, tail=None), seed=0, work_dir=tmp_path)
