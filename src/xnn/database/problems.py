"""What database drivers raise, as errors of ours: one line, no address, no values."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import exc

from xnn.errors import BusyError, CorruptError, XnnError

_RETRY = "nothing was changed; try again later"


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """Turn an error of the driver into one of ours; errors of ours pass.

    Raises:
        BusyError: Locked, full, read-only or away.
        CorruptError: The file is no database, or damaged.
    """
    try:
        yield
    except exc.TimeoutError as error:
        raise BusyError(f"the gallery's connections are all in use; {_RETRY}") from error
    except exc.DBAPIError as error:
        found = _translate(error)
        if found is None:
            raise
        raise found from None  # the driver's text holds statements and values
    except sqlite3.Error as error:  # from pragmas, before SQLAlchemy sees them
        found = _of_sqlite(error)
        if found is None:
            raise
        raise found from None


def _translate(error: exc.DBAPIError) -> XnnError | None:
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
        state = getattr(error.orig, "sqlstate", None) or ""
        if state == "55P03":
            return BusyError(f"the gallery is locked by another process; {_RETRY}")
        if state.startswith("53"):
            return BusyError(f"the gallery's server has no room left; {_RETRY}")
        return BusyError(f"the gallery's database does not answer; {_RETRY}")
    return None


def _of_sqlite(error: sqlite3.Error) -> XnnError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BusyError(f"the gallery is locked by another process; {_RETRY}")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return BusyError(f"the gallery's disk is full or fails; free space: {_RETRY}")
    if code == sqlite3.SQLITE_READONLY:
        return BusyError(f"the gallery's file is read-only; look at its permissions: {_RETRY}")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return BusyError(
            "the gallery's file cannot be opened: its folder is missing or not yours; "
            "look at the path and its permissions"
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return CorruptError(
            "the gallery's file is damaged or no gallery; restore it from a backup or an export"
        )
    return None
