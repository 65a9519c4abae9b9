"""All tables of the service. Times are milliseconds since 1970, UTC; digests are SHA-256."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()

# Names sort by their bytes in every database, as Python sorts them.
NAME = String().with_variant(String(collation="C"), "postgresql")

STATE = Table(
    "gallery_state",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("gallery_id", String(32), nullable=False),
    # Counts changes of templates; its row is what writers of PostgreSQL queue for.
    Column("version", BigInteger, nullable=False),
    # Erasures up to this version are no longer listed in ERASURES.
    Column("pruned_version", BigInteger, nullable=False),
    # "sealed", or "clear": vectors in pgvector.
    Column("vectors", String(16), nullable=False),
)

DATA_KEYS = Table(
    "data_keys",
    METADATA,
    Column("data_key_id", String(16), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("master_id", String(16), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("subject_id", NAME, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
)

TEMPLATES = Table(
    "templates",
    METADATA,
    Column("template_id", String(32), primary_key=True),
    Column("tenant", NAME, nullable=False),
    Column("subject_id", NAME, nullable=False),
    Column("bundle_id", String(64), nullable=False),
    Column("key_id", Text, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    # Version of the gallery that added it, and its place among those added together.
    Column("version", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    # The vector, sealed; all three are null where vectors are in the clear.
    Column("data_key_id", String(16), ForeignKey("data_keys.data_key_id"), nullable=True),
    Column("nonce", LargeBinary, nullable=True),
    Column("sealed", LargeBinary, nullable=True),
    ForeignKeyConstraint(["tenant", "subject_id"], ["subjects.tenant", "subjects.subject_id"]),
    Index("templates_of_subject", "tenant", "subject_id", "version", "place"),
    Index("templates_by_version", "version"),
)

ERASURES = Table(
    "erasures",
    METADATA,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("template_id", String(32), primary_key=True),
)

BUNDLES = Table(
    "bundles",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("bundle_id", String(64), primary_key=True),
    Column("width", Integer, nullable=False),
)

RETIRED = Table(
    "retired",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
)

REQUESTS = Table(
    "requests",
    METADATA,
    Column("tenant", NAME, primary_key=True),
    Column("request_id", String(32), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    # JSON list.
    Column("template_ids", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("requests_by_age", "created_ms"),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("name", String(12), primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("tenant", NAME, nullable=False),
    # Comma-separated, sorted.
    Column("roles", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=True),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("tenant", NAME, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=True),
    Column("outcome", Text, nullable=False),
    # Canonical JSON of an object of plain facts.
    Column("facts", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("audit_of_tenant", "tenant", "number"),
)

AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
