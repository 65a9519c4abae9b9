"""Tokens of a grid are put in order by their neighbours, and people recognised by the result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xnn.attacks.knowledge import Knowledge
from xnn.attacks.observation import Observation, OwnFaces
from xnn.attacks.statistics.neighbour_order import grid_neighbours
from xnn.attacks.training_phase.row_column_restoration import RowColumnRestoration
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES, KeyStream, find_scheme
from xnn.types import TokenShape

SIDE, D = 3, 12
N = SIDE * SIDE
PEOPLE, SHOTS = 15, 6


def faces(people: int, shots: int, seed: int) -> OwnFaces:
    """Tokens that change smoothly over the grid, a person in them."""
    rng = np.random.default_rng(99)
    cells = np.stack(np.divmod(np.arange(N), SIDE), axis=1)
    apart = np.linalg.norm(cells[:, None] - cells[None], axis=2)
    root = np.linalg.cholesky(np.exp(-apart / 1.5) + 1e-6 * np.eye(N))
    means = rng.normal(size=(N, D))
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people), shots)
    person = root @ rng.normal(size=(people, N, D))
    tokens = means + person[labels] + 0.3 * (root @ rng.normal(size=(len(labels), N, D)))
    return OwnFaces(
        crops=np.zeros((len(labels), 112, 112, 3), dtype=np.uint8),
        tokens=tokens.astype(np.float32),
        embeddings=person.reshape(people, -1)[labels].astype(np.float32),
        labels=labels,
    )


def observe(scheme: str, seed: int) -> tuple[Observation, OwnFaces]:
    people = faces(PEOPLE, SHOTS + 1, seed)
    clean = np.arange(len(people)) % (SHOTS + 1) == 0
    held = people.at(np.flatnonzero(~clean))
    obfuscator = find_scheme(scheme).bind(TokenShape(N, D), KeyStream(bytes([seed + 1]) * 32))
    records = obfuscator.obfuscate(torch.from_numpy(held.tokens)).numpy()
    observation = Observation(
        scheme=scheme,
        shape=TokenShape(N, D),
        knowledge=Knowledge(labels=False),
        records=records,
        labels=None,
        probes=np.arange(0, len(records), 2),
        gallery=people.at(np.flatnonzero(clean)),
        public=faces(60, 4, seed + 50),
    )
    return observation, held.at(observation.probes)


@pytest.mark.parametrize("scheme", ["plain", "paper-permutation-only", "paper"])
def test_neighbours_are_neighbours_again(tmp_path: Path, scheme: str) -> None:
    shares, rates = [], []
    for seed in range(3):
        observation, truth = observe(scheme, seed)
        answer = RowColumnRestoration().run(observation, seed=0, work_dir=tmp_path)
        order = KeyStream(bytes([seed + 1]) * 32).permutation(N)
        order = np.arange(N) if scheme == "plain" else order
        beside, place = grid_neighbours(SIDE), np.array(answer.details["place"])
        shares.append(np.mean(beside[order][:, order][beside[place][:, place]]))
        rates.append(np.mean(answer.scores.argmax(axis=1) == truth.labels))
    assert np.mean(shares) > 0.9  # chance is 1 / 3
    assert np.mean(rates) > 0.5  # chance is 1 / 15


def test_noise_tells_it_nothing(tmp_path: Path) -> None:
    rates = []
    for seed in range(3):
        observation, truth = observe("paper", seed)
        noise = np.random.default_rng(seed).normal(size=observation.records.shape)
        blind = replace(observation, records=noise.astype(np.float32))
        answer = RowColumnRestoration().run(blind, seed=0, work_dir=tmp_path)
        rates.append(np.mean(answer.scores.argmax(axis=1) == truth.labels))
    assert np.mean(rates) < 3 / PEOPLE  # chance is 1 / 15, 135 probes


def test_it_is_repeatable_and_says_what_it_needs(tmp_path: Path) -> None:
    observation, _ = observe("paper", 0)
    attack = RowColumnRestoration()
    one, two = (attack.run(observation, seed=2, work_dir=tmp_path) for _ in range(2))
    assert np.array_equal(one.scores, two.scores)
    few = replace(observation, records=observation.records[:5], probes=np.arange(5))
    with pytest.raises(InsufficientDataError, match="at least 20"):
        attack.run(few, seed=0, work_dir=tmp_path)
    card = SCHEMES["paper"].card
    assert attack.refusal(card, observation) is None
    assert attack.refusal(replace(card, fresh_order=True), observation) is not None
    assert attack.refusal(None, observation) is not None
    odd = replace(observation, records=observation.records[:, :7])
    assert attack.refusal(card, odd) is not None
