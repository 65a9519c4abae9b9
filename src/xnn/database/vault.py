"""Sealing at rest: AES-256-GCM under data keys, which the master key wraps."""

import secrets
import threading
import time
from dataclasses import dataclass
from typing import Literal, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, insert, select, update

from xnn.database.connect import Database
from xnn.database.master_key import MasterKey
from xnn.database.tables import DATA_KEYS, TEMPLATES
from xnn.errors import CorruptError, KeyMismatchError
from xnn.files import canonical_json

Purpose = Literal["templates", "pseudonyms"]
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value as it stands in a row."""

    data_key_id: str
    nonce: bytes
    sealed: bytes


@final
class Vault:
    """Seals and opens what is stored. Its data keys are made when first needed.

    Random nonces of 96 bits: one data key is good for 2**32 templates.

    Trust: server. Data keys are in this object's memory only, and wrapped in the database.
    """

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        """Open the vault of a database.

        Raises:
            KeyMismatchError: The database's keys are wrapped by another master key.
        """
        self._database = database
        self._master_key = master_key
        self._lock = threading.Lock()
        self._keys: dict[str, bytes] = {}
        self._ciphers: dict[str, AESGCM] = {}
        self._current: str | None = None
        purposes: tuple[Purpose, ...] = ("templates", "pseudonyms")
        with database.writing() as connection:
            for purpose in purposes:
                if not _rows(connection, purpose):
                    self._make(connection, purpose)
            self.refresh(connection)

    def __repr__(self) -> str:
        return f"Vault({self._master_key!r})"

    def refresh(self, connection: Connection) -> None:
        """Take up keys that another process made.

        Raises:
            KeyMismatchError: They are wrapped by another master key.
        """
        newest = connection.execute(
            select(DATA_KEYS.c.data_key_id)
            .where(DATA_KEYS.c.purpose == "templates")
            .order_by(DATA_KEYS.c.created_ms.desc(), DATA_KEYS.c.data_key_id.desc())
            .limit(1)
        ).scalar_one()
        if newest == self._current:
            return
        with self._lock:
            for row in _rows(connection):
                if row.data_key_id not in self._keys:
                    self._keys[row.data_key_id] = self._unwrap(row)
            self._current = newest

    def seal(self, content: bytes, associated: bytes) -> Sealed:
        """Seal a value under the newest data key; `associated` must be given to open it.

        Whoever stores it calls `refresh` before, in the same writing transaction: another process
        may have made a newer key, and be about to destroy this one.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key_id = str(self._current)
        return Sealed(key_id, nonce, self._cipher(key_id).encrypt(nonce, content, associated))

    def unseal(self, connection: Connection, value: Sealed, associated: bytes) -> bytes:
        """Open a value.

        Raises:
            CorruptError: The row was altered or moved, or its data key is gone.
        """
        if value.data_key_id not in self._keys:
            self._current = None
            self.refresh(connection)
        try:
            return self._cipher(value.data_key_id).decrypt(value.nonce, value.sealed, associated)
        except (InvalidTag, KeyError, ValueError):
            raise CorruptError(
                "a stored template was altered or moved; restore the gallery from a backup or "
                "an export"
            ) from None

    def pseudonym_key(self) -> bytes:
        """Return 32 bytes that name subjects in the audit log; they outlive every rotation."""
        with self._database.reading() as connection:
            (row,) = _rows(connection, "pseudonyms")
        return self._keys[row.data_key_id]

    def rewrap(self, replacement: MasterKey) -> int:
        """Rotate the master key: wrap every data key anew; return how many.

        Templates are not touched. A running service goes on with the data keys that it holds and
        needs the new master key when it starts again.
        """
        with self._database.writing() as connection:
            rows = _rows(connection)
            for row in rows:
                secret = self._unwrap(row)
                values = _wrapped(replacement, row.data_key_id, row.purpose, secret)
                found = DATA_KEYS.c.data_key_id == row.data_key_id
                connection.execute(update(DATA_KEYS).where(found).values(**values))
        self._master_key = replacement
        self._database.scrub()
        return len(rows)

    def begin_data_key(self) -> str:
        """Make the data key for a re-encryption, unless an interrupted one made it already."""
        with self._database.writing() as connection:
            if len(_rows(connection, "templates")) == 1:
                self._make(connection, "templates")
            self.refresh(connection)
        return str(self._current)

    def destroy_idle_keys(self) -> int:
        """Remove data keys under which nothing is sealed any more, except the newest."""
        used = select(TEMPLATES.c.data_key_id).where(
            TEMPLATES.c.data_key_id == DATA_KEYS.c.data_key_id
        )
        with self._database.writing() as connection:
            self.refresh(connection)
            gone = connection.execute(
                delete(DATA_KEYS)
                .where(DATA_KEYS.c.purpose == "templates")
                .where(DATA_KEYS.c.data_key_id != self._current)
                .where(~used.exists())
            )
        self._database.scrub()
        return gone.rowcount

    def _cipher(self, key_id: str) -> AESGCM:
        if key_id not in self._ciphers:
            self._ciphers[key_id] = AESGCM(self._keys[key_id])
        return self._ciphers[key_id]

    def _make(self, connection: Connection, purpose: Purpose) -> None:
        key_id = secrets.token_hex(8)
        values = _wrapped(self._master_key, key_id, purpose, secrets.token_bytes(_KEY_BYTES))
        # Later than every other, whatever the clock does: the newest is the one in use.
        newest = max((row.created_ms for row in _rows(connection, purpose)), default=0)
        created_ms = max(time.time_ns() // 1_000_000, newest + 1)
        connection.execute(
            insert(DATA_KEYS).values(
                data_key_id=key_id, purpose=purpose, created_ms=created_ms, **values
            )
        )

    def _unwrap(self, row: "_Row") -> bytes:
        try:
            return self._master_key.unwrap(
                row.nonce, row.wrapped, _associated(row.data_key_id, row.purpose)
            )
        except InvalidTag:
            if row.master_id == self._master_key.master_id:
                raise CorruptError(
                    "a data key of the gallery was altered; restore it from a backup"
                ) from None
            raise KeyMismatchError(
                f"master key {self._master_key.master_id} does not open the gallery, which needs "
                f"{row.master_id[:16]}; give that one, or the one it was rotated to"
            ) from None


def _rows(connection: Connection, purpose: Purpose | None = None) -> list["_Row"]:
    rows = [_Row(**row._asdict()) for row in connection.execute(select(DATA_KEYS))]
    return [row for row in rows if purpose is None or row.purpose == purpose]


@dataclass(frozen=True, slots=True)
class _Row:
    data_key_id: str
    purpose: str
    master_id: str
    nonce: bytes
    wrapped: bytes
    created_ms: int


def _associated(key_id: str, purpose: str) -> bytes:
    return canonical_json(["xnn data key v1", key_id, purpose])


def _wrapped(master: MasterKey, key_id: str, purpose: str, secret: bytes) -> dict[str, str | bytes]:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    body = master.wrap(nonce, secret, _associated(key_id, purpose))
    return {"master_id": master.master_id, "nonce": nonce, "wrapped": body}
