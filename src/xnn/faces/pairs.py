"""A list of pairs to verify: the field's pairs file, over a folder per subject."""

from dataclasses import dataclass
from pathlib import Path

from xnn.errors import FacesError
from xnn.faces.dataset import FaceSet, Sample
from xnn.files import disk_errors
from xnn.types import SubjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two samples, of the same subject or not."""

    first: Sample
    second: Sample


def load_pairs(path: Path, faces: FaceSet) -> tuple[Pair, ...]:
    """Read a pairs file in the format of Labeled Faces in the Wild.

    Lines of three columns, `subject i j`, are mated pairs; lines of four, `subject i subject j`,
    non-mated ones; columns are separated by tabs. i is the number that a file's name ends in, as
    in `Jane_Doe_0003.jpg`. Lines of other lengths (the header) are passed over.

    Raises:
        FacesError: No pairs; or a pair names a photograph that is not in the set.
        StorageError: The file cannot be read.

    Source: Huang et al. 2007 (LFW), pairs.txt.
    """
    by_name = {(s.subject, _number(s.path)): s for s in faces.samples}
    with disk_errors("read", path):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = []
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if len(columns) == 3:
            columns.insert(2, columns[0])
        if len(columns) != 4:
            continue
        found = []
        for subject, shot in (columns[:2], columns[2:]):
            sample = by_name.get((SubjectId(subject), int(shot))) if shot.isdecimal() else None
            if sample is None:
                raise FacesError(
                    f"{path.name!r}, line {number}: no photograph {shot!r} of that subject in "
                    f"{faces.name!r}; use the folder that the pairs were made for"
                )
            found.append(sample)
        pairs.append(Pair(first=found[0], second=found[1]))
    if not pairs:
        raise FacesError(f"{path.name!r} holds no pairs; expected lines of 3 or 4 columns")
    return tuple(pairs)


def _number(path: Path) -> int | None:
    digits = path.stem.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else None
