"""A database and a master key of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xnn.database import Database, MasterKey, make_master_key, open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where `database` stands."""
    return tmp_path / "service.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """An empty one."""
    opened = open_database(str(path), timeout_s=0.2)
    yield opened
    opened.close()


@pytest.fixture
def master_key(tmp_path: Path) -> MasterKey:
    """A fresh one."""
    return make_master_key(tmp_path / "master.key")
