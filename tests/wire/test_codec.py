"""Round trips, and every way in which bytes are no message."""

import dataclasses
import json
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xnn.errors import ConfigError, MissingExtraError, ShapeError, WireError
from xnn.wire import DTYPES, Message, WireLimits, compose, decode, encode, mac_key, renew
from xnn.wire.layout import FRAME_BYTES, MAX_HEADER_BYTES
from xnn.wire.numbers import pack, payload_bytes, through_wire, wire_dtypes

Frame = Callable[[bytes, bytes], bytes]
LIMITS = WireLimits()
VECTOR_FOLDER = Path(__file__).parents[1] / "vectors" / "wire_v1"

shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=5)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
moderate = st.floats(-60000, 60000, width=32)


def refused(content: bytes, key: bytes, match: str, limits: WireLimits = LIMITS) -> None:
    with pytest.raises(WireError, match=match):
        decode(content, key, limits=limits)


def fields_of(message: Message) -> dict[str, Any]:
    """Return the header's fields as the document has them."""
    return {
        "dtype": message.dtype,
        "nonce": message.nonce,
        "shape": list(message.records.shape),
        "key_id": message.key_id,
        "scheme": message.scheme,
        "bundle_id": bytes.fromhex(message.bundle_id),
        "request_id": bytes.fromhex(message.request_id),
        "timestamp_ms": message.timestamp_ms,
    }


@pytest.fixture
def fields(message: Message) -> dict[str, Any]:
    return fields_of(message)


@pytest.fixture
def payload(message: Message) -> bytes:
    return message.records.tobytes()


# Round trips


messages = st.builds(
    Message,
    scheme=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True),
    bundle_id=st.binary(min_size=32, max_size=32).map(bytes.hex),
    key_id=st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    records=hnp.arrays(np.float32, shapes, elements=moderate),
    dtype=st.sampled_from([d for d in DTYPES if d != "fixed32"]),
    request_id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    nonce=st.binary(min_size=16, max_size=16),
    timestamp_ms=st.integers(0, 2**53 - 1),
)


@given(message=messages, secret=st.binary(min_size=32, max_size=32))
def test_what_is_encoded_is_read_back(message: Message, secret: bytes) -> None:
    key = mac_key(secret)
    content = encode(message, key)
    read = decode(content, key, limits=LIMITS)
    for field in dataclasses.fields(Message):
        if field.name != "records":
            assert getattr(read, field.name) == getattr(message, field.name)
    assert read.records.shape == message.records.shape
    step = {"float32": 0.0, "float16": 2.0**-11, "int8": 0.0}[message.dtype]
    allowed = np.maximum(step * np.abs(message.records), 2.0**-25 if step else 0.0)
    if message.dtype == "int8":
        largest = np.abs(message.records).max(axis=(1, 2), keepdims=True)
        # Half a step of 1/127, and the rounding of the scale; below that, subnormal numbers.
        allowed = largest * (0.5 / 127 + 1e-6) + 1e-43
    assert (np.abs(read.records.astype(np.float64) - message.records) <= allowed).all()
    assert read.records.flags.writeable
    # Every message fits a limit that was made for its shape.
    b, m, e = message.records.shape
    assert decode(content, key, limits=WireLimits.for_bundle(m, e, max_records=b)).nonce


@given(records=hnp.arrays(np.float32, shapes, elements=finite))
def test_float32_travels_bit_for_bit(records: np.ndarray) -> None:
    assert through_wire(records, "float32").tobytes() == records.tobytes()


@given(records=hnp.arrays(np.float64, shapes, elements=st.floats(0, 1)))
def test_fixed32_is_read_back_to_half_a_step_and_packed_again_the_same(records: np.ndarray) -> None:
    read = through_wire(records, "fixed32")
    assert read.dtype == np.float64
    assert np.abs(read - records).max() <= 2.0**-33
    assert ((read > 0) & (read < 1)).all()
    packed = pack(records, "fixed32")
    assert len(packed) == payload_bytes(records.shape, "fixed32")
    assert pack(read, "fixed32") == packed


@given(records=hnp.arrays(np.float32, shapes, elements=finite))
def test_int8_is_what_a_loop_makes_of_it_or_a_clear_error(records: np.ndarray) -> None:
    try:
        packed = pack(records, "int8")
    except ShapeError as error:
        assert "too large for int8" in str(error)  # noqa: PT017
        assert np.abs(records).max() > 3.4e38
        return
    scales, steps = b"", b""
    for record in records.reshape(len(records), -1).tolist():
        (scale,) = struct.unpack("<f", struct.pack("<f", max(map(abs, record)) / 127))
        scales += struct.pack("<f", scale)
        for value in record:
            size = 0 if scale == 0 else min(127, int(abs(value) / scale + 0.5))
            steps += struct.pack("b", size if value > 0 else -size)
    assert packed == scales + steps
    assert len(packed) == payload_bytes(records.shape, "int8")


def test_a_row_read_backwards_travels_as_it_reads(message: Message, key: bytes) -> None:
    turned = dataclasses.replace(message, records=message.records[:, ::-1])
    read = decode(encode(turned, key), key, limits=LIMITS)
    assert np.array_equal(read.records, message.records[:, ::-1])


def test_a_request_is_composed_with_names_of_its_own(message: Message) -> None:
    other = compose(message.records, scheme="paper", bundle_id="ab" * 32)
    assert other.request_id != message.request_id
    again = renew(other)
    assert again.request_id == other.request_id
    assert again.nonce != other.nonce
    assert again.timestamp_ms >= other.timestamp_ms
    assert again.records is other.records


# What cannot be sent


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("scheme", "", "scheme"),
        ("scheme", "Paper", "scheme"),
        ("scheme", "p" * 33, "scheme"),
        ("scheme", "paper\n", "scheme"),
        ("bundle_id", "ab", "bundle_id"),
        ("bundle_id", "AB" * 32, "bundle_id"),
        ("key_id", "", "key_id"),
        ("key_id", "k" * 65, "key_id"),
        ("key_id", "a b", "key_id"),
        ("request_id", "g" * 32, "request_id"),
        ("nonce", b"short", "nonce"),
        ("timestamp_ms", -1, "timestamp_ms"),
        ("timestamp_ms", 2**53, "timestamp_ms"),
    ],
)
def test_a_field_of_another_form_is_not_sent(
    message: Message, key: bytes, field: str, value: Any, match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        encode(dataclasses.replace(message, **{field: value}), key)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_are_not_finite_are_not_sent(
    message: Message, key: bytes, bad: float, dtype: str
) -> None:
    records = message.records.copy()
    records[1, 2, 3] = bad
    with pytest.raises(ShapeError, match="NaN or infinity"):
        encode(dataclasses.replace(message, records=records, dtype=dtype), key)


def test_numbers_too_large_for_a_dtype_are_not_sent(message: Message, key: bytes) -> None:
    refused = ((65520.0, "float16"), (3.4028235e38, "int8"), (1.0001, "fixed32"), (-0.1, "fixed32"))
    for value, dtype in refused:
        records = np.full((1, 1, 2), value, dtype=np.float32)
        with pytest.raises(ShapeError, match=dtype):
            encode(dataclasses.replace(message, records=records, dtype=dtype), key)
    assert through_wire(np.full((1, 1, 1), 65519.0, np.float32), "float16").item() == 65504.0


def test_no_records_are_not_sent(message: Message, key: bytes) -> None:
    with pytest.raises(ShapeError, match="0x3x4"):
        encode(dataclasses.replace(message, records=message.records[:0]), key)


def test_a_key_is_a_key(message: Message, key: bytes) -> None:
    with pytest.raises(ConfigError, match="32 bytes, got 31"):
        mac_key(bytes(31))
    with pytest.raises(ConfigError, match="use mac_key"):
        encode(message, key[:-1])


def test_an_unknown_dtype_is_named(message: Message, key: bytes) -> None:
    odd = dataclasses.replace(message)
    object.__setattr__(odd, "dtype", "bfloat16")
    with pytest.raises(ConfigError, match="dtype is not one of float32, float16, int8"):
        encode(odd, key)
    object.__setattr__(odd, "dtype", "float32")
    object.__setattr__(odd, "records", message.records[0])
    with pytest.raises(ShapeError, match="3x4"):
        encode(odd, key)


# Damage


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_every_truncation_and_every_flipped_bit_is_refused(name: str) -> None:
    vector = json.loads((VECTOR_FOLDER / f"{name}.json").read_text())
    content, key = bytes.fromhex(vector["message_hex"]), bytes.fromhex(vector["mac_key_hex"])
    assert decode(content, key, limits=LIMITS)
    for length in range(len(content)):
        refused(content[:length], key, ".")
        refused(content[length + 1 :], key, ".")
    for at in range(len(content)):
        for bit in range(8):
            altered = bytearray(content)
            altered[at] ^= 1 << bit
            refused(bytes(altered), key, ".")
    refused(content + b"\0", key, "cut or extended")
    refused(content + content, key, "cut or extended")


def test_the_text_tells_damage_from_another_key(message: Message, key: bytes) -> None:
    content = bytearray(encode(message, key))
    refused(bytes(content), mac_key(bytes(32)), "not made under this API key")
    content[100] ^= 1
    refused(bytes(content), key, "damaged on its way")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "begins otherwise"),
        (b"XNN", "begins otherwise"),
        (b"XNNW", "ends after 4 bytes"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "begins otherwise"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "begins otherwise"),
        (b"XNNW\x02\x00" + bytes(60), "format 2"),
        (b"XNNW\x01\x01" + bytes(60), "format 1"),
        (b"XNNW\x01\x00\x01\x02" + bytes(60), "513 bytes, at most 512"),
        (b"XNNW\x01\x00\x01\x00\xff\xff\xff\xff" + bytes(60), "states 4294967344"),
        (bytes(LIMITS.max_bytes + 1), "at most 8388608"),
    ],
)
def test_what_is_no_message_is_refused_by_its_prefix(
    key: bytes, content: bytes, match: str
) -> None:
    refused(content, key, match)


# Hostile senders who hold a key


def test_the_frame_of_the_tests_is_right(
    frame: Frame, fields: dict[str, Any], payload: bytes, message: Message, key: bytes
) -> None:
    assert frame(cbor2.dumps(fields, canonical=True), payload) == encode(message, key)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xa0",
        b"\xf6",
        b"\x81" * 400,
        b"\xa1\x61a" * 160,
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x9a\x7f\xff\xff\xff",
        b"\x7a\x7f\xff\xff\xffaa",
        b"\x9f" * 400,
        b"\xbf\xff",
        b"\xd8\x1c\x81\xd8\x1d\x00",  # an array that holds itself
        b"\xd8\x23\x63(a)",  # a regular expression
        b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",  # 10 to the 2^63
        b"\xc5\x82\x1a\x3f\xff\xff\xff\x01",
        b"\xc2\x59\x01\xf0" + b"\xff" * 0x1F0,
        b"\xd8\x1e\x82\x01\x00",  # 1/0
        b"\xd9\x01\x02\x81\x80",
        b"\xc1\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"\xa1\x80\x01",
        b"\x61\xff",
        b"\xff",
        b"\x1c",
        bytes(512),
    ],
)
def test_hostile_cbor_is_one_error(frame: Frame, key: bytes, header: bytes) -> None:
    refused(frame(header, bytes(96)), key, "header of the message|CBOR")


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"dtype": "float64"}, "dtype is not one of"),
        ({"dtype": 1}, "dtype has another type"),
        ({"nonce": b""}, "nonce is not 16 bytes"),
        ({"nonce": "n" * 16}, "nonce has another type"),
        ({"shape": [2, 3]}, "three integers"),
        ({"shape": [2, 3, 4, 1]}, "three integers"),
        ({"shape": [2, 3, 4.0]}, "three integers"),
        ({"shape": [2, 3, True]}, "three integers"),
        ({"shape": [0, 3, 4]}, "size in shape"),
        ({"shape": [-2, -3, 4]}, "size in shape"),
        ({"shape": [2**64, 3, 4]}, "size in shape"),
        ({"shape": "abc"}, "shape has another type"),
        ({"key_id": b"k"}, "key_id has another type"),
        ({"key_id": "x" * 65}, "key_id"),
        ({"scheme": None}, "scheme has another type"),
        ({"scheme": "../paper"}, "scheme"),
        ({"bundle_id": bytes(31)}, "bundle_id"),
        ({"request_id": bytes(17)}, "request_id"),
        ({"timestamp_ms": -1}, "timestamp_ms"),
        ({"timestamp_ms": 2**53}, "timestamp_ms"),
        ({"timestamp_ms": 2**200}, "timestamp_ms"),
        ({"timestamp_ms": 1.5}, "timestamp_ms has another type"),
        ({"timestamp_ms": True}, "timestamp_ms has another type"),
        ({"admin": True}, "other fields"),
    ],
)
def test_a_header_with_another_field_or_value_is_refused(
    frame: Frame,
    fields: dict[str, Any],
    payload: bytes,
    key: bytes,
    changed: dict[str, Any],
    match: str,
) -> None:
    refused(frame(cbor2.dumps(fields | changed, canonical=True), payload), key, match)


def test_a_field_less_is_refused(
    frame: Frame, fields: dict[str, Any], payload: bytes, key: bytes
) -> None:
    for name in fields:
        fewer = {n: v for n, v in fields.items() if n != name}
        refused(frame(cbor2.dumps(fewer, canonical=True), payload), key, "other fields")


def test_only_one_encoding_of_a_header_is_read(
    frame: Frame, fields: dict[str, Any], payload: bytes, key: bytes
) -> None:
    right = cbor2.dumps(fields, canonical=True)
    two = b"\x65shape\x83\x02"
    others = [
        cbor2.dumps(dict(reversed(fields.items()))),
        right + b"\xf6",
        b"\xd9\xd9\xf7" + right,  # the tag that says "this is CBOR"
        b"\xbf" + right[1:] + b"\xff",
        b"\xb8\x08" + right[1:],
        right.replace(two, b"\x65shape\x83\x18\x02"),
        right.replace(two, b"\x65shape\x83\xc2\x41\x02"),
        right.replace(b"\x65dtype\x67float32", b"\x65dtype\x7f\x67float32\xff"),
        b"\xa9" + right[1:] + b"\x65dtype\x67float32",
    ]
    for other in others:
        assert other != right
        refused(frame(other, payload), key, "not deterministic CBOR|not CBOR|other fields")


def test_a_payload_fits_its_shape(
    frame: Frame, fields: dict[str, Any], payload: bytes, key: bytes
) -> None:
    header = cbor2.dumps(fields, canonical=True)
    for other in (b"", payload[:-1], payload + b"\0", payload * 2):
        refused(frame(header, other), key, "24 numbers of float32 take 96")


def test_what_is_only_stated_is_never_allocated(
    frame: Frame, fields: dict[str, Any], payload: bytes, key: bytes
) -> None:
    wide = WireLimits(max_records=2**32, max_m=2**32, max_e=2**32)
    shape = [2**32 - 1] * 3
    content = frame(cbor2.dumps(fields | {"shape": shape}, canonical=True), payload)
    refused(content, key, "records=4294967295, at most 32")
    tracemalloc.start()
    try:
        refused(content, key, "numbers of float32 take", wide)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("shape", "match"), [([33, 1, 1], "records=33"), ([1, 5, 1], "m=5"), ([1, 1, 9], "e=9")]
)
def test_more_than_the_limits_is_refused(
    frame: Frame, fields: dict[str, Any], key: bytes, shape: list[int], match: str
) -> None:
    limits = WireLimits.for_bundle(4, 8)
    header = cbor2.dumps(fields | {"shape": shape}, canonical=True)
    refused(frame(header, bytes(4 * np.prod(shape))), key, match, limits)


def test_limits_are_at_least_one() -> None:
    for name in ("max_bytes", "max_records", "max_m", "max_e"):
        with pytest.raises(ConfigError, match=f"{name}=0"):
            WireLimits(**{name: 0})


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(
    frame: Frame, fields: dict[str, Any], key: bytes, dtype: str, bad: float
) -> None:
    numbers = np.zeros(24, dtype={"float32": "<f4", "float16": "<f2"}[dtype])
    numbers[7] = bad
    header = cbor2.dumps(fields | {"dtype": dtype}, canonical=True)
    refused(frame(header, numbers.tobytes()), key, "NaN or infinity")


@pytest.mark.parametrize(
    ("scale", "step", "match"),
    [
        (np.nan, 1, "scale"),
        (np.inf, 1, "scale"),
        (-1.0, 1, "scale"),
        (-0.0, 1, "scale"),
        (1.0, -128, "-128"),
        (3e38, 127, "NaN or infinity"),
    ],
)
def test_int8_that_no_device_makes_is_refused(
    frame: Frame, fields: dict[str, Any], key: bytes, scale: float, step: int, match: str
) -> None:
    header = cbor2.dumps(fields | {"dtype": "int8"}, canonical=True)
    scales = np.array([1.0, scale], dtype="<f4").tobytes()
    steps = np.array([0] * 20 + [step] * 4, dtype=np.int8).tobytes()
    refused(frame(header, scales + steps), key, match)


def test_the_longest_header_fits(key: bytes) -> None:
    longest = Message(
        scheme="s" * 32,
        bundle_id="ff" * 32,
        key_id="k" * 64,
        records=np.ones((1, 1, 1), dtype=np.float32),
        dtype="float32",
        request_id="ff" * 16,
        nonce=bytes(16),
        timestamp_ms=2**53 - 1,
    )
    content = encode(longest, key)
    assert decode(content, key, limits=LIMITS).key_id == "k" * 64
    assert len(content) - FRAME_BYTES - 4 <= MAX_HEADER_BYTES // 2 + 50


def test_errors_show_nothing_of_what_came(
    frame: Frame, fields: dict[str, Any], payload: bytes, key: bytes
) -> None:
    secret = "smuggled.secret"
    for changed in ({"scheme": secret + "!"}, {"key_id": secret + "!"}, {secret: 1}):
        with pytest.raises(WireError) as caught:
            decode(
                frame(cbor2.dumps(fields | changed, canonical=True), payload), key, limits=LIMITS
            )
        assert secret not in str(caught.value)


def test_a_payload_has_a_largest_size(
    message: Message, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnn.wire.codec._LARGEST_PAYLOAD", 95)  # nobody has 4 GiB for a test
    with pytest.raises(ShapeError, match="96 bytes"):
        encode(message, key)


def test_without_cbor2_it_is_said_what_to_install(
    message: Message, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cbor2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xnn-face\[device\]'"):
        encode(message, key)


def test_dtypes_of_a_card_are_known_ones() -> None:
    assert wire_dtypes(["int8", "float32"]) == ("float32", "int8")
    for names in ([], ["float64"], ["float32", "bfloat16"]):
        with pytest.raises(ValueError, match="float32, float16, int8"):
            wire_dtypes(names)
