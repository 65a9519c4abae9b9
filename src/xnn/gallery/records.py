"""Subjects, templates, requests and retirements as rows; the SQL, and no decision of its own."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from xnn.database.tables import BUNDLES, ERASURES, REQUESTS, RETIRED, STATE, SUBJECTS, TEMPLATES
from xnn.errors import DuplicateError
from xnn.files import canonical_json
from xnn.gallery.base import TemplateInfo
from xnn.gallery.space import Space
from xnn.types import KeyId, SubjectId

_INFO = (
    TEMPLATES.c.template_id,
    TEMPLATES.c.subject_id,
    TEMPLATES.c.bundle_id,
    TEMPLATES.c.key_id,
    TEMPLATES.c.created_ms,
)
_ORDER = (TEMPLATES.c.version, TEMPLATES.c.place)
_AT_ONCE = 500  # values in one IN list
_KEPT_ERASURES = 100_000


def version_of(connection: Connection) -> int:
    """Return the gallery's counter of changes."""
    return connection.execute(select(STATE.c.version)).scalar_one()


def facts(connection: Connection) -> dict[str, str | int]:
    """Return what there is to know of the gallery as a whole."""
    row = connection.execute(select(STATE.c.gallery_id, STATE.c.version, STATE.c.vectors)).one()
    return {"gallery_id": row.gallery_id, "version": row.version, "vectors": row.vectors}


def next_version(connection: Connection) -> int:
    """Count a change; on PostgreSQL, wait for other writers first, so that numbers commit in order.

    Called before anything else is read in a writing transaction.
    """
    connection.execute(update(STATE).values(version=STATE.c.version + 1))
    return version_of(connection)


def has_subject(connection: Connection, tenant: str, subject_id: str) -> bool:
    """Tell whether a tenant has a subject."""
    return connection.execute(select(_one(SUBJECTS, tenant, subject_id).exists())).scalar_one()


def add_subject(connection: Connection, tenant: str, subject_id: str, now_ms: int) -> None:
    """Add a subject that is not there."""
    row = {"tenant": tenant, "subject_id": subject_id, "created_ms": now_ms}
    connection.execute(insert(SUBJECTS).values(**row))


def remove_subject(connection: Connection, tenant: str, subject_id: str) -> None:
    """Remove a subject without templates."""
    connection.execute(
        delete(SUBJECTS)
        .where(SUBJECTS.c.tenant == tenant)
        .where(SUBJECTS.c.subject_id == subject_id)
    )


def list_subjects(connection: Connection, tenant: str, after: str, limit: int) -> list[SubjectId]:
    """Return subjects in order of their names."""
    found = connection.execute(
        select(SUBJECTS.c.subject_id)
        .where(SUBJECTS.c.tenant == tenant)
        .where(SUBJECTS.c.subject_id > after)
        .order_by(SUBJECTS.c.subject_id)
        .limit(limit)
    )
    return [SubjectId(name) for name in found.scalars()]


def count(connection: Connection, tenant: str) -> tuple[int, int]:
    """Return the numbers of subjects and of templates."""
    subjects, templates = (
        connection.execute(
            select(func.count()).select_from(table).where(table.c.tenant == tenant)
        ).scalar_one()
        for table in (SUBJECTS, TEMPLATES)
    )
    return subjects, templates


def templates_of(connection: Connection, tenant: str, subject_id: str) -> list[TemplateInfo]:
    """Return the templates of a subject, oldest first."""
    return _infos(connection, TEMPLATES.c.tenant == tenant, TEMPLATES.c.subject_id == subject_id)


def template(connection: Connection, tenant: str, template_id: str) -> TemplateInfo | None:
    """Return one template of a tenant."""
    found = _infos(connection, TEMPLATES.c.tenant == tenant, TEMPLATES.c.template_id == template_id)
    return found[0] if found else None


def owners_of(connection: Connection, template_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return tenant and subject of those templates that are there."""
    columns = (TEMPLATES.c.template_id, TEMPLATES.c.tenant, TEMPLATES.c.subject_id)
    return {
        row.template_id: (row.tenant, row.subject_id)
        for part in _parts(template_ids)
        for row in connection.execute(select(*columns).where(columns[0].in_(part)))
    }


def templates_under(
    connection: Connection, tenant: str, *, bundle_id: str | None, key_id: str | None
) -> list[TemplateInfo]:
    """Return a tenant's templates made under a bundle or under a key."""
    conditions = []
    if bundle_id is not None:
        conditions.append(TEMPLATES.c.bundle_id == bundle_id)
    if key_id is not None:
        conditions.append(TEMPLATES.c.key_id == key_id)
    either = conditions[0] if len(conditions) == 1 else conditions[0] | conditions[1]
    return _infos(connection, TEMPLATES.c.tenant == tenant, either)


def remove_templates(connection: Connection, template_ids: Sequence[str], version: int) -> None:
    """Remove templates and list them for other processes to forget."""
    for part in _parts(template_ids):
        connection.execute(delete(TEMPLATES).where(TEMPLATES.c.template_id.in_(part)))
        rows = [{"version": version, "template_id": template_id} for template_id in part]
        connection.execute(insert(ERASURES), rows)
    oldest = version - _KEPT_ERASURES
    if connection.execute(delete(ERASURES).where(ERASURES.c.version <= oldest)).rowcount:
        connection.execute(update(STATE).values(pruned_version=oldest))


class Standing(NamedTuple):
    """What the database says of a space before anything is compared."""

    width: int | None
    """Of the bundle's vectors; None before the first."""
    bundle_retired: bool
    key_retired: bool


def _retired(kind: str) -> Exists:
    mine = RETIRED.c.tenant == bindparam("tenant")
    return exists().where(mine, RETIRED.c.kind == kind, RETIRED.c.name == bindparam(kind))


# Built once: every recognition runs it, and to write it out takes longer than to run it.
_STANDING = select(
    select(BUNDLES.c.width)
    .where(BUNDLES.c.tenant == bindparam("tenant"), BUNDLES.c.bundle_id == bindparam("bundle"))
    .scalar_subquery(),
    _retired("bundle"),
    _retired("key"),
)


def standing_of(connection: Connection, space: Space) -> Standing:
    """Return what is known of a tenant's bundle and key."""
    names = {"tenant": space.tenant, "bundle": space.bundle_id, "key": space.key_id or ""}
    return Standing(*connection.execute(_STANDING, names).one())


def set_width(connection: Connection, tenant: str, bundle_id: str, width: int) -> None:
    """Fix the width of a bundle's vectors."""
    connection.execute(insert(BUNDLES).values(tenant=tenant, bundle_id=bundle_id, width=width))


def retire(connection: Connection, tenant: str, kind: str, name: str, now_ms: int) -> None:
    """Refuse a bundle or a key from now on."""
    if not is_retired(connection, tenant, kind, name):
        row = {"tenant": tenant, "kind": kind, "name": name, "at_ms": now_ms}
        connection.execute(insert(RETIRED).values(**row))


def is_retired(connection: Connection, tenant: str, kind: str, name: str) -> bool:
    """Tell whether a bundle or a key is refused."""
    found = select(RETIRED.c.name).where(
        RETIRED.c.tenant == tenant, RETIRED.c.kind == kind, RETIRED.c.name == name
    )
    return connection.execute(select(found.exists())).scalar_one()


def request_digest(subject_id: str, space: Space, num_vectors: int) -> bytes:
    """Return what a repeated request must have in common with the first. Names nobody."""
    facts = [subject_id, space.bundle_id, space.key_id, num_vectors]
    return hashlib.sha256(canonical_json(facts)).digest()


def find_request(
    connection: Connection, tenant: str, request_id: str, digest: bytes, oldest_ms: int
) -> list[TemplateInfo] | None:
    """Return the templates of a request that was served before; None for a new one.

    Raises:
        DuplicateError: It was another request.
    """
    row = connection.execute(
        select(REQUESTS.c.digest, REQUESTS.c.template_ids)
        .where(REQUESTS.c.tenant == tenant, REQUESTS.c.request_id == request_id)
        .where(REQUESTS.c.created_ms >= oldest_ms)
    ).one_or_none()
    if row is None:
        return None
    if row.digest != digest:
        raise DuplicateError(
            "request_id was used for another request; draw a new one for each request and keep "
            "it for its retries only"
        )
    return [
        info
        for part in _parts(json.loads(row.template_ids))
        for info in _infos(
            connection, TEMPLATES.c.tenant == tenant, TEMPLATES.c.template_id.in_(part)
        )
    ]


def remember_request(
    connection: Connection,
    tenant: str,
    request_id: str,
    digest: bytes,
    template_ids: Sequence[str],
    *,
    now_ms: int,
    oldest_ms: int,
) -> None:
    """Remember a request, and forget those that are too old."""
    connection.execute(delete(REQUESTS).where(REQUESTS.c.created_ms < oldest_ms))
    connection.execute(
        insert(REQUESTS).values(
            tenant=tenant,
            request_id=request_id,
            digest=digest,
            template_ids=json.dumps(list(template_ids)),
            created_ms=now_ms,
        )
    )


def _infos(connection: Connection, *conditions: ColumnElement[bool]) -> list[TemplateInfo]:
    rows = connection.execute(select(*_INFO).where(*conditions).order_by(*_ORDER))
    return [info_of(row) for row in rows]


def info_of(row: Any) -> TemplateInfo:
    """Return what is listed of a row of templates."""
    return TemplateInfo(
        template_id=row.template_id,
        subject_id=SubjectId(row.subject_id),
        bundle_id=row.bundle_id,
        key_id=None if row.key_id is None else KeyId(row.key_id),
        created_ms=row.created_ms,
    )


def _one(table: Any, tenant: str, subject_id: str) -> Any:
    return select(table.c.tenant).where(table.c.tenant == tenant, table.c.subject_id == subject_id)


def _parts(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[first : first + _AT_ONCE] for first in range(0, len(values), _AT_ONCE))
