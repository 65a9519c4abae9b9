"""Attacks that train on uploads of the attacker's own, on made-up people."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnn.attacks.base import Attack
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.statistics.embedding_reader import ReaderSettings
from xnn.attacks.statistics.record_inputs import flat, inner_products, pooled
from xnn.attacks.statistics.sliced_transport import TransportSettings, fit_transport
from xnn.attacks.training_phase.distilled_linkage import (
    DistillationSettings,
    KeyedDistilledLinkage,
)
from xnn.attacks.training_phase.expectation_inverse import ExpectationInverse, InverseSettings
from xnn.attacks.training_phase.learned_alignment import AlignmentSettings, LearnedAlignment
from xnn.attacks.training_phase.membership_aligned import AlignedMembership, likeness
from xnn.errors import ConfigError, InsufficientDataError
from xnn.metrics.membership import roc_auc
from xnn.schemes import find_scheme

World = Callable[..., tuple[Observation, np.ndarray]]

DISTILLED = KeyedDistilledLinkage(
    DistillationSettings(keys=2, faces_per_key=250, reader=ReaderSettings(network_epochs=2))
)
ALIGNED_SETTINGS = AlignmentSettings(
    keys=2, kept=2, transport=TransportSettings(steps=10, sample=100)
)
ALIGNED = LearnedAlignment(ALIGNED_SETTINGS)
INVERSE = ExpectationInverse(InverseSettings(steps=60, keys=2, hidden=64, components=30, lr=3e-3))


def linked(attack: Attack, observation: Observation, truth: np.ndarray, tmp_path: Path) -> float:
    answer = attack.run(observation, seed=0, work_dir=tmp_path)
    assert answer.scores is not None
    return float(np.mean(answer.scores.argmax(axis=1) == truth))


@pytest.mark.parametrize("attack", [DISTILLED, ALIGNED], ids=lambda a: a.card.name)
def test_plain_records_are_read_and_noise_is_not(
    world: World, attack: Attack, tmp_path: Path
) -> None:
    assert linked(attack, *world("plain"), tmp_path) > 0.4  # chance is 1 / 24
    rates = [linked(attack, *world(noise=True, seed=seed), tmp_path) for seed in range(2)]
    assert np.mean(rates) < 4 / 24


def test_alignment_undoes_a_matrix_and_an_order(world: World, tmp_path: Path) -> None:
    assert linked(ALIGNED, *world("paper", people=60, public=(100, 8)), tmp_path) > 4 / 60


def test_a_decoder_draws_plain_records(world: World, tmp_path: Path) -> None:
    observation, truth = world("plain")
    answer = INVERSE.run(observation, seed=0, work_dir=tmp_path)
    assert answer.pictures is not None
    assert answer.pictures.shape == (len(observation.probes), 112, 112, 3)
    small = answer.pictures.reshape(len(truth), 7, 16, 7, 16, 3).mean(axis=(2, 4))
    clean = observation.gallery.crops.reshape(24, 7, 16, 7, 16, 3).mean(axis=(2, 4))
    mean = observation.public.crops.mean(axis=(0, 1, 2))
    drawn, faces = ((x - mean).reshape(len(x), -1) for x in (small, clean))
    apart = np.linalg.norm(drawn[:, None] - faces[None], axis=2)
    assert np.mean(apart.argmin(axis=1) == truth) > 4 / 24
    assert answer.details["loss_last"] < answer.details["loss_first"]


@pytest.mark.parametrize("attack", [DISTILLED, ALIGNED, INVERSE], ids=lambda a: a.card.name)
def test_they_are_repeatable_and_leave_no_trace(
    world: World, attack: Attack, tmp_path: Path
) -> None:
    observation, _ = world("paper")
    records, state = observation.records.copy(), torch.get_rng_state()
    first, again = (attack.run(observation, seed=1, work_dir=tmp_path) for _ in range(2))
    for left, right in ((first.scores, again.scores), (first.pictures, again.pictures)):
        assert (left is None) == (right is None)
        assert left is None or np.array_equal(left, right)
    assert np.array_equal(observation.records, records)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


def test_they_say_where_they_cannot_be_tried(world: World, tmp_path: Path) -> None:
    observation, _ = world("plain")
    shuffled = find_scheme("paper-fresh-order").card
    assert "order of their own" in str(ALIGNED.refusal(shuffled, observation))
    assert DISTILLED.refusal(shuffled, observation) is None
    for attack in (DISTILLED, ALIGNED, INVERSE):
        assert attack.refusal(None, observation) == "no keyed scheme to play"
        assert attack.refusal(find_scheme("paper").card, observation) is None
        few = replace(observation, public=observation.public.at(np.arange(4)))
        with pytest.raises(InsufficientDataError):
            attack.run(few, seed=0, work_dir=tmp_path)
    with pytest.raises(ConfigError, match="size_px=30"):
        InverseSettings(size_px=30)


def test_transport_turns_a_skewed_cloud_back() -> None:
    rng = np.random.default_rng(0)
    source, target = (rng.gamma(1.0, size=(600, 2, 3)).astype(np.float32) for _ in range(2))
    angle = 0.5
    turn = np.eye(3, dtype=np.float32)
    turn[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    settings = TransportSettings(steps=150, lr=0.02)
    still, before = fit_transport(
        source @ turn, target, settings=replace(settings, steps=0), seed=0
    )
    assert np.array_equal(still, np.eye(3, dtype=np.float32))
    matrix, after = fit_transport(source @ turn, target, settings=settings, seed=0)
    assert after < 0.5 * before
    assert np.abs(turn @ matrix - np.eye(3)).max() < 0.25


def test_forms_of_records_ignore_what_they_say_they_ignore() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(4, 5, 8)).astype(np.float32)
    order = rng.permutation(5)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    assert np.allclose(pooled(tokens, seed=0), pooled(tokens[:, order], seed=0), atol=1e-4)
    assert not np.allclose(pooled(tokens, seed=0), pooled(tokens @ turn, seed=0), atol=1e-2)
    changed = tokens[:, order] @ turn
    assert np.allclose(inner_products(tokens), inner_products(changed), atol=1e-3)
    assert np.array_equal(flat(tokens), tokens.reshape(4, 40))
    assert inner_products(tokens[:, :1]).shape[0] == 4


def with_candidates(world: World, scheme: str, **changes: Any) -> tuple[Observation, np.ndarray]:
    """Return an observation half of whose candidates are photographs of people in it."""
    observation, _ = world(scheme, **changes)
    strangers = world("plain", seed=78)[0].gallery
    members = observation.gallery
    faces = OwnFaces(
        **{
            n: np.concatenate([getattr(members, n), getattr(strangers, n)])
            for n in ("crops", "tokens", "embeddings", "labels")
        }
    )
    return replace(observation, candidates=faces), np.arange(len(faces)) < len(members)


def test_members_are_told_without_a_key_and_noise_has_none(world: World, tmp_path: Path) -> None:
    attack = AlignedMembership(ALIGNED_SETTINGS)
    found = {}
    for scheme, noise in (("plain", False), ("plain", True)):
        aucs = []
        for seed in range(2):
            held, members = with_candidates(world, scheme, noise=noise, seed=seed)
            said = attack.run(held, seed=0, work_dir=tmp_path).membership
            assert said is not None
            aucs.append(roc_auc(said[members], said[~members]))
        found[noise] = np.mean(aucs)
    assert found[False] > 0.75
    assert 0.3 < found[True] < 0.7


def test_aligned_membership_repeats_and_says_how_much_it_needs(
    world: World, tmp_path: Path
) -> None:
    attack = AlignedMembership(ALIGNED_SETTINGS)
    held, _ = with_candidates(world, "plain")
    first, second = (attack.run(held, seed=3, work_dir=tmp_path).membership for _ in range(2))
    assert np.array_equal(first, second)
    unlabelled = replace(held, labels=None)
    assert attack.run(unlabelled, seed=3, work_dir=tmp_path).membership is not None
    with pytest.raises(InsufficientDataError, match=r"0 candidates; .* at least 4"):
        attack.run(replace(held, candidates=None), seed=0, work_dir=tmp_path)
    assert "an order of their own" in str(
        attack.refusal(find_scheme("paper-fresh-order").card, held)
    )


def test_likeness_equals_a_slow_one() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(9, 5)), np.array([4, 4, 1, 1, 1, 7, 7, 7, 7])
    slow = np.full(5, -np.inf)
    for label in (1, 4, 7):
        mean = np.mean([scores[i] for i in range(9) if labels[i] == label], axis=0)
        slow = np.maximum(slow, (mean - mean.mean()) / mean.std())
    assert np.allclose(likeness(scores, labels), slow)
