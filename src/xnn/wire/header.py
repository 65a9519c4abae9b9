"""The header of a message: one deterministic CBOR map of eight fields, and nothing else.

A reader encodes what it has read again and compares: whatever CBOR allows beyond the one encoding
(tags, indefinite lengths, other orders, doubled names, longer integers, trailing bytes) fails.
"""

import importlib
import re
from dataclasses import dataclass
from typing import Any

from xnn.errors import ConfigError, MissingExtraError, ShapeError, WireError
from xnn.types import KeyId
from xnn.wire.message import Message, WireDtype
from xnn.wire.numbers import DTYPES

LATEST_MS = (1 << 53) - 1
"""Largest integer that JavaScript counts exactly."""
NONCE_BYTES = 16
_LARGEST_SIZE = (1 << 32) - 1
_WRONG_DTYPE = f"dtype is not one of {', '.join(DTYPES)}"
_SCHEME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BUNDLE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_REQUEST_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_FIELDS = {
    "dtype": str,
    "nonce": bytes,
    "shape": list,
    "key_id": (str, type(None)),
    "scheme": str,
    "bundle_id": bytes,
    "request_id": bytes,
    "timestamp_ms": int,
}
"""In the order in which they travel: deterministic CBOR sorts short names first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A message without its records. Fields as in `Message`."""

    scheme: str
    bundle_id: str
    key_id: KeyId | None
    shape: tuple[int, int, int]
    """Records, tokens, width."""
    dtype: WireDtype
    request_id: str
    nonce: bytes
    timestamp_ms: int


def write_header(message: Message) -> bytes:
    """Return the header of a message.

    Raises:
        ConfigError: A field is not of its form.
        ShapeError: The records are not b x m x e, or there are none.
        MissingExtraError: cbor2 is not installed.
    """
    shape = message.records.shape
    if len(shape) != 3 or 0 in shape:
        raise ShapeError(
            f"records of shape {'x'.join(map(str, shape))}, expected records x tokens x width, "
            "none of them 0; give what the device bundle sends"
        )
    if message.dtype not in DTYPES:
        raise ConfigError(f"this cannot be sent: {_WRONG_DTYPE}")
    header = Header(
        scheme=message.scheme,
        bundle_id=message.bundle_id,
        key_id=message.key_id,
        shape=(shape[0], shape[1], shape[2]),
        dtype=message.dtype,
        request_id=message.request_id,
        nonce=message.nonce,
        timestamp_ms=message.timestamp_ms,
    )
    wrong = _first_wrong(header)
    if wrong:
        raise ConfigError(f"this cannot be sent: {wrong}")
    return _encode(header)


def read_header(content: bytes) -> Header:
    """Read `write_header` back.

    Args:
        content: Authentic and short: the caller has seen to both.

    Raises:
        WireError: Not the one encoding of a header of ours.
    """
    cbor2 = _cbor2()
    try:
        fields = cbor2.loads(content)
    except Exception as error:  # of the decoder's own kind, or what a tag of CBOR led it into
        raise WireError("the header of the message is not CBOR; see WIRE_FORMAT.md") from error
    header = _from_fields(fields)
    wrong = _first_wrong(header)
    if wrong:
        raise WireError(f"the header of the message is malformed: {wrong}")
    if _encode(header) != content:
        raise WireError("the header of the message is not deterministic CBOR; see WIRE_FORMAT.md")
    return header


def _cbor2() -> Any:
    """Return the library. Cards name dtypes of this package, so it is not needed to import it."""
    try:
        return importlib.import_module("cbor2")
    except ImportError as error:
        raise MissingExtraError(
            "cbor2 is not installed; run pip install 'xnn-face[device]' or 'xnn-face[serve]'"
        ) from error


def _encode(header: Header) -> bytes:
    fields: dict[str, Any] = {
        "dtype": header.dtype,
        "nonce": header.nonce,
        "shape": list(header.shape),
        "key_id": header.key_id,
        "scheme": header.scheme,
        "bundle_id": bytes.fromhex(header.bundle_id),
        "request_id": bytes.fromhex(header.request_id),
        "timestamp_ms": header.timestamp_ms,
    }
    return _cbor2().dumps(fields, canonical=True)


def _from_fields(fields: Any) -> Header:
    if type(fields) is not dict or set(fields) != set(_FIELDS):
        raise WireError("the header of the message has other fields; see WIRE_FORMAT.md")
    for name, kind in _FIELDS.items():
        # A bool is an int to Python and not to CBOR.
        if not isinstance(fields[name], kind) or isinstance(fields[name], bool):  # type: ignore[arg-type]
            raise WireError(f"the header of the message is malformed: {name} has another type")
    shape = fields["shape"]
    if len(shape) != 3 or any(type(size) is not int for size in shape):
        raise WireError("the header of the message is malformed: shape is not three integers")
    if fields["dtype"] not in DTYPES:
        raise WireError(f"the header of the message is malformed: {_WRONG_DTYPE}")
    return Header(
        scheme=fields["scheme"],
        bundle_id=fields["bundle_id"].hex(),
        key_id=fields["key_id"],
        shape=(shape[0], shape[1], shape[2]),
        dtype=fields["dtype"],
        request_id=fields["request_id"].hex(),
        nonce=fields["nonce"],
        timestamp_ms=fields["timestamp_ms"],
    )


def _first_wrong(header: Header) -> str | None:
    """Return what is wrong with a header, without showing what it holds."""
    checks = (
        (bool(_SCHEME.fullmatch(header.scheme)), "scheme is not 1..32 of a-z 0-9 . _ -"),
        (bool(_BUNDLE_ID.fullmatch(header.bundle_id)), "bundle_id is not 64 hexadecimal digits"),
        (
            header.key_id is None or bool(_KEY_ID.fullmatch(header.key_id)),
            "key_id is not 1..64 of A-Z a-z 0-9 . _ -",
        ),
        (
            all(1 <= size <= _LARGEST_SIZE for size in header.shape),
            "a size in shape is 0 or too large",
        ),
        (bool(_REQUEST_ID.fullmatch(header.request_id)), "request_id is not 32 hexadecimal digits"),
        (len(header.nonce) == NONCE_BYTES, f"nonce is not {NONCE_BYTES} bytes"),
        (0 <= header.timestamp_ms <= LATEST_MS, "timestamp_ms is outside 0..2^53-1"),
    )
    return next((text for fine, text in checks if not fine), None)
