"""Opens a gallery: which database, which keeper of vectors, which index."""

import time
from collections.abc import Callable
from typing import Literal

from sqlalchemy import Connection, func, select, update

from xnn.database import Database, MasterKey, Vault, open_database
from xnn.database.tables import STATE, TEMPLATES
from xnn.errors import ConfigError
from xnn.gallery.approximate import ApproximateIndex, GraphSettings
from xnn.gallery.clear import ClearVectors
from xnn.gallery.exact import ExactIndex
from xnn.gallery.keeper import VectorKeeper
from xnn.gallery.limits import GalleryLimits
from xnn.gallery.memory import MemoryVectors, NewIndex
from xnn.gallery.stored import StoredGallery

Vectors = Literal["sealed", "clear"]
"""`sealed`: AES-GCM at rest, searched in this process's memory. `clear`: pgvector searches them."""


def open_gallery(
    database: Database | str,
    master_key: MasterKey,
    *,
    vectors: Vectors = "sealed",
    graph: GraphSettings | None = None,
    limits: GalleryLimits | None = None,
    load: bool = True,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> StoredGallery:
    """Open a gallery, and load it.

    Args:
        database: An open one, or its address; see `open_database`.
        master_key: Wraps the keys of stored templates.
        vectors: How they are kept. A gallery that has templates keeps to its first answer.
        graph: Search approximately, with these settings; None searches exactly.
        limits: What it takes; by default `GalleryLimits()`.
        load: Read every template now, as a service does; else at the first search.
        clock_ms: Milliseconds since 1970, UTC.

    Raises:
        BusyError: Locked, full or away.
        ConfigError: `vectors` is not how this gallery keeps them.
        CorruptError: Not a gallery, or damaged.
        KeyMismatchError: Another master key.
        MissingExtraError: A driver, usearch or pgvector is not installed.
        VersionError: A newer program wrote it.
    """
    opened = open_database(database) if isinstance(database, str) else database
    try:
        vault = Vault(opened, master_key)
        with opened.writing() as connection:
            _agree(connection, vectors)
        keeper: VectorKeeper
        if vectors == "clear":
            if graph is not None:
                raise ConfigError("vectors in the clear are searched exactly; drop the graph")
            keeper = ClearVectors(opened)
        else:
            keeper = MemoryVectors(vault, _index_of(graph))
        with opened.reading() as connection:
            keeper.catch_up(connection, load=load)
    except BaseException:
        if isinstance(database, str):
            opened.close()
        raise
    return StoredGallery(
        opened, keeper, limits=limits or GalleryLimits(), vault=vault, clock_ms=clock_ms
    )


def stored_vectors(database: Database) -> Vectors:
    """Return how a gallery keeps its vectors."""
    with database.reading() as connection:
        held = connection.execute(select(STATE.c.vectors)).scalar_one()
    return "clear" if held == "clear" else "sealed"


def _index_of(graph: GraphSettings | None) -> NewIndex:
    if graph is None:
        return lambda width, rows: ExactIndex(width, rows=rows)
    return lambda width, rows: ApproximateIndex(width, rows=rows, settings=graph)


def _agree(connection: Connection, vectors: Vectors) -> None:
    held = connection.execute(select(STATE.c.vectors).with_for_update()).scalar_one()
    if held == vectors:
        return
    if connection.execute(select(func.count()).select_from(TEMPLATES)).scalar_one():
        raise ConfigError(
            f"the gallery keeps its vectors {held}, not {vectors}; open it so, or export it and "
            "import it into an empty one"
        )
    connection.execute(update(STATE).values(vectors=vectors))
