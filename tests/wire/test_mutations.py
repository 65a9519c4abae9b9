"""Mutated messages: a `WireError`, or a message whose bytes are just these. Nothing else, ever.

`XNN_WIRE_EXAMPLES=100000 pytest tests/wire/test_mutations.py` draws as many as one likes; memory is
measured by `benchmarks/fuzz_wire.py`, whose mutations are another set.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnn.errors import WireError
from xnn.wire import DTYPES, Message, WireLimits, decode, encode, mac_key
from xnn.wire.authenticity import tag_of
from xnn.wire.layout import MAGIC, PREFIX, VERSION, checksum

EXAMPLES = int(os.environ.get("XNN_WIRE_EXAMPLES", "300"))
KEY = mac_key(bytes(range(32)))
LIMITS = WireLimits(max_bytes=1 << 14)

many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def good_message(dtype: str) -> bytes:
    numbers = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    if dtype == "fixed32":
        numbers %= 1
    return encode(
        Message(
            scheme="paper",
            bundle_id="ab" * 32,
            key_id=None,
            records=numbers,
            dtype=dtype,
            request_id="cd" * 16,
            nonce=bytes(16),
            timestamp_ms=1_764_000_000_000,
        ),
        KEY,
    )


GOOD = [good_message(dtype) for dtype in DTYPES]


def framed(header: bytes, payload: bytes) -> bytes:
    content = PREFIX.pack(MAGIC, VERSION, 0, len(header), len(payload)) + header + payload
    content += checksum(content)
    return content + tag_of(content, KEY)


def parts(content: bytes) -> tuple[bytes, bytes]:
    end = PREFIX.size + PREFIX.unpack_from(content)[3]
    return content[PREFIX.size : end], content[end:-36]


def read_or_refuse(content: bytes) -> None:
    try:
        message = decode(content, KEY, limits=LIMITS)
    except WireError as error:
        assert len(str(error)) < 250  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert np.isfinite(message.records).all()
        if message.dtype != "int8":
            assert encode(message, KEY) == content


edits = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 40), st.binary(max_size=24)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Replace pieces by others."""
    for at, length, put in changes:
        start = at % (len(content) + 1)
        content = content[:start] + put + content[start + length :]
    return content


@given(good=st.sampled_from(GOOD), changes=edits)
@many
def test_pieces_of_a_message_are_replaced(
    good: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    read_or_refuse(edited(good, changes))


@given(good=st.sampled_from(GOOD), header=edits, payload=st.just([]) | edits)
@many
def test_a_holder_of_the_key_replaces_pieces(
    good: bytes, header: list[tuple[int, int, bytes]], payload: list[tuple[int, int, bytes]]
) -> None:
    first, second = parts(good)
    read_or_refuse(framed(edited(first, header)[:600], edited(second, payload)))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=40)
    | st.sampled_from([*DTYPES, "paper", bytes(16), bytes(32)]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=3)
        | st.builds(cbor2.CBORTag, st.integers(0, 70000), inner)
    ),
    max_leaves=8,
)
names = st.sampled_from([*cbor2.loads(parts(GOOD[0])[0])])


@given(good=st.sampled_from(GOOD), changed=st.dictionaries(names, values, min_size=1, max_size=3))
@many
def test_a_holder_of_the_key_puts_other_values(good: bytes, changed: dict[str, object]) -> None:
    header, payload = parts(good)
    fields = cbor2.loads(header) | changed
    read_or_refuse(framed(cbor2.dumps(fields, canonical=True)[:600], payload))


@given(content=st.binary(max_size=600))
@many
def test_any_bytes_at_all(content: bytes) -> None:
    read_or_refuse(content)
    read_or_refuse(framed(content[:512], b""))


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "fuzz_wire.py"
    spec = importlib.util.spec_from_file_location("fuzz_wire", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_wire"] = module
    spec.loader.exec_module(module)
    return module


def test_the_fuzzer_reaches_every_refusal_of_the_codec(fuzzer: ModuleType) -> None:
    fuzz: Callable[[int, int], dict[str, int]] = fuzzer.fuzz
    ends = fuzz(5000, 1)
    assert sum(ends.values()) == 5000
    for wanted in (
        "read",
        "no message of XNN",
        "format",
        "states",
        "damaged",
        "not made under this API key",
        "not CBOR",
        "other fields",
        "malformed",
        "not deterministic",
        "payload has",
        "NaN",
        "scale",
    ):
        assert any(wanted in end for end in ends), wanted


def test_the_fuzzer_would_tell(fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec that lets another error out is found, with the message that did it."""

    def broken(content: bytes, key: bytes, *, limits: WireLimits) -> Message:
        raise KeyError("shape")

    monkeypatch.setattr(fuzzer, "decode", broken)
    with pytest.raises(AssertionError, match="KeyError: 584e4e57"):
        fuzzer.fuzz(100, 0)
