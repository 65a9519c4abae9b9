"""What became of every photograph: rows, their journal on disk, and the report."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, Literal, get_args

from xnn.errors import CorruptError, ResumeError
from xnn.faces.photograph import RefusalStatus
from xnn.files import canonical_json, disk_errors, write_atomically, write_json

REPORT_NAME = "align_report.json"
TABLE_NAME = "align_report.csv"
JOURNAL_NAME = ".align_journal.jsonl"
_VERSION = 1

AlignStatus = Literal["found", "several_faces", "no_face"] | RefusalStatus
"""`several_faces`: the most prominent was taken. The others but `found` give no crop."""

STATUSES: tuple[str, ...] = (
    "found",
    "several_faces",
    "no_face",
    *get_args(RefusalStatus),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignRow:
    """What became of one file of the source.

    Trust: owner. Names of files are names of people.
    """

    photograph: str
    """Path below the source, with forward slashes."""

    status: AlignStatus
    crop: str | None = None
    """Path of the crop below the destination, or None where there is no face."""

    reason: str = ""
    """Why there is no crop."""

    notes: tuple[str, ...] = ()
    """See `Photograph.notes`."""

    num_faces: int = 0
    score: float | None = None
    landmarks: tuple[tuple[float, float], ...] = ()
    """Five points (x, y) in pixels of the upright photograph."""

    size_bytes: int = 0
    modified_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignReport:
    """What became of every file of the source, sorted by path.

    Trust: owner.
    """

    rows: tuple[AlignRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of files by status; statuses that did not occur are zero."""
        counted = Counter(row.status for row in self.rows)
        return {status: counted[status] for status in STATUSES}  # type: ignore[index]

    @property
    def found_share(self) -> float:
        """Crops per file that is an image, a fraction in 0..1."""
        images = [row for row in self.rows if row.status != "not_an_image"]
        return sum(row.crop is not None for row in images) / max(1, len(images))

    def save(self, folder: Path) -> None:
        """Write `align_report.json` and `align_report.csv`, atomically.

        Raises:
            StorageError: The disk refused.
        """
        rows = [_plain(row) for row in self.rows]
        write_json(
            folder / REPORT_NAME,
            {"version": _VERSION, "counts": self.counts, "photographs": rows},
        )
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [field.name for field in fields(AlignRow)])
        writer.writeheader()
        for row in rows:
            joined = {"notes": " ".join(row["notes"]), "landmarks": json.dumps(row["landmarks"])}
            writer.writerow(row | joined)
        write_atomically(folder / TABLE_NAME, text.getvalue().encode())


class Journal:
    """Rows on disk as they come, so that a killed run goes on where it stopped.

    One JSON object per line: first the settings, then the rows. A line that was cut off by the
    kill is dropped, and its photograph is done again.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        """Open the journal of a destination, or begin one.

        Raises:
            ResumeError: The folder was begun with other settings.
            StorageError: The disk refused.
        """
        self.path = folder / JOURNAL_NAME
        self.rows: dict[str, AlignRow] = {}
        self._head = canonical_json({"version": _VERSION, "settings": settings}) + b"\n"
        kept = self._replay()
        # Rewritten whole: a torn last line must not swallow the next one.
        write_atomically(self.path, self._head + b"".join(kept), mode=0o600)
        with disk_errors("open", self.path):
            self._file: IO[bytes] = self.path.open("ab")

    def add(self, row: AlignRow) -> None:
        """Record a row; it is on its way to the disk when this returns."""
        with disk_errors("write", self.path):
            self._file.write(_line(row))
            self._file.flush()
        self.rows[row.photograph] = row

    def close(self) -> None:
        """Release the file."""
        with disk_errors("close", self.path):
            self._file.close()

    def _replay(self) -> list[bytes]:
        if not self.path.exists():
            return []
        with disk_errors("read", self.path):
            head, *lines = self.path.read_bytes().splitlines(keepends=True) or [b""]
        if head != self._head:
            raise ResumeError(
                f"{self.path.parent.name!r} was begun with other settings or another version; "
                "use the same, or choose a new destination"
            )
        kept = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            row = _row(line)
            self.rows[row.photograph] = row
            kept.append(line)
        return kept


def sorted_report(rows: Iterable[AlignRow]) -> AlignReport:
    """Return the report of these rows."""
    return AlignReport(rows=tuple(sorted(rows, key=lambda row: row.photograph)))


def _plain(row: AlignRow) -> dict[str, Any]:
    return asdict(row)


def _line(row: AlignRow) -> bytes:
    return canonical_json(_plain(row)) + b"\n"


def _row(line: bytes) -> AlignRow:
    try:
        value = json.loads(line)
        value["notes"] = tuple(value["notes"])
        value["landmarks"] = tuple((float(x), float(y)) for x, y in value["landmarks"])
        return AlignRow(**value)
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptError(
            f"{JOURNAL_NAME!r} is damaged; remove the destination and align again"
        ) from error
