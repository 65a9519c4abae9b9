"""Which photograph becomes which crop: names on disk, with nothing outside the destination."""

import hashlib
import os
from pathlib import Path, PurePosixPath

from xnn.errors import FacesError, OutputExistsError, StorageError
from xnn.faces.report import JOURNAL_NAME, REPORT_NAME, TABLE_NAME
from xnn.files import disk_errors

_LONGEST_NAME_BYTES = 200  # of 255, to leave room for ".png.partial"


def list_photographs(source: Path) -> tuple[str, ...]:
    """Return the files below a folder as sorted relative paths with forward slashes.

    Hidden files and folders are passed over, links to folders are not followed.

    Raises:
        FacesError: The source is missing, not a folder, or holds no files.
        StorageError: A folder cannot be read.
    """
    if not source.is_dir():
        found = "is not a folder" if source.exists() else "does not exist"
        raise FacesError(f"source {source.name!r} {found}; give the folder of photographs")

    def refuse(error: OSError) -> None:
        raise error

    found_files = []
    with disk_errors("list", source):
        for folder, folders, files in os.walk(source, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inner = Path(folder).relative_to(source)
            found_files += [(inner / name).as_posix() for name in files if name[0] != "."]
    if not found_files:
        raise FacesError(f"no files in {source.name!r}; give the folder of photographs")
    return tuple(sorted(found_files))


def plan_crops(photographs: tuple[str, ...]) -> dict[str, str]:
    """Give every photograph the path of its crop: same folder, same stem, `.png`.

    Where two photographs would share a name (`1.jpg` and `1.png`, or `a` and `A` on some disks)
    the first in order has it and the others keep their whole file name (`1.png.png`). Names
    that are too long or not UTF-8 are cut and marked with a digest.

    Args:
        photographs: Sorted relative paths.

    Returns:
        Relative paths below the destination, no two equal when case is ignored.
    """
    taken = {name.casefold() for name in (REPORT_NAME, TABLE_NAME, JOURNAL_NAME)}
    places = {}
    for photograph in photographs:
        path = PurePosixPath(photograph)
        folder = PurePosixPath(*(_safe(part) for part in path.parent.parts))
        names = [path.stem, path.name, f"{path.name}-{_digest(photograph)}"]
        for name in names:
            crop = (folder / (_safe(name) + ".png")).as_posix()
            if crop.casefold() not in taken:
                break
        taken.add(crop.casefold())
        places[photograph] = crop
    return places


def prepare_destination(source: Path, destination: Path) -> Path:
    """Make the destination, or accept one that an earlier run began; return it resolved.

    Raises:
        FacesError: One of the two folders lies inside the other.
        OutputExistsError: It holds files that no earlier run put there.
        StorageError: It cannot be made or is not a folder.
    """
    real_source, real = source.resolve(), destination.resolve()
    if real.is_relative_to(real_source) or real_source.is_relative_to(real):
        raise FacesError(
            f"source {source.name!r} and destination {destination.name!r} lie inside each other; "
            "choose a destination elsewhere"
        )
    with disk_errors("make the destination", destination):
        real.mkdir(parents=True, exist_ok=True)
        begun = (real / JOURNAL_NAME).is_file()
        if not begun and any(real.iterdir()):
            raise OutputExistsError(
                f"destination {destination.name!r} is not empty and was not begun by an alignment; "
                "choose another or remove it"
            )
    return real


def make_room(destination: Path, crop: str) -> Path:
    """Return the full path of a crop, its folder made, and certain to lie in the destination.

    Raises:
        StorageError: A link in the destination leads out of it, or the disk refused.
    """
    path = destination / crop
    with disk_errors("make the folder", path.parent):
        if not path.parent.resolve().is_relative_to(destination):
            raise StorageError(
                f"a link in {destination.name!r} leads out of it at {path.parent.name!r}; remove it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _safe(name: str) -> str:
    raw = os.fsencode(name)
    text = raw.decode(errors="replace")
    if text == name and len(raw) <= _LONGEST_NAME_BYTES:
        return name
    cut = text.encode()[: _LONGEST_NAME_BYTES - 20].decode(errors="ignore")
    return f"{cut}-{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
