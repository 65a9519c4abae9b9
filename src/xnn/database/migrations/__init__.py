"""Migrations (alembic), run by `xnn.database.migrate`. A released one is never edited."""
