"""A fresh order of tokens in every record is undone, with and without public data."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from xnn.attacks.statistics.within_key import fill_slots, in_slots, learn_slots
from xnn.attacks.training_phase.aligned_order import AlignedOrder
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES

FRESH = "paper-fresh-order"


def test_slots_are_filled_at_the_least_cost() -> None:
    rng = np.random.default_rng(0)
    tokens, means = rng.normal(size=(5, 4, 3)), rng.normal(size=(4, 3))
    slots, costs = fill_slots(tokens.astype(np.float32), means.astype(np.float32))
    for record, slot, cost in zip(tokens, slots, costs, strict=True):
        slow = min(
            np.mean([np.sum((record[i] - means[p]) ** 2) for i, p in enumerate(order)])
            for order in permutations(range(4))
        )
        assert cost == pytest.approx(slow, rel=1e-4)
        assert sorted(slot) == [0, 1, 2, 3]


def test_in_slots_moves_each_token() -> None:
    records = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    moved = in_slots(records, np.array([[2, 0, 1]]))
    assert np.array_equal(moved[0], [[2, 3], [4, 5], [0, 1]])


def test_tokens_are_sorted_without_public_data(owner) -> None:
    upload = owner("paper-matrix-only", people=40, apart=3.0)
    records = upload.observation.records
    rng = np.random.default_rng(3)
    orders = np.stack([rng.permutation(records.shape[1]) for _ in records])
    shuffled = np.take_along_axis(records, orders[:, :, None], axis=1)
    slots = learn_slots(shuffled, rng=np.random.default_rng(0)).slot_of(shuffled)
    table = np.zeros((records.shape[1],) * 2)
    np.add.at(table, (slots.ravel(), orders.ravel()), 1)
    assert table.max(axis=1).sum() / table.sum() > 0.9  # chance is little more than 1 / 10


@pytest.mark.parametrize("seed", range(2))
def test_a_fresh_order_hides_nothing(tmp_path: Path, owner, seed: int) -> None:
    upload = owner(FRESH, seed=seed, apart=3.0)
    attack = AlignedOrder()
    assert attack.refusal(SCHEMES[FRESH].card, upload.observation) is None
    answer = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    again = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.features is not None
    assert answer.key is None
    assert np.array_equal(answer.features, again.features)
    assert upload.found_again(answer.features) > 0.9  # chance is 1 / 120
    assert upload.found_again(upload.observation.probe_records) < 0.1
    assert upload.rank_1(answer.scores) > 0.7  # chance is 1 / 60


def test_it_works_on_plain_records(tmp_path: Path, owner) -> None:
    upload = owner("plain", apart=3.0)
    answer = AlignedOrder().run(upload.observation, seed=0, work_dir=tmp_path)
    assert upload.found_again(answer.features) > 0.95


def test_noise_tells_it_nothing(tmp_path: Path, owner) -> None:
    upload = owner(FRESH)
    noise = np.random.default_rng(0).normal(size=upload.observation.records.shape)
    blind = replace(upload.observation, records=noise.astype(np.float32))
    answer = AlignedOrder().run(blind, seed=0, work_dir=tmp_path)
    assert upload.rank_1(answer.scores) < 0.1


def test_it_says_how_much_it_needs(tmp_path: Path, owner) -> None:
    observation = owner(FRESH, people=6, shots=1).observation
    few = replace(observation, records=observation.records[:2], probes=np.arange(2))
    with pytest.raises(InsufficientDataError, match="at least"):
        AlignedOrder().run(few, seed=0, work_dir=tmp_path)
