"""The operator's master key: 32 bytes that wrap the keys under which templates are stored."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import NoReturn, final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xnn.errors import ConfigError, CorruptError, OutputExistsError, SecretLeakError, StorageError
from xnn.files import disk_errors, write_atomically

VARIABLE = "XNN_MASTER_KEY"
FILE_VARIABLE = "XNN_MASTER_KEY_FILE"
_BYTES = 32


@final
class MasterKey:
    """Wraps data keys; shows its public name only.

    Trust: server. Whoever has it and the database reads every template.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != _BYTES:
            raise ConfigError(
                f"the master key has {len(secret)} bytes, expected {_BYTES}; make one with "
                "`xnn gallery key FILE`"
            )
        self._cipher = AESGCM(secret)
        self.master_id = hmac.digest(secret, b"xnn master key id v1", hashlib.sha256)[:8].hex()
        """16 hexadecimal digits that name the key and reveal nothing of it."""

    def __repr__(self) -> str:
        return f"MasterKey({self.master_id})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeakError("a master key is not copied or pickled; read it where it is needed")

    def wrap(self, nonce: bytes, secret: bytes, associated: bytes) -> bytes:
        """Seal a data key."""
        return self._cipher.encrypt(nonce, secret, associated)

    def unwrap(self, nonce: bytes, wrapped: bytes, associated: bytes) -> bytes:
        """Open a data key.

        Raises:
            cryptography.exceptions.InvalidTag: Another master key, or the row was altered.
        """
        return self._cipher.decrypt(nonce, wrapped, associated)


def make_master_key(path: Path) -> MasterKey:
    """Make a key from the operating system's randomness, in a new file of mode 0600.

    Raises:
        OutputExistsError: The file exists; a key is never overwritten.
        StorageError: It cannot be written.
    """
    if path.exists():
        raise OutputExistsError(f"{path.name!r} exists; a key is never overwritten")
    secret = secrets.token_bytes(_BYTES)
    write_atomically(path, secret.hex().encode() + b"\n", mode=0o600)
    return MasterKey(secret)


def read_master_key(path: Path | None = None) -> MasterKey:
    """Read the key from a file, else from what `XNN_MASTER_KEY_FILE` or `XNN_MASTER_KEY` say.

    Args:
        path: File of 64 hexadecimal digits that only its owner may read.

    Raises:
        ConfigError: There is none, or it is not 64 hexadecimal digits.
        StorageError: The file is missing, or others may read it.
    """
    if path is None and (named := os.environ.get(FILE_VARIABLE)):
        path = Path(named)
    if path is not None:
        return _parse(_read(path), f"{path.name!r}", CorruptError)
    if VARIABLE not in os.environ:
        raise ConfigError(
            f"no master key: name its file in {FILE_VARIABLE}, put it into {VARIABLE}, or make one "
            "with `xnn gallery key FILE`"
        )
    return _parse(os.environ[VARIABLE], VARIABLE, ConfigError)


def _read(path: Path) -> str:
    if not path.is_file():
        raise StorageError(
            f"there is no master key {path.name!r}; make one: `xnn gallery key FILE`"
        )
    with disk_errors("read the master key", path), path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        content = file.read(1024)
    if mode & 0o077:
        raise StorageError(
            f"others may read the master key {path.name!r} (mode {mode:04o}); chmod 600 it, and "
            "rotate it if they did"
        )
    return content.decode("ascii", errors="replace")


def _parse(content: str, what: str, kind: type[CorruptError] | type[ConfigError]) -> MasterKey:
    digits = content.strip()
    if len(digits) != 2 * _BYTES or not set(digits.lower()) <= set("0123456789abcdef"):
        raise kind(f"{what} does not hold a master key: expected {2 * _BYTES} hexadecimal digits")
    return MasterKey(bytes.fromhex(digits))
