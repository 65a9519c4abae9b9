"""Files that are either whole or absent: atomic writing, digests and canonical JSON."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from xnn.errors import CorruptError, FormatError, StorageError, VersionError


@contextlib.contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an operating-system error into one clear `StorageError`.

    Args:
        action: What was being done, as in "write the shard".
        path: What it was being done to; only its last part is shown.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        reading = action.startswith(("read", "list"))
        remedy = "look at the path and its permissions"
        if not reading:
            remedy = "free space or choose a folder you may write"
        raise StorageError(f"cannot {action} {path.name!r}: {reason}; {remedy}") from error


@contextlib.contextmanager
def open_atomically(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when it is complete.

    The bytes go to `<name>.partial`, are flushed to the disk and renamed. A reader, or a process
    killed at any moment, sees the old file or the new one, never a part.

    Args:
        path: Where the file will stand; its folder must exist.
        mode: Permission bits, set before the first byte is written.

    Raises:
        StorageError: The disk is full or read-only, or the folder is missing.
    """
    partial = path.with_name(path.name + ".partial")
    with disk_errors("write", path):
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _flush_folder(path.parent)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file at once; see `open_atomically`."""
    with open_atomically(path, mode=mode) as file:
        file.write(content)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with disk_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted names, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write a value as readable JSON, atomically."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", mode=mode)


def read_json(path: Path, *, limit_bytes: int = 64 << 20) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        StorageError: The file is missing or cannot be read.
        CorruptError: The file is larger than `limit_bytes` or is not JSON.
        FormatError: The file is JSON but not an object.
    """
    with disk_errors("read", path), path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise CorruptError(f"{path.name!r} is larger than {limit_bytes} bytes; not a file of ours")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{path.name!r} is not valid JSON; restore it from a copy") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path.name!r} holds a {type(value).__name__}, expected an object")
    return value


def write_card(
    path: Path, card: dict[str, Any], *, form: str, version: int, digests: dict[str, Any]
) -> None:
    """Write the card of a bundle, with its own digest and those of the files beside it.

    Args:
        path: Written last, since it makes a folder a bundle.
        card: Plain data.
        form: Name of the format.
        version: Of the format.
        digests: More fields: what the other files must be.
    """
    sealed = {"card": card, "card_sha256": _sha256_of_card(card), **digests}
    write_json(path, {"format": form, "version": version, **sealed})


def read_card(
    path: Path, *, form: str, version: int, what: str, again: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_card` wrote.

    Args:
        path: Must exist.
        form: Name of the format.
        version: The one that this program reads.
        what: Kind of the bundle for messages, as in "server bundle".
        again: What to do with a damaged one, as in "fetch".

    Returns:
        The card, and the whole content with the digests.

    Raises:
        FormatError: Another format.
        VersionError: Another version.
        CorruptError: The card was altered.
    """
    content = read_json(path)
    if content.get("format") != form:
        raise FormatError(f"{path.name!r} is not the card of a {what}")
    if content.get("version") != version:
        raise VersionError(
            f"this {what} has format {content.get('version')!r}, this program reads "
            f"{version}; {again} it again, or use the program that wrote it"
        )
    card = content.get("card")
    if not isinstance(card, dict) or _sha256_of_card(card) != content.get("card_sha256"):
        raise CorruptError(f"{path.name!r} was altered: its checksum differs; {again} it again")
    return card, content


def _sha256_of_card(card: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(card)).hexdigest()


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
