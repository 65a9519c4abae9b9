"""Attacks without a key: records linked across keys, photographs found among them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.answer import Answer
from xnn.attacks.base import Attack
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.training_phase.fingerprint import Fingerprint, likeness
from xnn.attacks.training_phase.gram_features import GramFeatures, GramSettings
from xnn.errors import InsufficientDataError
from xnn.metrics import roc_auc
from xnn.schemes import SCHEMES, KeyStream, find_scheme

Play = Callable[..., object]
ATTACKS = {"fingerprint": Fingerprint(), "gram-features": GramFeatures()}


@dataclass(frozen=True)
class Linked:
    """A scene with a second upload and candidates, and the truth about both."""

    observation: Observation
    probe_labels: np.ndarray
    mates: np.ndarray
    """Record of the other upload made from the photograph of each probe."""
    members: np.ndarray

    def same_photograph(self, answer: Answer) -> float:
        assert answer.upload_scores is not None
        return float(np.mean(answer.upload_scores.argmax(axis=1) == self.mates))

    def auc(self, answer: Answer) -> float:
        assert answer.membership is not None
        scores = answer.membership
        return roc_auc(scores[self.members], scores[~self.members])

    def rank_1(self, answer: Answer) -> float:
        assert answer.scores is not None
        return float(np.mean(answer.scores.argmax(axis=1) == self.probe_labels))


@pytest.fixture
def linked(play: Play) -> Callable[..., Linked]:
    def scene(scheme: str = "paper", *, seed: int = 0, faces: object = None) -> Linked:
        played = play(scheme, seed=seed, people=30)
        observation, probes = played.observation, played.probes
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(probes))
        other = find_scheme(scheme).bind(observation.shape, KeyStream(bytes([seed + 9]) * 32))
        read = torch.from_numpy(probes.tokens[order])
        strangers = play(scheme, seed=seed + 50, people=20).probes
        candidates = _joined(probes.at(np.arange(0, 50)), strangers)
        return Linked(
            replace(
                observation,
                other_upload=other.obfuscate(read).numpy(),
                candidates=candidates,
            ),
            probe_labels=probes.labels,
            mates=np.argsort(order),
            members=np.arange(len(candidates)) < 50,
        )

    return scene


def _joined(first: OwnFaces, second: OwnFaces) -> OwnFaces:
    names = ("crops", "tokens", "embeddings", "labels")
    return OwnFaces(**{n: np.concatenate([getattr(first, n), getattr(second, n)]) for n in names})


@pytest.mark.parametrize("scheme", ["plain", "paper", "paper-fresh-order"])
@pytest.mark.parametrize("name", ATTACKS)
def test_photographs_are_found_across_keys(
    name: str, scheme: str, linked: Callable[..., Linked], tmp_path: Path
) -> None:
    scene = linked(scheme)
    answer = ATTACKS[name].run(scene.observation, seed=0, work_dir=tmp_path)
    assert scene.same_photograph(answer) > 0.8  # chance is 1 / 75
    if (name, scheme) == ("gram-features", "paper-fresh-order"):
        assert answer.membership is None  # fingerprints are better at that
        return
    assert scene.auc(answer) > 0.7  # six tokens of ten traits say little; faces give 0.95 and more


def test_one_order_names_people(linked: Callable[..., Linked], tmp_path: Path) -> None:
    scene = linked()
    anchored = GramFeatures().run(scene.observation, seed=0, work_dir=tmp_path)
    assert anchored.details["anchored"]
    assert scene.rank_1(anchored) > 0.5  # chance is 1 / 30
    free = GramFeatures(GramSettings(anchored=False)).run(
        scene.observation, seed=0, work_dir=tmp_path
    )
    assert not free.details["anchored"]
    assert scene.rank_1(free) < scene.rank_1(anchored)


@pytest.mark.parametrize("name", ATTACKS)
def test_noise_tells_nothing(name: str, linked: Callable[..., Linked], tmp_path: Path) -> None:
    same, named, aucs = [], [], []
    for seed in range(3):
        scene = linked(seed=seed)
        rng = np.random.default_rng(seed)
        held = scene.observation
        assert held.other_upload is not None
        noise = [
            rng.normal(size=x.shape).astype(np.float32) for x in (held.records, held.other_upload)
        ]
        blind = replace(held, records=noise[0], other_upload=noise[1])
        answer = ATTACKS[name].run(blind, seed=0, work_dir=tmp_path)
        same.append(scene.same_photograph(answer))
        named.append(scene.rank_1(answer))
        aucs.append(scene.auc(answer))
    assert np.mean(same) < 6 / 75
    assert np.mean(named) < 4 / 30
    assert 0.3 < np.mean(aucs) < 0.7


@pytest.mark.parametrize("name", ATTACKS)
def test_the_seed_decides_and_nothing_is_changed(
    name: str, linked: Callable[..., Linked], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = linked().observation
    kept = {"records": held.records.copy(), "public": held.public.tokens.copy()}
    drawn: list[str] = []
    monkeypatch.setattr(KeyStream, "fresh", lambda: drawn.append("fresh"))
    state = torch.get_rng_state()
    first, second = (ATTACKS[name].run(held, seed=1, work_dir=tmp_path) for _ in range(2))
    for part in ("scores", "upload_scores", "membership"):
        assert np.array_equal(getattr(first, part), getattr(second, part))
        assert np.isfinite(getattr(first, part)).all()
    assert np.array_equal(held.records, kept["records"])
    assert np.array_equal(held.public.tokens, kept["public"])
    assert torch.equal(torch.get_rng_state(), state)
    assert not drawn
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ATTACKS)
def test_parts_not_asked_for_are_not_answered(name: str, play: Play, tmp_path: Path) -> None:
    answer = ATTACKS[name].run(play().observation, seed=0, work_dir=tmp_path)
    assert answer.upload_scores is None
    assert answer.membership is None


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_refusals(attack: Attack, play: Play, tmp_path: Path) -> None:
    held = play().observation
    card = SCHEMES["paper"].card
    assert attack.refusal(card, held) is None
    assert "no keyed scheme" in str(attack.refusal(None, held))
    secret = replace(held, knowledge=replace(held.knowledge, extractor="secret"))
    assert "public extractor" in str(attack.refusal(card, secret))
    few = replace(held, records=held.records[:9], probes=np.arange(9))
    with pytest.raises(InsufficientDataError, match=r"9 records held.*at least 10"):
        attack.run(few, seed=0, work_dir=tmp_path)


def test_a_small_public_set(play: Play, tmp_path: Path) -> None:
    held = play().observation
    few = replace(held, public=held.public.at(np.arange(5)))
    answer = Fingerprint().run(few, seed=0, work_dir=tmp_path)  # its own photographs are enough
    assert answer.details["share_of_own_photographs_in_whitening"] == 1.0
    with pytest.raises(InsufficientDataError, match=r"has 5 photographs.*at least 10"):
        GramFeatures().run(few, seed=0, work_dir=tmp_path)


def slow_likeness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    logs = np.array([[np.log(max(np.linalg.norm(a - b), 1e-6)) for b in second] for a in first])

    def usual(line: np.ndarray) -> float:
        return float(np.mean(sorted(line)[1:11] if len(line) > 1 else line))

    return np.array(
        [
            [(usual(logs[i]) + usual(logs[:, j])) / 2 - logs[i, j] for j in range(len(second))]
            for i in range(len(first))
        ]
    )


@pytest.mark.parametrize("sizes", [(14, 17), (3, 2), (1, 1)])
def test_likeness_equals_a_slow_one(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(size, 6)) for size in sizes)
    assert np.allclose(likeness(first, second), slow_likeness(first, second))
