"""Writing a folder of shards so that a kill at any moment loses at most the shard in hand."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import final

from xnn.errors import OutputExistsError, ResumeError
from xnn.files import disk_errors, read_json, write_atomically, write_json
from xnn.shards.manifest import MANIFEST_NAME, Manifest, ShardEntry, ShardSplit

PROGRESS_NAME = "build.partial.json"


@final
class ShardWriter:
    """Writes shards one after the other; knows which of a plan are there already.

    Args:
        folder: Where they go; made if missing.
        plan_digest: Names everything that decides the bytes of the build. A folder begun under
            another digest is refused.

    Raises:
        ResumeError: The folder holds an unfinished build of another plan.
        OutputExistsError: The folder holds something else, or a finished build.
        StorageError: The folder cannot be made or read.
    """

    def __init__(self, folder: Path, *, plan_digest: str) -> None:
        self._folder = folder
        self._plan_digest = plan_digest
        self._done: dict[str, ShardEntry] = {}
        with disk_errors("make the folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in folder.iterdir()}
        if MANIFEST_NAME in names:
            raise OutputExistsError(
                f"{folder.name!r} already holds finished shards; choose another folder"
            )
        if PROGRESS_NAME in names:
            self._resume()
        elif names:
            raise OutputExistsError(f"{folder.name!r} is not empty; choose another folder")
        else:
            self._save_progress()

    @property
    def num_done(self) -> int:
        """Shards already written, now or before an interruption."""
        return len(self._done)

    def has(self, file: str) -> bool:
        """Tell whether a shard is already there."""
        return file in self._done

    def write(self, file: str, content: bytes, *, split: ShardSplit, records: int) -> None:
        """Write one shard.

        Raises:
            StorageError: The disk is full or read-only; what was written before stays usable.
        """
        write_atomically(self._folder / file, content)
        self._done[file] = ShardEntry(
            file=file,
            split=split,
            records=records,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        self._save_progress()

    def entries(self) -> tuple[ShardEntry, ...]:
        """Return the shards written, by name."""
        return tuple(self._done[file] for file in sorted(self._done))

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and forget the progress."""
        manifest.save(self._folder)
        with disk_errors("remove", self._folder / PROGRESS_NAME):
            (self._folder / PROGRESS_NAME).unlink(missing_ok=True)

    def _resume(self) -> None:
        state = read_json(self._folder / PROGRESS_NAME)
        if state.get("plan_digest") != self._plan_digest:
            raise ResumeError(
                f"{self._folder.name!r} was begun with other photographs, key, extractor or "
                "settings; run the same command as then, or choose another folder"
            )
        entries = [ShardEntry(**entry) for entry in state["done"]]
        self._done = {
            entry.file: entry
            for entry in entries
            if (self._folder / entry.file).is_file()
            and (self._folder / entry.file).stat().st_size == entry.size_bytes
        }

    def _save_progress(self) -> None:
        done = [asdict(entry) for entry in self.entries()]
        write_json(self._folder / PROGRESS_NAME, {"plan_digest": self._plan_digest, "done": done})
