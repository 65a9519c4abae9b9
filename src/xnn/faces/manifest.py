"""Manifests at rest: a CSV or Parquet table of path, subject and split, as plain strings."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xnn.errors import ConfigError, FacesError
from xnn.files import disk_errors, write_atomically

MANIFEST_SUFFIXES = (".csv", ".parquet")
_COLUMNS = ("path", "subject", "split")
_LONGEST_FIELD = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One line of a manifest, nothing resolved and nothing checked but presence."""

    path: str
    subject: str
    split: str | None
    """None when the manifest has no such column or the cell is empty."""


def read_rows(manifest: Path) -> list[ManifestRow]:
    """Read the rows of a manifest in file order.

    Args:
        manifest: A `.csv` (UTF-8, with a header) or `.parquet` file. Columns `path` and `subject`
            are needed, `split` is optional, any others are ignored.

    Raises:
        FacesError: Not a readable table, a column is missing, a cell is empty, or no rows.
        StorageError: The file cannot be read.
    """
    with disk_errors("read the manifest", manifest):
        content = manifest.read_bytes()
    suffix = _known_suffix(manifest)
    table = _csv_table(manifest, content) if suffix == ".csv" else _parquet_table(manifest, content)
    missing = [column for column in ("path", "subject") if column not in table]
    if missing:
        raise FacesError(
            f"manifest {manifest.name!r} has columns {sorted(table)}, lacks {missing}; "
            "it needs path and subject (split is optional)"
        )
    splits = table.get("split") or [None] * len(table["path"])
    rows = [
        ManifestRow(
            path=_text(manifest, number, "path", path),
            subject=_text(manifest, number, "subject", subject),
            split=None if split in (None, "") else str(split),
        )
        for number, (path, subject, split) in enumerate(
            zip(table["path"], table["subject"], splits, strict=True), start=1
        )
    ]
    if not rows:
        raise FacesError(
            f"manifest {manifest.name!r} has a header and no rows; list the photographs"
        )
    return rows


def write_rows(manifest: Path, rows: list[ManifestRow]) -> None:
    """Write rows as `.csv` or `.parquet`, atomically.

    Raises:
        ConfigError: The name has another suffix.
        StorageError: The disk refused.
    """
    suffix = _known_suffix(manifest)
    columns = {column: [getattr(row, column) for row in rows] for column in _COLUMNS}
    if suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(_COLUMNS)
        writer.writerows(zip(*columns.values(), strict=True))
        write_atomically(manifest, text.getvalue().encode())
    else:
        sink = io.BytesIO()
        schema = pa.schema([(column, pa.string()) for column in _COLUMNS])
        pq.write_table(pa.table(columns, schema=schema), sink)
        write_atomically(manifest, sink.getvalue())


def _known_suffix(manifest: Path) -> str:
    suffix = manifest.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES:
        raise ConfigError(
            f"manifest {manifest.name!r} ends in {suffix!r}; expected .csv or .parquet"
        )
    return suffix


def _csv_table(manifest: Path, content: bytes) -> dict[str, list[Any]]:
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header, *lines = [line for line in reader if line]
    except (ValueError, csv.Error) as error:
        raise FacesError(
            f"manifest {manifest.name!r} is not a UTF-8 CSV table with a header ({error})"
        ) from error
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise FacesError(
                f"manifest {manifest.name!r}, row {number}: {len(line)} cells, the header has "
                f"{len(header)}; quote cells that hold a comma"
            )
    if len(set(header)) != len(header):
        raise FacesError(f"manifest {manifest.name!r} names a column twice; rename one")
    return {name.strip(): [line[index] for line in lines] for index, name in enumerate(header)}


def _parquet_table(manifest: Path, content: bytes) -> dict[str, list[Any]]:
    try:
        source = pq.ParquetFile(io.BytesIO(content))
        names = [name for name in source.schema_arrow.names if name in _COLUMNS]
        others = [name for name in source.schema_arrow.names if name not in _COLUMNS]
        table = source.read(columns=names)
        columns: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in names}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise FacesError(
            f"manifest {manifest.name!r} is not a readable Parquet file; write it again"
        ) from error
    return columns | {name: [] for name in others}


def _text(manifest: Path, number: int, column: str, cell: object) -> str:
    text = str(cell) if isinstance(cell, str | int) and not isinstance(cell, bool) else ""
    if not text.strip() or len(text) > _LONGEST_FIELD:
        raise FacesError(
            f"manifest {manifest.name!r}, row {number}: {column} is empty, too long or not text; "
            "give every row a path and a subject"
        )
    return text
