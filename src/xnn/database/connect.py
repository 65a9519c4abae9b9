"""Connections and transactions, on SQLite (one file) or PostgreSQL (several processes)."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from sqlalchemy import Connection, Engine, Select, create_engine, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from xnn.database.migrate import bring_up_to_date
from xnn.database.problems import database_errors
from xnn.errors import ConfigError, MissingExtraError
from xnn.files import disk_errors

_WRITES = "xnn_writes"  # an execution option that the "begin" hook of SQLite reads


@final
class Database:
    """One database of the service; may be used by several threads.

    Trust: server.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._scrub_lock = threading.Lock()
        self._erased = 0  # erasures committed
        self._scrubbed = 0  # erasures whose bytes are gone from the file
        self._texts: dict[Select[Any], str] = {}  # of queries for `lookup`

    def __repr__(self) -> str:
        return f"Database({self._engine.dialect.name})"

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file, used by few processes."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state and changes nothing.

        Raises:
            BusyError: The database is locked or away.
            CorruptError: The file is damaged.
        """
        with database_errors(), self._engine.connect() as connection:
            if not self.is_sqlite:  # there, the first statement takes the snapshot anyway
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is on disk when the block ends, or undone by an error.

        Raises:
            BusyError: The database is locked, full or away; nothing was changed.
            CorruptError: The file is damaged.
        """
        with database_errors(), self._engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def lookup(self, query: Select[Any], **values: str) -> dict[str, Any] | None:
        """Return the only row that one statement finds, by its columns' names; None for none.

        A statement alone sees one state, so it needs no transaction. Every request asks this way
        who calls: SQLite is asked directly, which takes a third of the time.

        Args:
            query: Of plain columns. Kept for ever: give one that is built once.
            values: Of its parameters.

        Raises:
            BusyError: The database is locked or away.
            CorruptError: The file is damaged.
        """
        if not self.is_sqlite:
            with self.reading() as connection:
                found = connection.execute(query, values).one_or_none()
                return None if found is None else dict(found._mapping)
        if query not in self._texts:
            self._texts[query] = str(query.compile(dialect=sqlite.dialect(paramstyle="named")))
        with database_errors(), contextlib.closing(self._engine.raw_connection()) as connection:
            cursor = connection.driver_connection.execute(self._texts[query], values)  # type: ignore[union-attr]
            row, names = cursor.fetchone(), [column[0] for column in cursor.description]
        return None if row is None else dict(zip(names, row, strict=True))

    def scrub(self) -> bool:
        """Take the bytes of what was erased out of the files of SQLite.

        The deleting transaction wrote zeros over it (`secure_delete`), but into the write-ahead
        log; this moves them to the main file and cuts the log to nothing. Threads that erase at
        the same time share one pass.

        Returns:
            Whether nothing is left. False where a reader of another process holds the log; the
            next scrub, or opening, does it. On PostgreSQL this does nothing and returns False:
            see docs/reference/gallery.md.
        """
        if not self.is_sqlite:
            return False
        with self._scrub_lock:
            self._erased += 1
            ticket = self._erased
        with self._scrub_lock:
            if self._scrubbed >= ticket:
                return True
            covers = self._erased
            if not self._checkpoint():
                return False
            self._scrubbed = covers
            return True

    def _checkpoint(self) -> bool:
        with database_errors(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            (busy, _, _) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # type: ignore[union-attr]
        return not busy

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            BusyError: It does not.
        """
        with self.reading() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Let go of files and connections."""
        self._engine.dispose()


def open_database(address: str, *, timeout_s: float = 5.0, create: bool = True) -> Database:
    """Open a database, make its tables, or bring older ones up to date.

    Args:
        address: `sqlite:///FILE`, a path of a file, or `postgresql://USER:PASSWORD@HOST/NAME`.
        timeout_s: How long to wait for another process's lock.
        create: Make the file if it is missing.

    Raises:
        ConfigError: The address is none of these, or the file is missing and not to be made.
        BusyError: Locked, full or away.
        CorruptError: The file is no database of ours, or damaged.
        VersionError: A newer program wrote it.
        MissingExtraError: PostgreSQL without its driver.
    """
    url = _parse(address)
    if url.get_backend_name() == "sqlite":
        engine = _sqlite(url, timeout_s, create)
    else:
        engine = _postgres(url, timeout_s)
    database = Database(engine)
    try:
        with database.writing() as connection:
            bring_up_to_date(connection)
        database.scrub()  # what a process erased and was killed before it could
    except BaseException:
        database.close()
        raise
    return database


def _parse(address: str) -> URL:
    wanted = "write sqlite:///FILE or postgresql://USER@HOST/NAME"
    if "://" not in address:
        address = f"sqlite:///{address}"
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise ConfigError(f"the gallery's address is malformed; {wanted}") from None
    backend = url.get_backend_name()
    if backend == "postgres":
        url, backend = url.set(drivername="postgresql+psycopg"), "postgresql"
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"a gallery cannot be kept in {backend[:20]!r}; {wanted}")
    if backend == "sqlite" and (not url.database or url.database == ":memory:" or url.query):
        raise ConfigError(f"a gallery in SQLite needs a file and takes no options; {wanted}")
    return url


def _sqlite(url: URL, timeout_s: float, create: bool) -> Engine:
    path = Path(str(url.database))
    if not path.exists():
        if not create:
            raise ConfigError(f"there is no gallery {path.name!r}; look at the address")
        with disk_errors("make the gallery", path):
            # Mode before the first byte; SQLite gives its log the mode of the file.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    engine = create_engine(
        url.set(drivername="sqlite"), pool_size=8, max_overflow=24, pool_timeout=timeout_s
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, DDL included
        for pragma in (
            f"busy_timeout={int(timeout_s * 1000)}",
            # Of a file that is made: a template of 512 numbers would waste half a page of 4096.
            "page_size=8192",
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
            "cell_size_check=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: it would otherwise fail half-way without waiting.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(url: URL, timeout_s: float) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "galleries in PostgreSQL need `pip install 'xnn-face[postgres]'`"
        ) from error
    milliseconds = int(timeout_s * 1000)
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=8,
        max_overflow=24,
        pool_timeout=timeout_s,
        pool_pre_ping=True,  # a server that was away and is back is noticed here
        isolation_level="READ COMMITTED",
        connect_args={
            "client_encoding": "utf8",
            "connect_timeout": max(2, round(timeout_s)),
            "options": f"-c lock_timeout={milliseconds}",
        },
    )
