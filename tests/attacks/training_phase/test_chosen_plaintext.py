"""Queries of the attacker's choice give the key away, linear or not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float

from xnn.attacks.statistics.paired_regression import PairedRegression, order_by_likeness
from xnn.attacks.statistics.query_design import choose_queries, made_up_pictures
from xnn.attacks.training_phase.chosen_plaintext import ChosenPlaintext
from xnn.attacks.training_phase.known_plaintext import KnownPlaintext
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, KeyStream, Obfuscator
from xnn.types import TokenShape

Play = Callable[..., Any]
N, D = 6, 24


class Rectified(Obfuscator):
    """A secret matrix, a leaky ramp, another secret matrix, and one order of tokens."""

    def __init__(self, seed: int, leak: float = 0.2) -> None:
        super().__init__(TokenShape(N, D))
        stream = KeyStream(bytes([seed]) * 32)
        self.order = stream.permutation(N)
        first, second = (stream.normals(D * D).reshape(D, D) / np.sqrt(D) for _ in range(2))
        self.first, self.second = (torch.from_numpy(m).float() for m in (first, second))
        self.leak = leak

    def _records(self, samples: Float[torch.Tensor, "b n d"]) -> Float[torch.Tensor, "b n d"]:
        inner = torch.nn.functional.leaky_relu(samples[:, self.order] @ self.first, self.leak)
        return inner @ self.second


@pytest.mark.parametrize("seed", range(3))
def test_a_few_queries_give_the_key(play: Play, tmp_path: Path, seed: int) -> None:
    scene = play("paper", seed=seed, queries=5)
    answer = ChosenPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    assert np.array_equal(answer.key.place, scene.order)
    assert scene.error(answer.features) < 1e-3
    assert answer.details["queries"] == 5
    assert scene.rank_1(answer.scores) > 0.5  # chance is 1 / 20
    with pytest.raises(InsufficientDataError):  # every query was spent
        scene.observation.oracle(scene.observation.public.crops[:1])


def test_chosen_queries_are_better_than_any(play: Play, tmp_path: Path) -> None:
    chosen, given = [], []
    for seed in range(4):
        asked = play("paper", seed=seed, queries=5, stored="float16")
        told = play("paper", seed=seed, pairs=5, stored="float16")
        answer = ChosenPlaintext().run(asked.observation, seed=0, work_dir=tmp_path)
        chosen.append(asked.error(answer.features))
        answer = KnownPlaintext().run(told.observation, seed=0, work_dir=tmp_path)
        given.append(told.error(answer.features))
    assert all(np.array(chosen) < given)


def test_it_reads_what_is_not_linear(play: Play, tmp_path: Path) -> None:
    scene = play(Rectified(3), queries=150)
    answer = ChosenPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    assert answer.details["regression_error"] < 0.5
    assert answer.key is None
    assert scene.error(answer.features) < 0.5
    assert scene.found_again(answer.features) > 0.9
    best = play("plain", queries=5)
    plain = ChosenPlaintext().run(best.observation, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) > 0.7 * best.rank_1(plain.scores)


def test_pictures_that_are_no_faces_are_asked_for(play: Play, tmp_path: Path) -> None:
    scene = play("paper", queries=5)
    seen: list[np.ndarray] = []

    def extract(crops: np.ndarray) -> np.ndarray:
        seen.append(crops)
        rng = np.random.default_rng(int(crops[0, 0, 0, 0]))
        return 10 * rng.normal(size=(len(crops), N, D)).astype(np.float32)

    scene = replace(scene, observation=replace(scene.observation, extract=extract))
    answer = ChosenPlaintext().run(scene.observation, seed=0, work_dir=tmp_path)
    assert len(seen) == 1
    assert answer.details["made_up"] > 0


def test_noise_for_answers_gives_chance(play: Play, tmp_path: Path) -> None:
    scene = play("paper", queries=30)
    rng = np.random.default_rng(0)
    blind = replace(
        scene.observation,
        records=rng.normal(size=scene.observation.records.shape).astype(np.float32),
        oracle=lambda crops: rng.normal(size=(len(crops), N, D)).astype(np.float32),
    )
    answer = ChosenPlaintext().run(blind, seed=0, work_dir=tmp_path)
    assert scene.rank_1(answer.scores) < 4 / 20  # chance is 1 / 20, 50 probes


def test_what_it_refuses(play: Play, tmp_path: Path) -> None:
    card = SCHEMES["paper"].card
    attack = ChosenPlaintext()
    asked, silent = play("paper", queries=4).observation, play("paper").observation
    assert attack.refusal(card, asked) is None
    assert attack.refusal(card, silent) == "no queries"
    assert attack.refusal(None, asked) is not None
    assert attack.refusal(replace(card, mixes=True), asked) is not None
    assert "20 pairs" in attack.refusal(replace(card, reads="crops"), asked)
    with pytest.raises(InsufficientDataError, match="at least 1 query"):
        attack.run(silent, seed=0, work_dir=tmp_path)


def test_it_is_repeatable(play: Play, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    answers = [
        ChosenPlaintext().run(play(Rectified(1), queries=40).observation, seed=7, work_dir=tmp_path)
        for _ in range(2)
    ]
    assert np.array_equal(answers[0].scores, answers[1].scores)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_design_is_the_slow_one() -> None:
    tokens = np.random.default_rng(0).normal(size=(7, 2, 5)).astype(np.float32)
    rows = tokens.reshape(-1, 5).astype(np.float64)
    white = tokens @ np.linalg.inv(np.linalg.cholesky(rows.T @ rows / len(rows))).T
    chosen: list[int] = []
    for _ in range(3):

        def worth(one: int) -> float:
            asked = white[[*chosen, one]].reshape(-1, 5)
            return np.linalg.slogdet(1e-3 * np.eye(5) + asked.T @ asked)[1]

        chosen.append(max((i for i in range(7) if i not in chosen), key=worth))
    assert choose_queries(tokens, 5, rows_wanted=6).tolist()[:3] == chosen
    assert sorted(choose_queries(tokens, 99, rows_wanted=6)) == list(range(7))


def test_pictures_are_made_up_by_seed() -> None:
    crops = np.random.default_rng(0).integers(0, 256, size=(3, 112, 112, 3)).astype(np.uint8)
    one, two, other = (made_up_pictures(crops, 9, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert len({picture.tobytes() for picture in one}) == 9
    # Patches in disorder are the same patches.
    assert sorted(one[1].reshape(-1).tolist()) in [sorted(c.reshape(-1).tolist()) for c in crops]


def test_likeness_finds_the_order_behind_any_map() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(8, 4, 12))
    features = np.tanh(np.einsum("kf,fnd->knd", rng.normal(size=(60, 8)), hidden)).astype(
        np.float32
    )
    place = rng.permutation(4)
    records = np.maximum(features[:, place] @ rng.normal(size=(12, 12)), 0).astype(np.float32)
    assert np.array_equal(order_by_likeness(records, features), place)
    with pytest.raises(InsufficientDataError, match="at least 20"):
        PairedRegression.fit(records[:19], features[:19], seed=0)


def test_whole_records_are_read_where_tokens_are_no_tokens() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(150, 5))
    features = (hidden @ rng.normal(size=(5, 6 * 8))).reshape(-1, 6, 8).astype(np.float32)
    records = (hidden @ rng.normal(size=(5, 3 * 7))).reshape(-1, 3, 7).astype(np.float32)
    regression = PairedRegression.fit(records[:100], features[:100], seed=0)
    assert regression.form == "records"
    assert regression.left_out_error < 0.1
    read = regression.read(records[100:])
    assert np.linalg.norm(read - features[100:]) < 0.1 * np.linalg.norm(features[100:])
