"""The pinned draw: vectors, laws of distribution, and agreement with slow obvious code."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnn.errors import ConfigError, SecretLeakError
from xnn.keystream import KeyStream, exact_log
from xnn.schemes.matrices import MAX_CONDITION, draw_matrix, tree_sum

VECTORS = json.loads((Path(__file__).parent / "vectors" / "keystream_v1.json").read_text())
SEED = bytes(range(32))


def slow_permutation(stream: KeyStream, size: int) -> list[int]:
    """Fisher-Yates on a list, one 32-bit word at a time."""
    order = list(range(size))
    for last in range(size - 1, 0, -1):
        bound = last + 1
        while True:
            word = int.from_bytes(stream.take(4), "little")
            if word < 2**32 // bound * bound:
                break
        other = word % bound
        order[last], order[other] = order[other], order[last]
    return order


def test_keystream_is_chacha20_of_rfc_8439_with_counter_zero() -> None:
    # RFC 8439, appendix A.1, test vector 1: key, nonce and counter all zero
    expected = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert KeyStream(bytes(32)).take(32).hex() == expected


def test_draws_are_pinned() -> None:
    assert KeyStream(SEED).permutation(16).tolist() == VECTORS["permutation_16"]
    assert [x.hex() for x in KeyStream(SEED).normals(6).tolist()] == VECTORS["normals_6_hex"]
    for mix in ("gaussian", "haar"):
        drawn = draw_matrix(KeyStream(SEED), 4, mix).reshape(-1).tolist()
        assert [x.hex() for x in drawn] == VECTORS[f"{mix}_4_hex"]


@given(st.binary(min_size=32, max_size=32), st.integers(1, 60))
def test_permutation_equals_slow_one(seed: bytes, size: int) -> None:
    assert KeyStream(seed).permutation(size).tolist() == slow_permutation(KeyStream(seed), size)


def test_permutations_are_uniform() -> None:
    stream = KeyStream(SEED)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6000):
        drawn = tuple(stream.permutation(3).tolist())
        counts[drawn] = counts.get(drawn, 0) + 1
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert len(counts) == 6
    assert chi_square < 20.5  # 0.999 quantile for 5 degrees of freedom


def test_below_rejects_words_that_would_bias() -> None:
    with pytest.raises(ConfigError, match="outside"):
        KeyStream(SEED).below(0)
    draws = [KeyStream(i.to_bytes(32, "big")).below(3 << 30) for i in range(600)]
    # without rejection the lowest third would be drawn twice as often: mean 0.417, not 0.5
    assert np.mean(draws) / (3 << 30) == pytest.approx(0.5, abs=0.04)


def test_normals_have_normal_moments_and_tails() -> None:
    x = KeyStream(SEED).normals(400_000)
    assert x.mean() == pytest.approx(0, abs=0.01)
    assert x.std() == pytest.approx(1, abs=0.01)
    assert (x**4).mean() == pytest.approx(3, abs=0.06)
    assert np.mean(np.abs(x) > 1.959964) == pytest.approx(0.05, abs=0.002)


@given(st.floats(min_value=5e-324, max_value=1e300, allow_nan=False))
def test_exact_log_is_the_logarithm(x: float) -> None:
    assert exact_log(np.array([x]))[0] == pytest.approx(math.log(x), rel=1e-14, abs=1e-15)


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=40))
def test_tree_sum_is_the_sum(values: list[int]) -> None:
    assert tree_sum(np.array(values, dtype=float)) == sum(values)


def test_haar_is_orthogonal_of_both_signs_and_centred() -> None:
    drawn = [draw_matrix(KeyStream(i.to_bytes(32, "big")), 3, "haar") for i in range(1500)]
    assert np.abs(drawn[0] @ drawn[0].T - np.eye(3)).max() < 1e-14
    assert np.mean([np.linalg.det(m) > 0 for m in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.mean(drawn, axis=0)).max() < 0.06
    assert np.mean(np.square(drawn), axis=0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.04)


def test_gaussian_is_scaled_and_conditioned() -> None:
    matrix = draw_matrix(KeyStream(SEED), 256, "gaussian")
    assert matrix.std() == pytest.approx(1 / 16, rel=0.02)
    assert np.linalg.cond(matrix) <= MAX_CONDITION


def test_badly_conditioned_draws_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (draw_matrix(KeyStream(SEED), 8, "gaussian") for _ in range(2))
    assert np.array_equal(first, second)
    bound = float(np.linalg.cond(first)) * 0.999
    monkeypatch.setattr("xnn.schemes.matrices.MAX_CONDITION", bound)
    again = draw_matrix(KeyStream(SEED), 8, "gaussian")
    assert not np.array_equal(first, again)
    assert np.linalg.cond(again) <= bound


def test_a_stream_is_not_copied_printed_or_fed_a_short_seed() -> None:
    stream = KeyStream.fresh()
    assert repr(stream) == "KeyStream(<redacted>)"
    with pytest.raises(SecretLeakError):
        pickle.dumps(stream)
    with pytest.raises(ConfigError, match="32 bytes, got 3"):
        KeyStream(b"abc")
    assert KeyStream.fresh().take(8) != KeyStream.fresh().take(8)
