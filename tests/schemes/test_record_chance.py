"""The chance of a record: its distributions, and that it follows from key and record alone."""

import hmac
import math

import numpy as np
import pytest
import torch
from scipy import stats

from xnn.schemes import KeyStream
from xnn.schemes.record_chance import RecordChance

KEY = bytes(range(32))


def chance(seed: bytes = KEY) -> RecordChance:
    return RecordChance(KeyStream(seed))


def rows(b: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(b, 2, 5))).float()


def test_the_seed_is_the_published_recipe() -> None:
    x = rows(1)
    key = KeyStream(KEY).take(32)
    seed = hmac.new(key, x.numpy().tobytes(), "sha256").digest()
    expected = KeyStream(seed).uint32(6)
    assert chance().of(x).words(6).tolist() == [expected.tolist()]


def test_normals_are_box_and_muller() -> None:
    draws = chance().of(rows(2)).normals(5).numpy()
    words = chance().of(rows(2)).words(6)
    for row, w in zip(draws, words, strict=True):
        u = [((int(x) >> 9) + 0.5) / 2**23 for x in w]
        radius = [math.sqrt(-2 * math.log(x)) for x in u[:3]]
        slow = [r * math.cos(2 * math.pi * a) for r, a in zip(radius, u[3:], strict=True)]
        slow += [r * math.sin(2 * math.pi * a) for r, a in zip(radius, u[3:], strict=True)]
        assert np.allclose(row, slow[:5], atol=1e-5)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        ("normals", stats.norm()),
        ("laplaces", stats.laplace(scale=1 / math.sqrt(2))),
        ("uniforms", stats.uniform()),
    ],
)
def test_distributions(draw: str, distribution: stats.rv_continuous) -> None:
    drawn = np.asarray(getattr(chance().of(rows(4)), draw)(20_000)).ravel()
    assert stats.kstest(drawn, distribution.cdf).pvalue > 0.01
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02


def test_signs_are_fair_and_orders_uniform() -> None:
    signs = chance().of(rows(4)).signs(10_001).numpy()
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 0.02
    orders = chance().of(rows(6000)).orders(3).numpy()
    _, counts = np.unique(orders @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 0.01


def test_a_record_has_its_own_draw_and_keeps_it() -> None:
    x = rows(3)
    first = chance().of(x).normals(7)
    assert torch.equal(first, chance().of(x.flip(0)).normals(7).flip(0))
    assert torch.equal(first, chance().of(x.double()).normals(7))
    assert torch.equal(first[1:2], chance().of(x[1:2]).normals(7))
    assert len({tuple(row) for row in first.tolist()}) == 3
    moved = x.clone()
    moved[0, 0, 0] += 1e-6
    assert not torch.allclose(chance().of(moved).normals(7)[0], first[0], atol=0.1)
    assert not torch.allclose(chance(bytes(32)).of(x).normals(7), first, atol=0.1)
    assert "redacted" in repr(chance())
