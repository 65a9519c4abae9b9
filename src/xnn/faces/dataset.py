"""Face sets: which photograph shows which subject, from a folder or a manifest."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from xnn.errors import FacesError, InsufficientDataError
from xnn.faces.manifest import MANIFEST_SUFFIXES, ManifestRow, read_rows, write_rows
from xnn.files import disk_errors
from xnn.types import SubjectId

Split = Literal["train", "val", "test_by_person", "test_by_image"]
"""What a sample is for; see `xnn.faces.splits`."""

SPLITS: tuple[Split, ...] = get_args(Split)

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".pgm", ".ppm", ".pnm", ".bmp", ".webp"}
    | {".tif", ".tiff", ".gif", ".avif", ".jp2", ".mpo"}
)
"""Suffixes, in lower case, of the files that count as images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One capture of one subject."""

    path: Path
    subject: SubjectId
    split: Split = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSet:
    """Samples in a fixed order: by subject, then by path.

    Trust: owner. Subjects are names of people.
    """

    name: str
    samples: tuple[Sample, ...]
    num_skipped: int = 0
    """Files in subject folders that were passed over: their suffix is not that of an image."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def subjects(self) -> tuple[SubjectId, ...]:
        """All subjects, sorted."""
        return tuple(sorted({sample.subject for sample in self.samples}))

    @property
    def counts(self) -> dict[SubjectId, int]:
        """Number of samples of each subject, in the order of `subjects`."""
        counted = Counter(sample.subject for sample in self.samples)
        return {subject: counted[subject] for subject in sorted(counted)}

    def only(self, *splits: Split) -> "FaceSet":
        """Return the samples of the named splits, in the same order."""
        kept = tuple(sample for sample in self.samples if sample.split in splits)
        return FaceSet(name=self.name, samples=kept)

    def require(self, *, num_subjects: int = 1, images_per_subject: int = 1) -> "FaceSet":
        """Return this set, or refuse it when it is too small for what the caller is about to do.

        Raises:
            InsufficientDataError: Fewer than `num_subjects` subjects have `images_per_subject`.
        """
        enough = sum(count >= images_per_subject for count in self.counts.values())
        if enough < num_subjects:
            raise InsufficientDataError(
                f"{self.name!r} has {enough} subjects with {images_per_subject} or more images "
                f"({len(self.subjects)} subjects in all), needs {num_subjects}; add photographs"
            )
        return self


def load_faces(source: Path) -> FaceSet:
    """Read a face set from a folder per subject or from a manifest.

    Args:
        source: A folder whose sub-folders are the subjects (sub-folder name = subject), or a
            `.csv` or `.parquet` manifest with the columns `path`, `subject` and optionally
            `split`; relative paths count from the folder of the manifest. Hidden files and
            folders (a leading dot) do not count as anything.

    Returns:
        Samples sorted by subject and path, whatever the order of the file system or the manifest.

    Raises:
        FacesError: Missing or empty source, no images, photographs outside subject folders or
            deeper than them, a bad manifest, a listed file that is missing or listed twice.
        StorageError: Something cannot be read.

    Trust: owner.
    """
    if source.is_dir():
        return _load_folder(source)
    if not source.exists():
        raise FacesError(f"{source.name!r} does not exist; give a folder or a manifest")
    if source.suffix.lower() not in MANIFEST_SUFFIXES:
        raise FacesError(
            f"{source.name!r} is neither a folder nor a manifest; expected a folder per subject, "
            "a .csv or a .parquet file"
        )
    return _load_manifest(source)


def save_manifest(faces: FaceSet, path: Path) -> None:
    """Write a face set as a manifest that `load_faces` reads back.

    Paths below the folder of the manifest are written relative to it, others absolute.

    Args:
        faces: What to write.
        path: Ends in `.csv` or `.parquet`; an existing file is replaced.

    Raises:
        ConfigError: Another suffix.
        StorageError: The disk refused.
    """
    folder = path.parent.resolve()
    rows = []
    for sample in faces.samples:
        absolute = Path(os.path.abspath(sample.path))
        inside = absolute.is_relative_to(folder)
        written = absolute.relative_to(folder) if inside else absolute
        rows.append(
            ManifestRow(path=written.as_posix(), subject=sample.subject, split=sample.split)
        )
    write_rows(path, rows)


def is_image_name(name: str) -> bool:
    """Tell whether a file name has the suffix of an image."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _load_folder(folder: Path) -> FaceSet:
    files, folders = _listing(folder)
    samples: list[Sample] = []
    skipped = 0
    stray = [name for name in files if is_image_name(name)]
    if stray:
        raise FacesError(
            f"{len(stray)} photographs lie directly in {folder.name!r} (as {stray[0]!r}); put each "
            "into the folder of its subject, or write a manifest of path and subject"
        )
    for subject in folders:
        inner_files, inner_folders = _listing(folder / subject)
        for deeper in inner_folders:
            if any(is_image_name(name) for name in _listing(folder / subject / deeper)[0]):
                raise FacesError(
                    f"photographs lie in {subject + '/' + deeper!r}, one level too deep; expected "
                    "folder/subject/photograph: move them up, or write a manifest"
                )
        images = [name for name in inner_files if is_image_name(name)]
        skipped += len(inner_files) - len(images)
        samples += [
            Sample(path=folder / subject / name, subject=SubjectId(subject)) for name in images
        ]
    if not samples:
        raise FacesError(
            f"no image files in {folder.name!r}: {len(folders)} sub-folders, {skipped} other "
            "files; expected a folder per subject with photographs (.jpg, .png, ..)"
        )
    return FaceSet(name=_name_of(folder), samples=_ordered(samples), num_skipped=skipped)


def _load_manifest(manifest: Path) -> FaceSet:
    samples = []
    for number, row in enumerate(read_rows(manifest), start=1):
        split = row.split or "train"
        if split not in SPLITS:
            raise FacesError(
                f"manifest {manifest.name!r}, row {number}: split {split!r} does not exist; "
                f"choose from {list(SPLITS)}"
            )
        path = Path(os.path.normpath(manifest.parent / row.path))
        samples.append(Sample(path=path, subject=SubjectId(row.subject), split=split))
    repeated = [path for path, count in Counter(s.path for s in samples).items() if count > 1]
    if repeated:
        raise FacesError(
            f"manifest {manifest.name!r} lists {len(repeated)} files more than once (as "
            f"{repeated[0].name!r}); keep one row for each"
        )
    missing = [sample.path for sample in samples if not sample.path.is_file()]
    if missing:
        raise FacesError(
            f"manifest {manifest.name!r} lists {len(missing)} files that do not exist (as "
            f"{missing[0].name!r}); relative paths count from the folder of the manifest"
        )
    return FaceSet(name=manifest.stem, samples=_ordered(samples))


def _listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of files and of folders, sorted, hidden ones left out."""
    with disk_errors("list", folder), os.scandir(folder) as entries:
        found = sorted((e.name, e.is_dir(), e.is_file()) for e in entries if e.name[0] != ".")
    for name, _, _ in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise FacesError(
                f"a name in {folder.name!r} is not valid UTF-8: {name!a}; rename it"
            ) from error
    files = [name for name, _, is_file in found if is_file]
    return files, [name for name, is_dir, _ in found if is_dir]


def _ordered(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: (sample.subject, sample.path.as_posix())))


def _name_of(folder: Path) -> str:
    return folder.name or folder.resolve().name
