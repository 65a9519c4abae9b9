"""The log of who did what: entries are appended, and each is bound to all before it."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from sqlalchemy import Connection, func, insert, select, update

from xnn.database import Database
from xnn.database.tables import AUDIT, AUDIT_HEAD
from xnn.errors import ConfigError, CorruptError
from xnn.files import canonical_json

Fact = str | int | float | bool | None
_FIRST = bytes(32)  # what the first entry is bound to
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Something that was done or refused. Holds no secret, vector, score or pixel."""

    tenant: str
    actor: str
    """Name of an API key, or `operator` for the command line."""
    action: str
    """As in `enrol`, `search`, `key.create`."""
    subject: str | None = None
    """Whom it was done to: the subject_id, or its pseudonym."""
    outcome: str = "done"
    """`done`, or the class of the error."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """A few plain numbers and names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An event in its place."""

    number: int
    """1 is the first."""
    at_ms: int
    """Milliseconds since 1970, UTC."""
    event: AuditEvent
    digest: str
    """SHA-256, as 64 hexadecimal digits, of the digest before and of this entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainState:
    """The end of the chain. Kept elsewhere, it shows later whether the end was cut off."""

    number: int
    """Of the last entry; 0 for none."""
    digest: str
    """Of the last entry; zeros for none."""


@final
class AuditLog:
    """Append-only by construction: nothing here alters or removes an entry.

    It cannot stop somebody who writes to the database; it lets `check` name what they did, as long
    as somebody has kept a head's digest from before.

    Trust: server. Subjects are named by pseudonyms if a key for them is given.
    """

    def __init__(
        self,
        database: Database,
        *,
        pseudonym_key: bytes | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Make a log over a database.

        Args:
            database: Where it is kept.
            pseudonym_key: 32 bytes, as `Vault.pseudonym_key` gives them: subjects are then named
                by a keyed digest of 16 hexadecimal digits. None: by their subject_id.
            clock_ms: Milliseconds since 1970, UTC.
        """
        self._database = database
        self._pseudonym_key = pseudonym_key
        self._clock_ms = clock_ms

    def name_of(self, tenant: str, subject_id: str) -> str:
        """Return how a subject is named in the log."""
        if self._pseudonym_key is None:
            return subject_id
        named = canonical_json([tenant, subject_id])
        return hmac.digest(self._pseudonym_key, named, hashlib.sha256)[:8].hex()

    def append(self, *events: AuditEvent) -> ChainState:
        """Append events, all or none, in one transaction; return the new end.

        Raises:
            BusyError: The database is locked, full or away; nothing was appended.
            ConfigError: A fact is not plain.
        """
        at_ms = self._clock_ms()
        with self._database.writing() as connection:
            # First of all the lock on the head: entries are numbered one after the other.
            connection.execute(update(AUDIT_HEAD).values(number=AUDIT_HEAD.c.number + len(events)))
            head = connection.execute(select(AUDIT_HEAD)).one()
            number, digest = head.number - len(events), head.digest
            rows = []
            for event in events:
                number += 1
                row = self._row(event, number, at_ms)
                digest = _chained(digest, row)
                rows.append(row | {"digest": digest})
            if rows:
                connection.execute(insert(AUDIT), rows)
                connection.execute(update(AUDIT_HEAD).values(digest=digest))
        return ChainState(number=number, digest=digest.hex())

    def entries(
        self, tenant: str | None = None, *, after: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        """Return entries in order, all or a tenant's, after a number."""
        if limit < 1:
            raise ConfigError(f"limit={limit} must be at least 1")
        query = select(AUDIT).where(AUDIT.c.number > after).order_by(AUDIT.c.number).limit(limit)
        if tenant is not None:
            query = query.where(AUDIT.c.tenant == tenant)
        with self._database.reading() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def head(self) -> ChainState:
        """Return the end of the chain."""
        with self._database.reading() as connection:
            head = connection.execute(select(AUDIT_HEAD)).one()
        return ChainState(number=head.number, digest=head.digest.hex())

    def check(self, *, kept: ChainState | None = None) -> ChainState:
        """Go through the whole chain.

        Args:
            kept: An end that was noted earlier: the chain must still go through it.

        Returns:
            The end, to be noted.

        Raises:
            CorruptError: An entry was altered, removed or added; the text names the first.
        """
        number, digest = 0, _FIRST
        with self._database.reading() as connection:
            head = connection.execute(select(AUDIT_HEAD)).one()
            while rows := _after(connection, number, head.number):
                for row in rows:
                    number += 1
                    digest = _chained(digest, row)
                    if row["number"] != number or not hmac.compare_digest(digest, row["digest"]):
                        raise CorruptError(
                            f"audit entry {number} was altered or removed; the entries before it "
                            "are whole"
                        )
                    if kept and number == kept.number and digest.hex() != kept.digest:
                        raise CorruptError(
                            f"audit entry {number} is not the one whose digest was kept: the log "
                            "was written anew"
                        )
            beyond = connection.execute(select(func.max(AUDIT.c.number))).scalar_one() or 0
        if number != head.number or digest != head.digest or beyond > head.number:
            raise CorruptError(
                f"the audit log says that it ends with entry {head.number}, but entry "
                f"{min(number, head.number) + 1} is missing or too many"
            )
        if kept and number < kept.number:
            raise CorruptError(
                f"the audit log ends with entry {number}, but entry {kept.number} was kept: its "
                "end was cut off"
            )
        return ChainState(number=number, digest=digest.hex())

    def _row(self, event: AuditEvent, number: int, at_ms: int) -> dict[str, Any]:
        plain = "a fact of an audit event is no text, finite number or truth value"
        if not all(isinstance(fact, Fact) for fact in event.facts.values()):
            raise ConfigError(plain)
        try:
            facts = canonical_json(dict(event.facts)).decode()
        except ValueError as error:
            raise ConfigError(plain) from error
        return {
            "number": number,
            "at_ms": at_ms,
            "tenant": event.tenant,
            "actor": event.actor,
            "action": event.action,
            "subject": event.subject,
            "outcome": event.outcome,
            "facts": facts,
        }


def _chained(previous: bytes, row: Mapping[str, Any]) -> bytes:
    names = ("number", "at_ms", "tenant", "actor", "action", "subject", "outcome", "facts")
    content = canonical_json([row[name] for name in names])
    return hashlib.sha256(b"xnn audit v1" + previous + content).digest()


def _after(connection: Connection, number: int, last: int) -> Sequence[dict[str, Any]]:
    rows = connection.execute(
        select(AUDIT)
        .where(AUDIT.c.number > number, AUDIT.c.number <= last)
        .order_by(AUDIT.c.number)
        .limit(_AT_ONCE)
    )
    return [row._asdict() for row in rows]


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at_ms=row.at_ms,
        event=AuditEvent(
            tenant=row.tenant,
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            outcome=row.outcome,
            facts=json.loads(row.facts),
        ),
        digest=row.digest.hex(),
    )
