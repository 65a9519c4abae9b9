"""What a folder of shards says of itself. Everything in it may be known to the cloud."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from xnn.errors import CorruptError, FormatError, VersionError
from xnn.files import canonical_json, read_json, write_json
from xnn.shards.records import RecordType, check_record_type
from xnn.types import TokenShape

FORMAT = "xnn-shards"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"

ShardSplit = Literal["train", "val"]
SHARD_SPLITS: tuple[ShardSplit, ...] = get_args(ShardSplit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One file of records."""

    file: str
    split: ShardSplit
    records: int
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or self.split not in SHARD_SPLITS or self.records < 1:
            raise CorruptError(f"the manifest's entry {self.file!r} is malformed; upload it again")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table of contents of a folder of shards. Holds no name and no key."""

    scheme: str
    scheme_version: int
    key_id: str
    extractor: dict[str, Any]
    """The extractor's card."""
    extractor_digest: str
    n: int
    d: int
    record_type: RecordType
    num_classes: dict[ShardSplit, int]
    """Classes in each split; labels are 0..num_classes-1 in an order drawn by the owner's key."""
    shards: tuple[ShardEntry, ...]

    @property
    def shape(self) -> TokenShape:
        """Tokens and width of a record."""
        return TokenShape(self.n, self.d)

    def num_records(self, split: ShardSplit | None = None) -> int:
        """Return how many records there are, in one split or in all."""
        return sum(s.records for s in self.shards if split in (None, s.split))

    def digest(self) -> str:
        """Return the SHA-256 of the manifest: names this very data."""
        return hashlib.sha256(canonical_json(asdict(self))).hexdigest()

    def save(self, folder: Path) -> None:
        """Write `manifest.json`; the last file of a build, so its presence means complete."""
        content = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self)}
        write_json(folder / MANIFEST_NAME, content)

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read `manifest.json`.

        Raises:
            FormatError: The folder holds no finished shards.
            VersionError: Written by another version.
            CorruptError: Malformed.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise FormatError(
                f"{folder.name!r} has no {MANIFEST_NAME}: not a folder of shards, or its build was "
                "interrupted; run the same `xnn shard build` again to finish it"
            )
        content = read_json(path)
        if content.pop("format", None) != FORMAT:
            raise FormatError(f"{path.name!r} is not a manifest of shards")
        version = content.pop("version", None)
        if version != FORMAT_VERSION:
            raise VersionError(
                f"these shards have format {version!r}, this program reads {FORMAT_VERSION}; "
                "use the program that wrote them, or build them again"
            )
        try:
            shards = tuple(ShardEntry(**entry) for entry in content.pop("shards"))
            check_record_type(content["record_type"])
            manifest = cls(shards=shards, **content)
            TokenShape(manifest.n, manifest.d)
            if any(type(manifest.num_classes[split]) is not int for split in SHARD_SPLITS):
                raise TypeError("num_classes must hold whole numbers")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptError(f"{path.name!r} is malformed ({error}); upload it again") from error
        return manifest
