"""One shard is one Arrow IPC file with one record batch, read through the memory map."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from xnn.errors import CorruptError, ShapeError
from xnn.files import disk_errors
from xnn.shards.records import STORAGE, RecordType, decode, encode
from xnn.types import TokenShape


def encode_shard(
    tokens: Float32[np.ndarray, "b n d"],
    labels: Int64[np.ndarray, " labels"],
    record_type: RecordType,
) -> bytes:
    """Return the bytes of a shard; the same input gives the same bytes.

    Columns: `label` int32, `tokens` fixed-size list of n*d numbers, and for int8 `scale`, a
    fixed-size list of n float32. float16 is Arrow's halffloat; bfloat16 is stored as uint16.

    Raises:
        ShapeError: Values are not finite, or counts differ.
    """
    b, n, d = tokens.shape
    if len(labels) != b or b == 0:
        raise ShapeError(f"{b} records and {len(labels)} labels; both must be equal and not 0")
    if not np.isfinite(tokens).all():
        raise ShapeError("records hold NaN or infinity; look at the extractor and its input")
    stored, scale = encode(tokens, record_type)
    columns = {"label": pa.array(labels.astype(np.int32)), "tokens": _lists(stored, n * d)}
    if scale is not None:
        columns["scale"] = _lists(scale, n)
    batch = pa.RecordBatch.from_pydict(columns)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@dataclass(frozen=True, slots=True)
class ShardView:
    """The memory-mapped columns of one shard."""

    labels: Int64[np.ndarray, " b"]
    stored: np.ndarray
    scale: Float32[np.ndarray, "b n"] | None
    record_type: RecordType

    def read(self, rows: Int64[np.ndarray, " k"]) -> Float32[np.ndarray, "k n d"]:
        """Return chosen records as float32."""
        scale = None if self.scale is None else self.scale[rows]
        return decode(self.stored[rows], scale, self.record_type)


def open_shard(path: Path, shape: TokenShape, records: int, record_type: RecordType) -> ShardView:
    """Map a shard into memory; no record is read or copied yet.

    Raises:
        CorruptError: It is not the Arrow file that the manifest describes.
        StorageError: It cannot be read.
    """
    n, d = shape.n, shape.d
    try:
        with disk_errors("read", path):
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        stored = _flat(batch, "tokens", n * d).reshape(records, n, d)
        labels = batch.column("label").to_numpy().astype(np.int64)
        scale = _flat(batch, "scale", n).reshape(records, n) if record_type == "int8" else None
    except (pa.ArrowException, KeyError, ValueError, IndexError) as error:
        raise CorruptError(f"{path.name!r} is not a readable shard; upload it again") from error
    if stored.dtype != STORAGE[record_type] or len(labels) != records:
        raise CorruptError(f"{path.name!r} does not hold {records} {record_type} records")
    return ShardView(labels, stored, scale, record_type)


def _lists(values: np.ndarray, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)


def _flat(batch: pa.RecordBatch, name: str, width: int) -> np.ndarray:
    column = batch.column(name)
    if column.type.list_size != width:
        raise ValueError(f"{name} has {column.type.list_size} numbers a record, expected {width}")
    return column.values.to_numpy(zero_copy_only=True)
