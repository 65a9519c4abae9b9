"""Options that commands on a gallery share, and how they open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from xnn.database import Database, MasterKey, open_database, read_master_key
from xnn.gallery import StoredGallery, open_gallery
from xnn.gallery.opening import stored_vectors

GalleryAddress = Annotated[
    str,
    typer.Option(
        "--gallery",
        envvar="XNN_GALLERY",
        metavar="URL",
        help="A file, sqlite:///FILE, or postgresql://USER@HOST/NAME.",
        show_default=False,
    ),
]
MasterKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--master-key",
        metavar="FILE",
        help="File of the master key; else $XNN_MASTER_KEY_FILE or $XNN_MASTER_KEY.",
        show_default=False,
    ),
]
Tenant = Annotated[
    str, typer.Option(metavar="NAME", help="Whose gallery; a service may have several.")
]


@contextmanager
def opened_database(address: str, *, create: bool = False) -> Iterator[Database]:
    """Open a database, and close it after."""
    database = open_database(address, create=create)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def opened_gallery(
    address: str, master_key: Path | MasterKey | None, *, create: bool = False, load: bool = False
) -> Iterator[StoredGallery]:
    """Open a gallery in the way it keeps its vectors, and close it after.

    Args:
        address: Of its database.
        master_key: Or its file; None looks into the environment.
        create: Make the database if it is missing.
        load: Read and open every template at once; else only when something is searched.
    """
    key = master_key if isinstance(master_key, MasterKey) else read_master_key(master_key)
    with opened_database(address, create=create) as database:
        yield open_gallery(database, key, vectors=stored_vectors(database), load=load)
