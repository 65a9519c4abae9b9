"""A key on disk: sealed with a passphrase, mode 0600, with its scope and exposure in the open."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from xnn.errors import CorruptError, FormatError, OutputExistsError, StorageError, VersionError
from xnn.files import disk_errors, read_json, write_json
from xnn.secret.key import KeyScope, SecretKey
from xnn.secret.sealing import seal, unseal
from xnn.stretching import Stretching, describe_stretching, parse_stretching

FORMAT = "xnn-key"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What a key file shows without its passphrase (authenticated only when it is opened)."""

    key_id: str
    scope: KeyScope
    extractor: dict[str, Any]
    """Card of the extractor, so that a build can load it without being told."""
    created_at: str
    exposures: dict[str, int]
    """Records made under the key, by upload."""

    @property
    def num_records(self) -> int:
        """All records ever made under the key: what an attacker may hold."""
        return sum(self.exposures.values())


@final
class KeyFile:
    """An opened key file: the key, and its exposure counter.

    Trust: owner only.
    """

    def __init__(
        self,
        path: Path,
        key: SecretKey,
        extractor: dict[str, Any],
        stretching: Stretching,
        passphrase: str,
    ) -> None:
        self.path = path
        self.key = key
        self.extractor = extractor
        self._stretching = stretching
        self._wrapping_key = stretching.wrapping_key(passphrase)

    @classmethod
    def create(
        cls,
        path: Path,
        key: SecretKey,
        passphrase: str,
        *,
        extractor: dict[str, Any],
        log2_n: int = 17,
    ) -> "KeyFile":
        """Seal a key into a new file.

        Args:
            path: Must not exist.
            key: What to seal.
            passphrase: At least 8 characters; stretched with scrypt.
            extractor: Card of the extractor the key is for, kept in the open.
            log2_n: Cost exponent of scrypt; lower only in tests.

        Raises:
            OutputExistsError: The file exists; a key is never overwritten.
            StorageError: It cannot be written.
        """
        if path.exists():
            raise OutputExistsError(f"{path.name!r} exists; a key is never overwritten")
        opened = cls(path, key, extractor, Stretching.fresh(log2_n=log2_n), passphrase)
        opened._write({})
        return opened

    @classmethod
    def open(cls, path: Path, passphrase: str) -> "KeyFile":
        """Open a key file.

        Raises:
            PassphraseError: Wrong passphrase, or the file was altered.
            CorruptError: Truncated or not a key file.
            VersionError: Written by another version.
            StorageError: It cannot be read.
        """
        content = _read(path)
        info = _info(content)
        stretching = parse_stretching(content.get("stretching"))
        root = unseal(content, wrapping_key=stretching.wrapping_key(passphrase))
        key = SecretKey(root, scope=info.scope, created_at=info.created_at)
        if key.key_id != info.key_id:
            raise CorruptError(f"{path.name!r} names another key_id than its key has; restore it")
        return cls(path, key, info.extractor, stretching, passphrase)

    def count_exposure(self, upload: str, num_records: int) -> None:
        """Note, before they are written, that records will be made under the key.

        Counting the same upload again keeps the larger number, so a resumed build counts once.
        """
        with _locked(self.path):
            content = _read(self.path)
            unseal(content, wrapping_key=self._wrapping_key)  # do not carry on altered counts
            exposures = _info(content).exposures
            known = exposures.get(upload, 0)
            self._write(exposures | {upload: max(known, num_records)})

    def _write(self, exposures: dict[str, int]) -> None:
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "key_id": self.key.key_id,
            "scope": asdict(self.key.scope),
            "extractor": self.extractor,
            "created_at": self.key.created_at,
            "exposures": exposures,
            "stretching": describe_stretching(self._stretching),
        }
        content = seal(header, self.key._lend_root(), wrapping_key=self._wrapping_key)
        write_json(self.path, content, mode=0o600)


def read_key_info(path: Path) -> KeyInfo:
    """Read the open part of a key file; no passphrase is needed, nothing is authenticated.

    Raises:
        CorruptError: Truncated or not a key file.
        VersionError: Written by another version.
        StorageError: It cannot be read.
    """
    return _info(_read(path))


def destroy_key(path: Path) -> str:
    """Overwrite a key file with random bytes, remove it and return the key_id.

    Records made under the key can then be read by nobody who has not copied it. A copy-on-write
    file system, a backup or a flash disk may keep an older copy of the sealed file.

    Raises:
        CorruptError: It is not a key file; nothing is removed.
        StorageError: It cannot be written.
    """
    info = read_key_info(path)
    with disk_errors("destroy", path):
        with path.open("r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.write(secrets.token_bytes(size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        _lock_path(path).unlink(missing_ok=True)
    return info.key_id


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise StorageError(f"there is no key file {path.name!r}; make one with `xnn key new`")
    content = read_json(path, limit_bytes=1 << 20)
    if content.get("format") != FORMAT:
        raise FormatError(f"{path.name!r} is not a key file; make one with `xnn key new`")
    if content.get("version") != FORMAT_VERSION:
        raise VersionError(
            f"{path.name!r} has key format {content.get('version')!r}, this program reads "
            f"{FORMAT_VERSION}; use the program that wrote it"
        )
    return content


def _info(content: dict[str, Any]) -> KeyInfo:
    try:
        exposures = {str(k): int(v) for k, v in content["exposures"].items()}
        return KeyInfo(
            key_id=str(content["key_id"]),
            scope=KeyScope(**content["scope"]),
            extractor=dict(content["extractor"]),
            created_at=str(content["created_at"]),
            exposures=exposures,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError("the key file's open part is malformed; restore it") from error


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with disk_errors("lock", path), _lock_path(path).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
