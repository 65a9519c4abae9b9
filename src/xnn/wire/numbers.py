"""Records as bytes and back: float32, float16, int8 with a scale for each record, fixed32."""

import math
from collections.abc import Iterable
from typing import get_args

import numpy as np
from jaxtyping import Float

from xnn.errors import ShapeError, WireError
from xnn.wire.message import WireDtype

DTYPES: tuple[WireDtype, ...] = get_args(WireDtype)
_WIDTHS: dict[WireDtype, int] = {"float32": 4, "float16": 2, "int8": 1, "fixed32": 4}
_SCALE_BYTES = 4
_LARGEST = 127
"""-128 is not used: ranges are symmetric."""
_STEPS = 2.0**32
"""Of fixed32 on [0, 1). A number is read as the middle of its step: none is rounded up to 1."""


def wire_dtypes(names: Iterable[str]) -> tuple[WireDtype, ...]:
    """Return the dtypes of these names, as a card lists them.

    Raises:
        ValueError: One is none of them, or there are none.
    """
    listed = list(names)
    if not listed or not set(listed) <= set(DTYPES):
        raise ValueError(f"dtypes are some of {', '.join(DTYPES)}")
    return tuple(dtype for dtype in DTYPES if dtype in listed)


def payload_bytes(shape: tuple[int, int, int], dtype: WireDtype) -> int:
    """Return how many bytes records of a shape (b, m, e) take."""
    scales = _SCALE_BYTES * shape[0] if dtype == "int8" else 0
    return math.prod(shape) * _WIDTHS[dtype] + scales


def pack(records: Float[np.ndarray, "b m e"], dtype: WireDtype) -> bytes:
    """Return records as they travel, little-endian, rows after each other.

    Raises:
        ConfigError: No such dtype.
        ShapeError: A number is NaN or infinite, too large for float16, or none of the circle's
            for fixed32.
    """
    if not np.isfinite(records).all():
        raise ShapeError("a record holds NaN or infinity, expected finite numbers; make it anew")
    if dtype == "float32":
        return records.astype("<f4").tobytes()
    if dtype == "float16":
        with np.errstate(over="ignore"):
            halves = records.astype("<f2")
        if not np.isfinite(halves).all():
            raise ShapeError("a record exceeds 65504, too much for float16; send float32")
        return halves.tobytes()
    return _pack_int8(records) if dtype == "int8" else _pack_fixed32(records)


def unpack(
    payload: memoryview, shape: tuple[int, int, int], dtype: WireDtype
) -> Float[np.ndarray, "b m e"]:
    """Read `pack` back: float64 of fixed32, float32 of all others.

    Args:
        payload: Of exactly `payload_bytes(shape, dtype)` bytes.
        shape: Records, tokens, width.
        dtype: As packed.

    Raises:
        WireError: A number is NaN or infinite, or a scale is not one of ours.
    """
    if dtype == "int8":
        return _unpack_int8(payload, shape)
    if dtype == "fixed32":
        steps = np.frombuffer(payload, "<u4").reshape(shape)
        return (steps + 0.5) / _STEPS
    kind = "<f4" if dtype == "float32" else "<f2"
    records = np.frombuffer(payload, kind).astype(np.float32).reshape(shape)
    return _finite(records)


def through_wire(
    records: Float[np.ndarray, "b m e"], dtype: WireDtype
) -> Float[np.ndarray, "b m e"]:
    """Return records as the other side reads them: what a dtype costs is measured with it.

    Raises:
        ShapeError: See `pack`.
    """
    shape = (records.shape[0], records.shape[1], records.shape[2])
    return unpack(memoryview(pack(records, dtype)), shape, dtype)


def _pack_int8(records: np.ndarray) -> bytes:
    """Pack in the few steps of WIRE_FORMAT.md, so that JavaScript gets the same bytes.

    The scale is rounded to float32 first and divided by afterwards, in float64; halves go away
    from zero.
    """
    rows = records.reshape(len(records), -1).astype(np.float64)
    scales = (np.abs(rows).max(axis=1) / _LARGEST).astype("<f4")
    with np.errstate(over="ignore"):
        largest_read = scales * np.float32(_LARGEST)
    if not np.isfinite(largest_read).all():
        raise ShapeError("a record is too large for int8 with a float32 scale; send float32")
    divisor = scales.astype(np.float64)[:, None]
    steps = np.zeros_like(rows)
    np.divide(np.abs(rows), divisor, out=steps, where=divisor > 0)
    steps = np.minimum(np.floor(steps + 0.5), _LARGEST)
    return scales.tobytes() + np.copysign(steps, rows).astype(np.int8).tobytes()


def _unpack_int8(payload: memoryview, shape: tuple[int, int, int]) -> np.ndarray:
    scales = np.frombuffer(payload, "<f4", count=shape[0]).astype(np.float32)
    steps = np.frombuffer(payload, np.int8, offset=_SCALE_BYTES * shape[0]).reshape(shape)
    if not (np.isfinite(scales).all() and (np.signbit(scales) == 0).all()):
        raise WireError("a scale is negative or not finite; make the record anew")
    if (steps == -_LARGEST - 1).any():
        raise WireError("an int8 record holds -128, expected -127..127; see WIRE_FORMAT.md")
    with np.errstate(over="ignore"):
        return _finite(scales[:, None, None] * steps.astype(np.float32))


def _pack_fixed32(records: np.ndarray) -> bytes:
    numbers = records.astype(np.float64)
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise ShapeError("fixed32 holds numbers from 0 to 1, these go beyond; send float32")
    return np.minimum(np.floor(numbers * _STEPS), _STEPS - 1).astype("<u4").tobytes()


def _finite(records: np.ndarray) -> np.ndarray:
    if not np.isfinite(records).all():
        raise WireError("a record holds NaN or infinity, expected finite numbers; make it anew")
    return records
