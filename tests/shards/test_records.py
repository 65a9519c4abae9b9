"""Stored numbers: rounding against slow references."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xnn.errors import ConfigError, ShapeError
from xnn.shards.records import check_record_type, decode, encode, record_bytes

TOKENS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.floats(-6e4, 6e4, width=32),
)


@given(TOKENS)
def test_bfloat16_rounds_as_torch_does(tokens: np.ndarray) -> None:
    stored, scale = encode(tokens, "bfloat16")
    expected = torch.from_numpy(tokens).to(torch.bfloat16).float().numpy()
    assert scale is None
    assert np.array_equal(decode(stored, scale, "bfloat16"), expected)


@given(TOKENS)
def test_int8_errs_by_half_a_step_of_its_token(tokens: np.ndarray) -> None:
    stored, scale = encode(tokens, "int8")
    assert stored.dtype == np.int8
    step = np.abs(tokens).max(axis=2, keepdims=True) / 127
    error = np.abs(decode(stored, scale, "int8") - tokens)
    assert (error <= 0.5001 * step + 1e-30).all()


@given(TOKENS)
def test_float32_is_exact_and_float16_nearest(tokens: np.ndarray) -> None:
    assert np.array_equal(decode(*encode(tokens, "float32"), "float32"), tokens)
    half = decode(*encode(tokens, "float16"), "float16")
    assert np.array_equal(half, tokens.astype(np.float16).astype(np.float32))


def test_float16_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(ShapeError, match="magnitude 70000 does not fit float16; use bfloat16"):
        encode(np.full((1, 1, 1), 7e4, dtype=np.float32), "float16")


def test_bytes_of_a_record() -> None:
    sizes = {name: record_bytes(16, 256, name) for name in ("float32", "float16", "int8")}
    assert sizes == {"float32": 16384, "float16": 8192, "int8": 4096 + 64}


def test_unknown_type() -> None:
    with pytest.raises(ConfigError, match="'float8'; use one of float32"):
        check_record_type("float8")
