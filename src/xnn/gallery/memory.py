"""Vectors sealed in the database, open in memory: loaded at start and kept in step."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, func, insert, select

from xnn.database import Sealed, Vault
from xnn.database.tables import ERASURES, STATE, TEMPLATES
from xnn.errors import CorruptError
from xnn.gallery import records
from xnn.gallery.approximate import ApproximateIndex
from xnn.gallery.base import Candidate, TemplateInfo
from xnn.gallery.exact import ExactIndex
from xnn.gallery.keeper import VectorKeeper
from xnn.gallery.space import FreshTemplate, Space, associated_data
from xnn.gallery.turns import Turns
from xnn.types import KeyId, SubjectId

SearchIndex = ExactIndex | ApproximateIndex
NewIndex = Callable[[int, int], SearchIndex]
"""From the width of vectors and the number of rows to expect."""

_STATE = select(STATE.c.version, STATE.c.pruned_version)  # built once: asked at every comparison
_AT_ONCE = 1024  # templates opened before they are added together


@final
class MemoryVectors(VectorKeeper):
    """Follows the database by its counter of changes.

    Nothing is put into memory but what a transaction has committed, so memory and database cannot
    part: before each comparison `catch_up` reads the counter, and what changed if it moved.
    """

    def __init__(self, vault: Vault, new_index: NewIndex) -> None:
        self._vault = vault
        self._new_index = new_index
        self._turns = Turns()
        self._indexes: dict[Space, SearchIndex] = {}
        self._version, self._loaded = -1, False

    def store(self, connection: Connection, templates: Sequence[FreshTemplate]) -> None:
        """Write rows with sealed vectors."""
        self._vault.refresh(connection)
        rows: list[dict[str, Any]] = []
        for fresh in templates:
            info = fresh.info
            content = fresh.vector.astype("<f4").tobytes()
            value = self._vault.seal(content, associated_data(fresh.tenant, info))
            rows.append(
                row_of(fresh)
                | {
                    "data_key_id": value.data_key_id,
                    "nonce": value.nonce,
                    "sealed": value.sealed,
                }
            )
        connection.execute(insert(TEMPLATES), rows)

    def read(
        self, connection: Connection, tenant: str, *, after: str, limit: int
    ) -> list[tuple[TemplateInfo, Float32[np.ndarray, " e"]]]:
        """Return templates of a tenant with their vectors, in order of template_id."""
        rows = connection.execute(
            select(TEMPLATES)
            .where(TEMPLATES.c.tenant == tenant, TEMPLATES.c.template_id > after)
            .order_by(TEMPLATES.c.template_id)
            .limit(limit)
        ).all()
        return [(records.info_of(row), open_vector(self._vault, connection, row)) for row in rows]

    def catch_up(self, connection: Connection, *, load: bool = True) -> None:
        """Take up committed changes.

        Args:
            connection: With an open transaction.
            load: Also if nothing was loaded yet.

        Raises:
            CorruptError: A stored vector does not open.
        """
        state = connection.execute(_STATE).one()
        if state.version == self._version or not (load or self._loaded):
            return
        with self._turns.writing():
            if state.version <= self._version:
                return  # another thread was here, and has seen more
            known, self._version = self._version, -1  # half-way is nowhere: load anew after that
            if known < state.pruned_version:
                self._load(connection, state.version)
            else:
                self._follow(connection, known, state.version)
            self._version, self._loaded = state.version, True

    def count(self, _connection: Connection, tenant: str) -> int:
        """Return how many templates the tenant had when `catch_up` was last called."""
        with self._turns.reading():
            return sum(len(i) for space, i in self._indexes.items() if space.tenant == tenant)

    def best_of_subject(
        self, space: Space, subject_id: SubjectId, probes: Float32[np.ndarray, "q e"]
    ) -> Float32[np.ndarray, " q"] | None:
        """Return each probe's score against the best template; None where there is none."""
        with self._turns.reading():
            index = self._indexes.get(space)
            return None if index is None else index.best_of_subject(subject_id, probes)

    def search(
        self, space: Space, probes: Float32[np.ndarray, "q e"], *, top_k: int, threshold: float
    ) -> list[list[Candidate]]:
        """Return the best subjects of each probe, best first; ties by name."""
        with self._turns.reading():
            index = self._indexes.get(space)
            if index is None:
                return [[] for _ in probes]
            return index.search(probes, top_k=top_k, threshold=threshold)

    def _load(self, connection: Connection, version: int) -> None:
        """Read everything anew, into indexes of the right size from the start."""
        self._indexes = {}
        table = TEMPLATES.c
        space = (table.tenant, table.bundle_id, table.key_id)
        sizes = connection.execute(select(*space, func.count()).group_by(*space)).all()
        for tenant, bundle_id, key_id, rows in sizes:
            space_of_rows = Space(tenant, bundle_id, key_id)
            width = records.standing_of(connection, space_of_rows).width
            if width is None:
                raise CorruptError(
                    "the gallery has templates of a bundle that it does not list; restore it from "
                    "a backup or an export"
                )
            self._indexes[space_of_rows] = self._new_index(width, rows)
        self._take(connection, 0, version)

    def _follow(self, connection: Connection, known: int, version: int) -> None:
        changed = ERASURES.c.version > known
        gone = connection.execute(select(ERASURES.c.template_id).where(changed)).scalars().all()
        if gone:
            for index in self._indexes.values():
                index.remove(gone)
            self._indexes = {space: index for space, index in self._indexes.items() if len(index)}
        # Afterwards: an import may bring back a template that was erased.
        self._take(connection, known, version)

    def _take(self, connection: Connection, after: int, version: int) -> None:
        rows = connection.execution_options(yield_per=_AT_ONCE).execute(
            select(TEMPLATES).where(TEMPLATES.c.version > after, TEMPLATES.c.version <= version)
        )
        for part in rows.partitions():
            groups: dict[Space, list[Any]] = defaultdict(list)
            for row in part:
                groups[Space(row.tenant, row.bundle_id, row.key_id)].append(row)
            for space, group in groups.items():
                self._open(connection, space, group)

    def _open(self, connection: Connection, space: Space, rows: Sequence[Any]) -> None:
        vectors = [self._vector(connection, row) for row in rows]
        width = len(vectors[0])
        if space not in self._indexes:
            self._indexes[space] = self._new_index(width, len(rows))
        if any(len(vector) != self._indexes[space].width for vector in vectors):
            raise CorruptError("stored templates of one bundle differ in width; restore a backup")
        self._indexes[space].add(
            [row.template_id for row in rows],
            [SubjectId(row.subject_id) for row in rows],
            np.stack(vectors),
        )

    def _vector(self, connection: Connection, row: Any) -> Float32[np.ndarray, " e"]:
        return open_vector(self._vault, connection, row)


def open_vector(vault: Vault, connection: Connection, row: Any) -> Float32[np.ndarray, " e"]:
    """Open the sealed vector of a row of templates.

    Raises:
        CorruptError: It was altered or moved, or there is none.
    """
    if row.sealed is None:
        raise CorruptError("a template has no sealed vector; restore the gallery from a backup")
    value = Sealed(row.data_key_id, row.nonce, row.sealed)
    content = vault.unseal(connection, value, associated_data(row.tenant, records.info_of(row)))
    return np.frombuffer(content, "<f4").astype(np.float32)


def row_of(fresh: FreshTemplate) -> dict[str, Any]:
    """Return the columns of a template without its vector."""
    info = fresh.info
    return {
        "template_id": info.template_id,
        "tenant": fresh.tenant,
        "subject_id": info.subject_id,
        "bundle_id": info.bundle_id,
        "key_id": None if info.key_id is None else KeyId(info.key_id),
        "created_ms": info.created_ms,
        "version": fresh.version,
        "place": fresh.place,
    }
