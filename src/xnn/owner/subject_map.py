"""The map from subjects to class numbers: sealed under the key, kept beside it, never uploaded."""

import json
from pathlib import Path

from xnn.files import canonical_json, disk_errors, write_atomically
from xnn.secret import KeyFile
from xnn.shards.manifest import ShardSplit
from xnn.types import SubjectId

ClassNumbers = dict[ShardSplit, dict[SubjectId, int]]


def save_subject_map(keyfile: KeyFile, numbers: ClassNumbers) -> Path:
    """Seal the map into `<key file>.subjects`, mode 0600, and return its path."""
    path = _path(keyfile)
    sealed = keyfile.key.seal("subject-map", canonical_json(numbers))
    write_atomically(path, sealed, mode=0o600)
    return path


def load_subject_map(keyfile: KeyFile) -> ClassNumbers:
    """Open `<key file>.subjects`.

    Raises:
        StorageError: It is missing.
        CorruptError: It was altered, or belongs to another key.
    """
    path = _path(keyfile)
    with disk_errors("read", path):
        sealed = path.read_bytes()
    numbers: ClassNumbers = json.loads(keyfile.key.unseal("subject-map", sealed))
    return numbers


def _path(keyfile: KeyFile) -> Path:
    return keyfile.path.with_name(keyfile.path.name + ".subjects")
