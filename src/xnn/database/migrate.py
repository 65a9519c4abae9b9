"""Brings the tables of an older program up to date; refuses those of a newer one."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from xnn.errors import CorruptError, VersionError

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x786E6E  # any number that other programs on the server do not use


def bring_up_to_date(connection: Connection) -> None:
    """Run the migrations that are missing, within the caller's writing transaction.

    Raises:
        VersionError: The tables were made by a newer program.
        CorruptError: There are tables, and not ours.
    """
    if connection.dialect.name == "postgresql":  # two processes that start at once take turns
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found = current_revision(connection)
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise VersionError(
            f"the gallery has revision {found[:20]!r}, this program knows up to "
            f"{scripts.get_current_head()!r}; use the newer program that wrote it"
        )
    if found is None and "templates" in inspect(connection).get_table_names():
        raise CorruptError("the database holds tables of another program; give XNN one of its own")
    if found != scripts.get_current_head():
        command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the tables; None if there are none yet."""
    return MigrationContext.configure(connection).get_current_revision()
