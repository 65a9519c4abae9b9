"""Align a folder of photographs: several processes, resumable, every file accounted for."""

import contextlib
import io
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from xnn.errors import ConfigError, FacesError, StorageError
from xnn.faces.align import align
from xnn.faces.detection.detector import DetectionSettings, FaceDetector, most_prominent
from xnn.faces.detection.mtcnn import TorchNets
from xnn.faces.photograph import DEFAULT_MAX_PIXELS, Refusal, open_photograph
from xnn.faces.places import list_photographs, make_room, plan_crops, prepare_destination
from xnn.faces.report import AlignReport, AlignRow, Journal, sorted_report
from xnn.files import write_atomically
from xnn.workers import end_with_parent

_QUEUED_PER_WORKER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignSettings:
    """How a folder is aligned."""

    workers: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    """Processes, each with one thread; 1 works in this process."""

    max_pixels: int = DEFAULT_MAX_PIXELS
    """Photographs with more pixels are reported and not opened."""

    detection: DetectionSettings = field(default_factory=DetectionSettings)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"workers={self.workers}: at least 1 process is needed")
        if self.max_pixels < 1:
            raise ConfigError(f"max_pixels={self.max_pixels}: at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One photograph to align, as it travels to a worker."""

    photograph: str
    source: Path
    destination: Path
    crop: str
    max_pixels: int
    detection: DetectionSettings


def align_folder(
    source: Path,
    destination: Path,
    settings: AlignSettings | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> AlignReport:
    """Turn a folder of photographs into a folder of aligned crops.

    Every file below `source` gets a row in the report, whatever is wrong with it. Crops are PNG
    files at the same relative place. Killed at any moment and started again it goes on: a
    photograph is skipped when the journal has it, its file has not changed and its crop is there.

    Args:
        source: Folder per subject, flat, or deeper; it is only read.
        destination: New, empty, or begun by an earlier run with the same settings.
        settings: Processes, pixel limit, detector. Processes may differ from run to run.
        progress: Called with the number of photographs just finished.

    Returns:
        The report, which also stands in `destination` as JSON and CSV.

    Raises:
        FacesError: Source missing or empty, or one folder inside the other.
        OutputExistsError: The destination holds files of somebody else.
        ResumeError: The destination was begun with other settings.
        StorageError: The disk is full or read-only, or a worker died. What is done stays done.

    Trust: owner.
    """
    settings = settings or AlignSettings()
    photographs = list_photographs(source)
    folder = prepare_destination(source, destination)
    report_progress = progress or (lambda _: None)
    tasks = [
        _Task(
            photograph=photograph,
            source=source,
            destination=folder,
            crop=crop,
            max_pixels=settings.max_pixels,
            detection=settings.detection,
        )
        for photograph, crop in plan_crops(photographs).items()
    ]
    kept_settings = {"max_pixels": settings.max_pixels, "detection": asdict(settings.detection)}
    with contextlib.closing(Journal(folder, kept_settings)) as journal:
        waiting = [task for task in tasks if not _is_done(task, journal)]
        report_progress(len(tasks) - len(waiting))
        for row in _run(waiting, workers=settings.workers):
            journal.add(row)
            report_progress(1)
        report = sorted_report(journal.rows[_key(task)] for task in tasks)
    report.save(folder)
    return report


def _is_done(task: _Task, journal: Journal) -> bool:
    row = journal.rows.get(_key(task))
    if row is None:
        return False
    if row.crop not in (None, task.crop):  # a new neighbour took its name: move out
        with contextlib.suppress(OSError):
            make_room(task.destination, row.crop).unlink()
        return False
    unchanged = (row.size_bytes, row.modified_ns) == _fingerprint(task.source / task.photograph)
    return unchanged and (row.crop is None or (task.destination / row.crop).is_file())


def _run(tasks: list[_Task], *, workers: int) -> Iterator[AlignRow]:
    if workers == 1 or len(tasks) < 2:
        with _one_thread():
            yield from map(_align_one, tasks)
        return
    executor = ProcessPoolExecutor(
        max_workers=min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    try:
        yield from _in_parallel(executor, tasks, most_queued=workers * _QUEUED_PER_WORKER)
    except BrokenProcessPool as error:
        raise StorageError(
            "a worker process died, most likely for lack of memory; run again with fewer workers, "
            "finished photographs are kept"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _in_parallel(
    executor: ProcessPoolExecutor, tasks: Iterable[_Task], *, most_queued: int
) -> Iterator[AlignRow]:
    queued: set[Future[AlignRow]] = set()
    for task in tasks:
        queued.add(executor.submit(_align_one, task))
        if len(queued) >= most_queued:
            done, queued = wait(queued, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    while queued:
        done, queued = wait(queued, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, as the workers do: the number of threads changes the last bits of a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker() -> None:
    """Work on one thread, leave Ctrl-C to the parent, and do not outlive it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


@cache
def _detector(settings: DetectionSettings) -> FaceDetector:
    return FaceDetector(TorchNets(), settings)


def _align_one(task: _Task) -> AlignRow:
    path = task.source / task.photograph
    size_bytes, modified_ns = _fingerprint(path)
    row = AlignRow(
        photograph=_key(task), status="no_face", size_bytes=size_bytes, modified_ns=modified_ns
    )
    opened = open_photograph(path, max_pixels=task.max_pixels)
    if isinstance(opened, Refusal):
        return replace(row, status=opened.status, reason=opened.reason)
    row = replace(row, notes=opened.notes)
    faces = _detector(task.detection).find(opened.rgb)
    if not len(faces):
        return replace(row, reason=f"no face scores {task.detection.threshold:g} or more")
    height, width = opened.rgb.shape[:2]
    chosen = most_prominent(faces, height=height, width=width)
    try:
        crop = align(opened.rgb, faces.landmarks[chosen])
    except FacesError as error:
        return replace(row, reason=str(error))
    png = io.BytesIO()
    Image.fromarray(crop).save(png, "PNG")  # pixels only: no EXIF, no place, no time
    write_atomically(make_room(task.destination, task.crop), png.getvalue())
    return replace(
        row,
        status="found" if len(faces) == 1 else "several_faces",
        crop=task.crop,
        num_faces=len(faces),
        score=round(float(faces.scores[chosen]), 4),
        landmarks=tuple(
            (round(float(x), 2), round(float(y), 2)) for x, y in faces.landmarks[chosen]
        ),
    )


def _fingerprint(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0  # the photograph will be reported as unreadable
    return status.st_size, status.st_mtime_ns


def _key(task: _Task) -> str:
    """Return the name under which the photograph is reported, always valid text."""
    return os.fsencode(task.photograph).decode(errors="backslashreplace")
