"""Groups of tokens: what no key changes, and a matrix where tokens are missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xnn.attacks.statistics.token_groups import describe, measure_groups, whiten_tokens
from xnn.attacks.training_phase.token_clusters import TokenClusters, place_tokens
from xnn.errors import InsufficientDataError
from xnn.schemes import SCHEMES


def test_descriptions_do_not_change_with_the_key(owner) -> None:
    upload = owner(people=10)
    plain = describe(whiten_tokens(upload.truth.tokens).tokens)
    keyed = describe(whiten_tokens(upload.observation.records).tokens)
    shape = (len(upload.truth), -1, plain.shape[1])
    assert np.allclose(keyed.reshape(shape), plain.reshape(shape)[:, upload.order], atol=0.05)


def test_groups_are_measured_as_by_loops() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(6, 5, 3)).astype(np.float32)
    groups = rng.integers(0, 4, size=30)
    groups[groups == 2] = 1
    got = measure_groups(white, groups, 4)
    rows = white.reshape(30, 3)
    for k in (0, 1, 3):
        own = rows[groups == k]
        assert got.counts[k] == len(own)
        assert np.allclose(got.means[k], own.mean(axis=0), atol=1e-5)
        assert np.allclose(got.covariances[k], np.cov(own.T, bias=True), atol=1e-5)
    assert got.counts[2] == 0


def test_missing_tokens_become_the_mean(owner) -> None:
    public = owner(people=10).observation.public.tokens
    features = place_tokens(public[:4, [7, 2]], public)
    means = public.mean(axis=0)
    for found, own in zip(features, public[:4], strict=True):
        assert np.array_equal(found[[2, 7]], own[[2, 7]])
        assert np.allclose(found[[0, 5]], means[[0, 5]], atol=1e-4)


@pytest.mark.parametrize("kept", [10, 6])
def test_it_reads_records_without_order_or_with_tokens_missing(
    tmp_path: Path, owner, kept: int
) -> None:
    upload = owner("paper-fresh-order", people=120, kept=kept)
    attack = TokenClusters()
    assert attack.refusal(SCHEMES["paper-fresh-order"].card, upload.observation) is None
    answer = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    again = attack.run(upload.observation, seed=0, work_dir=tmp_path)
    assert answer.features is not None
    assert np.array_equal(answer.features, again.features)
    assert upload.found_again(answer.features) > 0.2  # chance is 1 / 240
    assert upload.rank_1(answer.scores) > 0.1  # chance is 1 / 120


def test_noise_tells_it_nothing(tmp_path: Path, owner) -> None:
    upload = owner("paper")
    noise = np.random.default_rng(0).normal(size=upload.observation.records.shape)
    blind = replace(upload.observation, records=noise.astype(np.float32))
    answer = TokenClusters().run(blind, seed=0, work_dir=tmp_path)
    assert upload.rank_1(answer.scores) < 0.1


def test_it_refuses_what_it_cannot_try(tmp_path: Path, owner) -> None:
    observation = owner(people=6, shots=1).observation
    card = SCHEMES["paper"].card
    pooled = replace(observation, records=observation.records[:, :1])
    assert TokenClusters().refusal(card, pooled) is not None
    few = replace(observation, records=observation.records[:2], probes=np.arange(2))
    with pytest.raises(InsufficientDataError, match="at least"):
        TokenClusters().run(few, seed=0, work_dir=tmp_path)
