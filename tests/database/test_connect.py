"""Opening, transactions, and what goes wrong with a file: one clear error each."""

import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from xnn.database import Database, open_database
from xnn.database.migrate import current_revision
from xnn.database.tables import METADATA
from xnn.errors import BusyError, ConfigError, CorruptError, StorageError, VersionError


def count(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(text("SELECT count(*) FROM subjects")).scalar_one()


def add_many(database: Database, names: list[str]) -> None:
    with database.writing() as connection:
        rows = [{"name": name} for name in names]
        connection.execute(text("INSERT INTO subjects VALUES ('t', :name, 0)"), rows)


def add(database: Database, name: str) -> None:
    add_many(database, [name])


def test_what_a_connection_is_set_to(database: Database, path: Path) -> None:
    found = {}
    with database.reading() as connection:
        for pragma in ("journal_mode", "synchronous", "secure_delete", "foreign_keys"):
            found[pragma] = connection.execute(text(f"PRAGMA {pragma}")).scalar_one()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
    }
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        assert stat.S_IMODE(name.stat().st_mode) == 0o600


def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    def fail_half_way() -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO subjects VALUES ('t', 'a', 0)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert count(database) == 0
    add(database, "b")
    assert count(database) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_migrations_lead_to_the_tables_of_the_program(
    request: pytest.FixtureRequest, path: Path, kind: str
) -> None:
    address = str(path)
    if kind == "postgres":
        address = request.getfixturevalue("postgres_address")
    for _ in range(2):  # opened again, nothing is to be done
        database = open_database(address)
        with database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, METADATA) == []
            assert current_revision(connection) == "0001"
        database.close()


def test_a_newer_revision_is_refused_and_left_alone(database: Database, path: Path) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(VersionError, match="revision '0099', this program knows up to '0001'"):
        open_database(str(path))
    with database.reading() as connection:
        assert current_revision(connection) == "0099"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("mysql://x/y", "cannot be kept in 'mysql'"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///x.db?mode=ro", "takes no options"),
        ("://", "malformed"),
        ("postgresql://user:hunter2@host:port/x", "malformed"),
    ],
)
def test_odd_addresses(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_database(address)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_in_no_error_and_no_repr() -> None:
    with pytest.raises(BusyError) as caught:
        open_database("postgresql://user:hunter2@127.0.0.1:1/x", timeout_s=0.2)
    error: BaseException | None = caught.value
    assert "hunter2" not in f"{error!r} {error!s}"
    assert "does not answer" in str(error)


def test_a_missing_folder_or_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot make the gallery"):
        open_database(str(tmp_path / "absent" / "g.db"))
    with pytest.raises(ConfigError, match=r"there is no gallery 'g\.db'"):
        open_database(str(tmp_path / "g.db"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Anna, " * 500)
    before = letter.read_bytes()
    with pytest.raises(CorruptError, match="damaged or no gallery"):
        open_database(str(letter))
    assert letter.read_bytes() == before
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE templates (letter TEXT)")
    connection.close()
    with pytest.raises(CorruptError, match="tables of another program"):
        open_database(str(other))


def test_a_damaged_file(database: Database, path: Path) -> None:
    add_many(database, [f"x{number}" for number in range(5000)])
    database.close()
    content = bytearray(path.read_bytes())
    for place in range(4096 * 3, len(content), 4096):
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(CorruptError, match="damaged"):
        count(open_database(str(path)))


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Another process that holds a lock on the file until its stdin is closed."""

    def begin(statement: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), statement],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        return process

    return begin


def test_locked_by_another_process(database: Database, path: Path, hold) -> None:
    add(database, "a")
    with hold("BEGIN EXCLUSIVE") as process:
        with pytest.raises(BusyError, match="locked by another process"):
            add(database, "b")
        with pytest.raises(BusyError, match="locked by another process"):
            open_database(str(path), timeout_s=0.1)
        assert count(database) == 1, "readers of a write-ahead log are not kept out"
        process.stdin.close()
        process.wait()
    add(database, "b")
    assert count(database) == 2


def test_a_full_disk_changes_nothing(database: Database, path: Path) -> None:
    add(database, "a")
    most = path.with_name(path.name + "-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most + 4096, hard))
    try:
        with pytest.raises(BusyError, match="disk is full or fails"):
            add_many(database, ["x" * 100 + str(number) for number in range(2000)])
        assert count(database) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    add(database, "b")
    assert count(database) == 2
    database.close()
    assert count(open_database(str(path))) == 2


def test_scrubbing_waits_for_a_reader_of_another_process(database: Database, path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    add(database, "a")
    assert log.stat().st_size > 0
    assert database.scrub()
    assert log.stat().st_size == 0
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM subjects").fetchall()
    add(database, "b")
    assert not database.scrub()
    reader.close()
    assert database.scrub()
    assert log.stat().st_size == 0
    database.ping()
