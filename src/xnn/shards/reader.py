"""Reading a folder of shards without copying it."""

from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float32, Int64

from xnn.errors import CorruptError, InsufficientDataError
from xnn.files import sha256_of_file
from xnn.shards.arrow import ShardView, open_shard
from xnn.shards.manifest import Manifest, ShardEntry, ShardSplit
from xnn.types import TokenShape


@final
class SplitRecords:
    """The records of one split, as the trainer reads them (`xnn.training.source`)."""

    def __init__(self, shape: TokenShape, num_classes: int, views: list[ShardView]) -> None:
        self.shape = shape
        self.num_classes = num_classes
        self.labels: Int64[np.ndarray, " records"] = np.concatenate([v.labels for v in views])
        self._views = views
        self._starts = np.cumsum([0, *(len(v.labels) for v in views)])
        if self.labels.min() < 0 or self.labels.max() >= num_classes:
            raise CorruptError(f"a label is outside 0..{num_classes - 1}; upload the shards again")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b n d"]:
        """Return records by number, in the order asked for."""
        out = np.empty((len(indices), self.shape.n, self.shape.d), dtype=np.float32)
        owner = np.searchsorted(self._starts, indices, side="right") - 1
        for shard in np.unique(owner):
            wanted = np.flatnonzero(owner == shard)
            out[wanted] = self._views[shard].read(indices[wanted] - self._starts[shard])
        return out


@final
class ShardSet:
    """A finished folder of shards.

    Trust: anyone; this is what crosses the border.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> "ShardSet":
        """Open a folder: reads the manifest and looks at the size of every file.

        Raises:
            FormatError, VersionError, CorruptError: See `Manifest.load`; or a file is missing or
                has another size than the manifest says.
        """
        shards = cls(folder, Manifest.load(folder))
        for entry in shards.manifest.shards:
            shards._check_size(entry)
        return shards

    def split(self, name: ShardSplit) -> SplitRecords:
        """Return the records of a split, memory-mapped.

        Raises:
            InsufficientDataError: The split has no records.
        """
        m = self.manifest
        entries = [entry for entry in m.shards if entry.split == name]
        if not entries:
            raise InsufficientDataError(f"these shards have no {name!r} records")
        views = [
            open_shard(self.folder / e.file, m.shape, e.records, m.record_type) for e in entries
        ]
        return SplitRecords(m.shape, m.num_classes[name], views)

    def verify(self) -> None:
        """Read every byte and compare the checksums.

        Raises:
            CorruptError: A file is missing, truncated or altered; names the first.
        """
        for entry in self.manifest.shards:
            self._check_size(entry)
            if sha256_of_file(self.folder / entry.file) != entry.sha256:
                raise CorruptError(f"{entry.file!r} was altered: its checksum differs; upload it")

    def _check_size(self, entry: ShardEntry) -> None:
        path = self.folder / entry.file
        if not path.is_file():
            raise CorruptError(f"{entry.file!r} is missing; upload it again")
        if path.stat().st_size != entry.size_bytes:
            raise CorruptError(
                f"{entry.file!r} has {path.stat().st_size} bytes, the manifest says "
                f"{entry.size_bytes}: truncated or altered; upload it again"
            )
