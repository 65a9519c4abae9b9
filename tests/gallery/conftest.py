"""Galleries on a fresh SQLite file, and faces as short vectors."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from xnn.database import MasterKey, make_master_key
from xnn.gallery import StoredGallery, open_gallery

BUNDLE = "ab" * 32
WIDTH = 8


def request_id(number: int) -> str:
    """The number as a request_id."""
    return f"{number:032x}"


@pytest.fixture(scope="session")
def master_key(tmp_path_factory: pytest.TempPathFactory) -> MasterKey:
    """One key for all galleries of the tests."""
    return make_master_key(tmp_path_factory.mktemp("keys") / "master.key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where `gallery` stands."""
    return tmp_path / "gallery.db"


@pytest.fixture
def reopen(path: Path, master_key: MasterKey) -> Iterator[Callable[..., StoredGallery]]:
    """Open the gallery of `path` again, as another process would."""
    opened: list[StoredGallery] = []

    def open_it(**options: object) -> StoredGallery:
        opened.append(open_gallery(str(path), master_key, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for gallery in opened:
        gallery.close()


@pytest.fixture
def gallery(reopen: Callable[..., StoredGallery]) -> StoredGallery:
    """An empty gallery."""
    return reopen()


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    """Random vectors: `draw(count, width=8, seed=0)`."""

    def make(count: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)

    return make
