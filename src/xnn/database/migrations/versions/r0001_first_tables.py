"""The first tables."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make all tables, and the one row each of the two that count."""
    _make_keys_and_state()
    _make_templates()
    _make_requests()
    _make_accounts()
    connection = op.get_bind()
    connection.execute(
        sa.text("INSERT INTO gallery_state VALUES (1, :gallery_id, 0, 0, 'sealed')"),
        {"gallery_id": secrets.token_hex(16)},
    )
    connection.execute(
        sa.text("INSERT INTO audit_head VALUES (1, 0, :digest)"), {"digest": bytes(32)}
    )


def _make_keys_and_state() -> None:
    op.create_table(
        "data_keys",
        sa.Column("data_key_id", sa.String(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("master_id", sa.String(length=16), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("data_key_id"),
    )
    op.create_table(
        "gallery_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("gallery_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("pruned_version", sa.BigInteger(), nullable=False),
        sa.Column("vectors", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _make_templates() -> None:
    op.create_table(
        "subjects",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("subject_id", NAME, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "subject_id"),
    )
    op.create_table(
        "templates",
        sa.Column("template_id", sa.String(length=32), nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("subject_id", NAME, nullable=False),
        sa.Column("bundle_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("data_key_id", sa.String(length=16), nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["data_key_id"],
            ["data_keys.data_key_id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant", "subject_id"],
            ["subjects.tenant", "subjects.subject_id"],
        ),
        sa.PrimaryKeyConstraint("template_id"),
    )
    op.create_index("templates_by_version", "templates", ["version"], unique=False)
    op.create_index(
        "templates_of_subject",
        "templates",
        ["tenant", "subject_id", "version", "place"],
        unique=False,
    )


def _make_requests() -> None:
    op.create_table(
        "erasures",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("template_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("version", "template_id"),
    )
    op.create_table(
        "bundles",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("bundle_id", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bundle_id"),
    )
    op.create_table(
        "retired",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "name"),
    )
    op.create_table(
        "requests",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("template_ids", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "request_id"),
    )
    op.create_index("requests_by_age", "requests", ["created_ms"], unique=False)


def _make_accounts() -> None:
    op.create_table(
        "api_keys",
        sa.Column("name", sa.String(length=12), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("audit_of_tenant", "audit", ["tenant", "number"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
