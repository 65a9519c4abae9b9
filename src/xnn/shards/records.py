"""How tokens become stored numbers: float32, float16, bfloat16, and int8 with a scale a token."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Int8, UInt16

from xnn.errors import ConfigError, ShapeError

RecordType = Literal["float32", "float16", "bfloat16", "int8"]

STORAGE: dict[str, type[np.generic]] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.uint16,  # the upper half of a float32: numpy and Arrow have no bfloat16
    "int8": np.int8,
}


def check_record_type(name: str) -> RecordType:
    """Return the name as a record type.

    Raises:
        ConfigError: There is no such type.
    """
    if name not in get_args(RecordType):
        raise ConfigError(f"unknown record type {name!r}; use one of {', '.join(STORAGE)}")
    return name  # type: ignore[return-value]


def encode(
    tokens: Float32[np.ndarray, "b n d"], record_type: RecordType
) -> tuple[np.ndarray, Float32[np.ndarray, "b n"] | None]:
    """Return the stored numbers, and the scale per token where the type has one.

    Raises:
        ShapeError: float16 cannot hold a value (beyond 65504).
    """
    if record_type == "float32":
        return tokens, None
    if record_type == "bfloat16":
        return _to_bfloat16(tokens), None
    if record_type == "int8":
        return _to_int8(tokens)
    largest = float(np.abs(tokens).max(initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise ShapeError(f"a value of magnitude {largest:.6g} does not fit float16; use bfloat16")
    return tokens.astype(np.float16), None


def decode(
    stored: np.ndarray, scale: Float32[np.ndarray, "b n"] | None, record_type: RecordType
) -> Float32[np.ndarray, "b n d"]:
    """Return tokens as float32; for float32 records no copy is made."""
    if record_type == "float32":
        return stored
    if record_type == "bfloat16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if record_type == "int8":
        if scale is None:
            raise ShapeError("int8 records need their scales; the shard has none")
        return stored.astype(np.float32) * scale[:, :, None]
    return stored.astype(np.float32)


def record_bytes(n: int, d: int, record_type: RecordType) -> int:
    """Return the bytes of one record's tokens and scales."""
    scales = 4 * n if record_type == "int8" else 0
    return n * d * np.dtype(STORAGE[record_type]).itemsize + scales


def _to_bfloat16(tokens: Float32[np.ndarray, "b n d"]) -> UInt16[np.ndarray, "b n d"]:
    """Round to nearest, ties to even."""
    bits = np.ascontiguousarray(tokens).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> 16).astype(
        np.uint16
    )


def _to_int8(
    tokens: Float32[np.ndarray, "b n d"],
) -> tuple[Int8[np.ndarray, "b n d"], Float32[np.ndarray, "b n"]]:
    scale = np.abs(tokens).max(axis=2) / np.float32(127.0)
    scale = np.maximum(scale, np.finfo(np.float32).tiny)
    return np.rint(tokens / scale[:, :, None]).astype(np.int8), scale
