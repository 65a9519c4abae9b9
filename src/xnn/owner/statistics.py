"""What a fitted scheme measured of the owner's features: sealed under the key, kept beside it.

Measured once per key, before its first record, and read ever after: the key and this file together
are the scheme. Who loses it cannot use a tail that was trained under the key.

Trust: owner.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Float32

from xnn.errors import ConfigError, CorruptError, StorageError
from xnn.files import disk_errors, write_atomically
from xnn.schemes import Statistics, find_scheme
from xnn.secret import KeyFile

NUM_MEASURED = 2048
"""Features that are measured, the first of the build."""


def statistics_of(
    keyfile: KeyFile, measured: Callable[[], Float32[np.ndarray, "b n d"]]
) -> Statistics:
    """Return the statistics of a key, measuring and sealing them on the first call.

    Args:
        keyfile: Opened key.
        measured: Called only if nothing was measured yet; returns the features to measure.

    Raises:
        InsufficientDataError: Too few features.
        CorruptError: The sealed file was altered, or belongs to another key.
        StorageError: It cannot be read or written.
    """
    scheme = find_scheme(keyfile.key.scope.scheme)
    if not scheme.card.fitted:
        return {}
    if not statistics_path(keyfile.path).exists():
        _seal(keyfile, scheme.measure(measured()))
    return load_statistics(keyfile)


def load_statistics(keyfile: KeyFile) -> Statistics:
    """Open `<key file>.statistics`; nothing for a scheme that measures nothing.

    Raises:
        StorageError: It is missing.
        CorruptError: It was altered, or belongs to another key.
    """
    if not find_scheme(keyfile.key.scope.scheme).card.fitted:
        return {}
    path = statistics_path(keyfile.path)
    if not path.exists():
        raise StorageError(
            f"{path.name!r} is missing: it is written by the first build under the key and belongs "
            "beside it; restore it, or build again under a new key"
        )
    with disk_errors("read", path):
        sealed = path.read_bytes()
    content = keyfile.key.unseal("statistics", sealed)
    try:
        return safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise CorruptError(f"{path.name!r} is malformed ({error}); restore it") from error


def hand_on_statistics(old: KeyFile, new: KeyFile) -> Statistics:
    """Seal the statistics of one key under another as well; return them.

    Raises:
        ConfigError: The other key has statistics of its own.
        CorruptError, StorageError: As in `load_statistics`.
    """
    statistics = load_statistics(old)
    if not statistics:
        return statistics
    if not statistics_path(new.path).exists():
        _seal(new, statistics)
    have = load_statistics(new)
    if any(not np.array_equal(have.get(name, ()), values) for name, values in statistics.items()):
        raise ConfigError(
            f"{statistics_path(new.path).name!r} was measured in another build, and records that "
            "are re-keyed need what the old key measured; give a new key that was not used yet"
        )
    return have


def copy_statistics(key_path: Path, out: Path) -> bool:
    """Copy the sealed statistics of a key beside a copy of it; return whether there were any.

    They are sealed under the key, not under its passphrase: the bytes stay as they are.

    Raises:
        StorageError: They cannot be read or written.
    """
    source = statistics_path(key_path)
    if not source.exists():
        return False
    with disk_errors("read", source):
        sealed = source.read_bytes()
    write_atomically(statistics_path(out), sealed, mode=0o600)
    return True


def _seal(keyfile: KeyFile, statistics: Statistics) -> None:
    sealed = keyfile.key.seal("statistics", safetensors.numpy.save(dict(statistics)))
    write_atomically(statistics_path(keyfile.path), sealed, mode=0o600)


def statistics_path(key_path: Path) -> Path:
    """Return where the statistics of a key are kept."""
    return key_path.with_name(key_path.name + ".statistics")
