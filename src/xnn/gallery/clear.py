"""Vectors in the clear in PostgreSQL, compared there by pgvector."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError

from xnn.database import Database
from xnn.database.tables import TEMPLATES
from xnn.errors import ConfigError, MissingExtraError
from xnn.gallery import records
from xnn.gallery.base import Candidate, TemplateInfo
from xnn.gallery.keeper import VectorKeeper
from xnn.gallery.memory import row_of
from xnn.gallery.space import FreshTemplate, Space
from xnn.types import SubjectId

_TABLE = """
CREATE TABLE IF NOT EXISTS template_vectors (
    template_id VARCHAR(32) PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
    vector vector NOT NULL
)"""

# pgvector's <#> is the negative inner product. Rounded to float32, as elsewhere.
_SEARCH = """
SELECT * FROM (
    SELECT DISTINCT ON (t.subject_id) t.subject_id, t.template_id,
        (-(v.vector <#> CAST(:probe AS vector)))::real AS score
    FROM templates t JOIN template_vectors v USING (template_id)
    WHERE t.tenant = :tenant AND t.bundle_id = :bundle_id
        AND t.key_id IS NOT DISTINCT FROM CAST(:key_id AS text)
    ORDER BY t.subject_id, score DESC, t.template_id
) best
WHERE score >= CAST(:threshold AS real) ORDER BY score DESC, subject_id LIMIT :top_k
"""
_VERIFY = """
SELECT max((-(v.vector <#> CAST(:probe AS vector)))::real)
FROM templates t JOIN template_vectors v USING (template_id)
WHERE t.tenant = :tenant AND t.subject_id = :subject_id AND t.bundle_id = :bundle_id
    AND t.key_id IS NOT DISTINCT FROM CAST(:key_id AS text)
"""
_READ = """
SELECT t.*, v.vector::real[] AS vector FROM templates t JOIN template_vectors v USING (template_id)
WHERE t.tenant = :tenant AND t.template_id > :after ORDER BY t.template_id LIMIT :limit
"""
_STORE = "INSERT INTO template_vectors VALUES (:template_id, CAST(:vector AS vector))"


@final
class ClearVectors(VectorKeeper):
    """The database compares: no memory in this process, and none of XNN's sealing.

    Whoever reads the database reads templates; only the operator's disk encryption and access
    rules protect them. Search is exact: pgvector reads every vector of the tenant's bundle.
    """

    def __init__(self, database: Database) -> None:
        """Make the table if need be.

        Raises:
            ConfigError: The database is not PostgreSQL.
            MissingExtraError: The server has no pgvector, or its user may not enable it.
        """
        if database.is_sqlite:
            raise ConfigError("vectors in the clear need PostgreSQL with pgvector; use sealed ones")
        self._database = database
        try:
            with database.writing() as connection:
                records.next_version(connection)  # one process at a time
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                connection.execute(text(_TABLE))
        except DBAPIError:
            raise MissingExtraError(
                "the PostgreSQL server has no pgvector, or this user may not enable it; install it "
                "and run `CREATE EXTENSION vector` as its superuser, or use sealed vectors"
            ) from None

    def store(self, connection: Connection, templates: Sequence[FreshTemplate]) -> None:
        """Write rows, and vectors beside them."""
        connection.execute(insert(TEMPLATES), [row_of(fresh) for fresh in templates])
        values = [
            {"template_id": fresh.info.template_id, "vector": _text(fresh.vector)}
            for fresh in templates
        ]
        connection.execute(text(_STORE), values)

    def read(
        self, connection: Connection, tenant: str, *, after: str, limit: int
    ) -> list[tuple[TemplateInfo, Float32[np.ndarray, " e"]]]:
        """Return templates of a tenant with their vectors, in order of template_id."""
        values = {"tenant": tenant, "after": after, "limit": limit}
        rows = connection.execute(text(_READ), values)
        return [(records.info_of(row), np.array(row.vector, np.float32)) for row in rows]

    def catch_up(self, connection: Connection, *, load: bool = True) -> None:
        """Do nothing: there is no memory to keep in step."""

    def count(self, connection: Connection, tenant: str) -> int:
        """Return how many templates the tenant has."""
        return records.count(connection, tenant)[1]

    def best_of_subject(
        self, space: Space, subject_id: SubjectId, probes: Float32[np.ndarray, "q e"]
    ) -> Float32[np.ndarray, " q"] | None:
        """Return each probe's score against the best template; None where there is none."""
        scores = []
        with self._database.reading() as connection:
            for probe in probes:
                values = space._asdict() | {"probe": _text(probe), "subject_id": subject_id}
                score = connection.execute(text(_VERIFY), values).scalar_one()
                if score is None:
                    return None
                scores.append(score)
        return np.clip(np.array(scores, np.float32), -1, 1)

    def search(
        self, space: Space, probes: Float32[np.ndarray, "q e"], *, top_k: int, threshold: float
    ) -> list[list[Candidate]]:
        """Return the best subjects of each probe, best first; ties by name."""
        # -1 lets everything pass, also what rounding leaves a little below it.
        least = threshold if threshold > -1 else -2.0
        with self._database.reading() as connection:
            return [
                [
                    _candidate(row)
                    for row in connection.execute(
                        text(_SEARCH),
                        space._asdict()
                        | {"probe": _text(probe), "threshold": least, "top_k": top_k},
                    )
                ]
                for probe in probes
            ]


def _candidate(row: Any) -> Candidate:
    return Candidate(
        subject_id=SubjectId(row.subject_id),
        template_id=row.template_id,
        score=min(1.0, max(-1.0, float(row.score))),
    )


def _text(vector: Float32[np.ndarray, " e"]) -> str:
    return "[" + ",".join(f"{x:.9g}" for x in vector.tolist()) + "]"
