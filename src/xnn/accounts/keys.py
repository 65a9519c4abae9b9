"""API keys: made once, shown once, kept as digests, revoked for ever."""

import hashlib
import hmac
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from sqlalchemy import bindparam, func, insert, select, update

from xnn.database import Database
from xnn.database.tables import API_KEYS
from xnn.errors import AccessError, ConfigError, UnknownNameError
from xnn.wire.key_text import fresh_text, parse_text

Role = Literal["enrol", "search", "admin"]
"""`enrol`: subjects and templates. `search`: verify and search. `admin`: keys, retirement, log."""

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{0,100}\Z")
_NO_DIGEST = bytes(32)
_BY_NAME = select(API_KEYS).where(API_KEYS.c.name == bindparam("name"))  # built once for all


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key; never its secret."""

    name: str
    """12 hexadecimal digits; part of the key's text, and not secret."""
    tenant: str
    roles: frozenset[Role]
    label: str
    """The operator's note: whom it was given to."""
    created_ms: int
    revoked_ms: int | None

    def require(self, role: Role) -> None:
        """Refuse what the key may not do.

        Raises:
            AccessError: It lacks the role.
        """
        if role not in self.roles:
            raise AccessError(f"API key {self.name} lacks the role {role!r}; ask the operator")


@final
class Accounts:
    """All API keys of a service. There are none until somebody makes one.

    Trust: server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, roles: Collection[str], *, label: str = "") -> tuple[ApiKey, str]:
        """Make a key; return it and its text, which is shown this once and stored nowhere.

        Args:
            tenant: Whose gallery it opens: 1 to 128 of `A-Z a-z 0-9 . _ -`.
            roles: At least one.
            label: A note of at most 100 printable characters.

        Raises:
            ConfigError: One of them is none.
            BusyError: The database is locked, full or away.
        """
        known = get_args(Role)
        if not roles or not set(roles) <= set(known):
            raise ConfigError(f"roles are not at least one of {', '.join(known)}")
        if not _TENANT.match(tenant):
            raise ConfigError(
                f"tenant of {len(tenant)} characters is no name; use 1 to 128 of A-Z a-z 0-9 . _ -"
            )
        if not _LABEL.match(label):
            raise ConfigError("label is longer than 100 characters or holds control characters")
        name, text = fresh_text()
        row = {
            "name": name,
            "tenant": tenant,
            "roles": ",".join(sorted(set(roles))),
            "label": label,
            "created_ms": time.time_ns() // 1_000_000,
            "revoked_ms": None,
        }
        digest = _digest(parse_text(text)[1])
        with self._database.writing() as connection:
            connection.execute(insert(API_KEYS).values(secret_sha256=digest, **row))
        return _key(row), text

    def authenticate(self, text: str) -> ApiKey:
        """Return the key whose text somebody sent.

        Takes the same steps for an unknown name as for a wrong secret; the digests are compared in
        constant time.

        Raises:
            AccessError: No API key, an unknown or a revoked one. The text does not say which.
            BusyError: The database is away: nobody is let in.
        """
        name, secret = parse_text(text)
        row = self._database.lookup(_BY_NAME, name=name)
        stored = _NO_DIGEST if row is None else row["secret_sha256"]
        same = hmac.compare_digest(_digest(secret), stored)
        if row is None or not same or row["revoked_ms"] is not None:
            raise AccessError("the API key is unknown or revoked; ask the operator for one")
        return _key(row)

    def all_keys(self, tenant: str | None = None) -> list[ApiKey]:
        """Return all keys, or a tenant's, oldest first; revoked ones too."""
        query = select(API_KEYS).order_by(API_KEYS.c.created_ms, API_KEYS.c.name)
        if tenant is not None:
            query = query.where(API_KEYS.c.tenant == tenant)
        with self._database.reading() as connection:
            return [_key(row._asdict()) for row in connection.execute(query)]

    def revoke(self, name: str, *, tenant: str | None = None) -> ApiKey:
        """Revoke a key for ever, from the next request on. Revoking it again changes nothing.

        Args:
            name: 12 hexadecimal digits.
            tenant: If given, only a key of this tenant.

        Raises:
            UnknownNameError: There is no such key.
            BusyError: The database is locked, full or away.
        """
        mine = API_KEYS.c.name == name
        if tenant is not None:
            mine &= API_KEYS.c.tenant == tenant
        now_ms = time.time_ns() // 1_000_000
        with self._database.writing() as connection:
            connection.execute(
                update(API_KEYS)
                .where(mine, API_KEYS.c.revoked_ms.is_(None))
                .values(revoked_ms=now_ms)
            )
            row = connection.execute(select(API_KEYS).where(mine)).one_or_none()
        if row is None:
            raise UnknownNameError("there is no such API key; list those there are")
        return _key(row._asdict())

    def num_active(self) -> int:
        """Return how many keys are not revoked."""
        query = select(func.count()).select_from(API_KEYS).where(API_KEYS.c.revoked_ms.is_(None))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()


def _digest(secret: bytes) -> bytes:
    # 256 random bits cannot be guessed, however quick the digest is: no slow hash is needed.
    return hashlib.sha256(b"xnn api key v1" + secret).digest()


def _key(row: dict[str, Any]) -> ApiKey:
    return ApiKey(
        name=row["name"],
        tenant=row["tenant"],
        roles=frozenset(row["roles"].split(",")),
        label=row["label"],
        created_ms=row["created_ms"],
        revoked_ms=row["revoked_ms"],
    )
