"""The service, working, on real faces: a newcomer opens a page and finds somebody.

An owner trains a front and a student on some ORL people and parts them into two bundles. A server
in a process of its own gets one bundle; a device, in this process, the other. The device enrols
people whom nobody trained on, and searches with other photographs of them. Photographs to try by
hand are left in a folder.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from xnn.accounts import Accounts
from xnn.database import make_master_key, open_database
from xnn.demo.orl import find_orl, without_strays
from xnn.demo.parties import without_secrets
from xnn.device.api_key import read_api_key
from xnn.device.client import Client
from xnn.errors import ServiceError
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import FaceSet, load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.files import disk_errors, write_atomically, write_json
from xnn.owner.noise.finished import load_noise_run
from xnn.owner.noise.presets import find_noise_preset
from xnn.owner.noise.stages import train_noise
from xnn.types import SubjectId

_TEST_SUBJECTS, _VAL_SUBJECTS = 12, 14
_LEFT_OUT = 3
"""Of the test people: enrolled by nobody, for a newcomer to enrol."""
_ENROLLED_PHOTOS = 5
_START_S = 60.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the parts of the demo lie. Each party's folder is all that it would have."""

    root: Path

    @property
    def device(self) -> Path:
        """Bundle and API key of the device."""
        return self.root / "device"

    @property
    def server(self) -> Path:
        """Bundle, gallery and master key of the server."""
        return self.root / "server"

    @property
    def to_try(self) -> Path:
        """Photographs for the page: `enrolled` holds other ones than the server was told of."""
        return self.root / "to-try"

    @property
    def gallery(self) -> str:
        """Address of the gallery."""
        return f"sqlite:///{self.server / 'gallery.db'}"

    @property
    def api_key(self) -> Path:
        """File of the only API key."""
        return self.device / "api.key"


def run_service_demo(
    out: Path,
    *,
    port: int = 8000,
    photos: Path | None = None,
    report: Callable[[str], None] = lambda text: None,
    serve: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train, part, serve, enrol and search.

    Run again with the same folder, it uses what is there.

    Args:
        out: Folder for everything.
        port: Of the server, on this machine only; 0 takes a free one.
        photos: Folder per subject, at least 20 with six photographs each; None takes the ORL faces.
        report: Told what is being done.
        serve: Called with the summary while the server runs, and the server stops when it returns;
            None stops it at once.

    Returns:
        Addresses, folders, and how the searches ended.

    Raises:
        MissingExtraError: The ORL faces or a library is not installed.
        FacesError: Too few people or photographs.
        ServiceError: The server did not start.
    """
    place = Place(root=out.resolve())
    with disk_errors("make the folder", out):
        for folder in (place.root, place.device, place.server):
            folder.mkdir(parents=True, exist_ok=True)
    report("owner: align the photographs")
    faces = _divided_crops(photos, place.root / "owner" / "crops")
    if not (place.server / "bundle" / "server.json").is_file():
        report("owner: train a front and a student, and part them")
        _train(faces, place)
    subjects = sorted(faces.only("test_by_person").counts)
    enrolled, strangers = subjects[:-_LEFT_OUT], subjects[-_LEFT_OUT:]
    originals = _originals(photos or find_orl(), subjects)
    _lay_out(originals, enrolled, strangers, place.to_try)
    if not place.api_key.is_file():
        _make_keys(place)
    report("server: start, in a process of its own")
    with _server(place, port) as url:
        report("device: enrol, then search with other photographs; only z leaves it")
        found = _enrol_and_search(url, place, originals, enrolled, strangers)
        summary = {
            "console": f"{url}/console/",
            "api_key_file": str(place.api_key),
            "photographs_to_try": str(place.to_try),
            **found,
        }
        write_json(place.root / "summary.json", summary)
        if serve is not None:
            serve(summary)
    return summary


def _divided_crops(photos: Path | None, folder: Path) -> FaceSet:
    align_folder(photos or find_orl(), folder, AlignSettings())
    crops = load_faces(folder)
    return split_faces(
        crops if photos else without_strays(crops),
        SplitSettings(test_subjects=_TEST_SUBJECTS, val_subjects=_VAL_SUBJECTS),
    )


def _train(faces: FaceSet, place: Place) -> None:
    extractor = load_extractor("dlib")
    run = place.root / "owner" / "run"
    settings = find_noise_preset("xnn", extractor.card.shape)
    train_noise(faces, extractor, settings, run, resume=(run / "config.json").is_file())
    part_run(
        load_noise_run(run, extractor),
        extractor,
        faces,
        device=place.device / "bundle",
        server=place.server / "bundle",
        int8=True,
    )


def _originals(photos: Path, subjects: list[SubjectId]) -> dict[SubjectId, list[Path]]:
    return {
        subject: sorted(p for p in (photos / subject).iterdir() if p.is_file())
        for subject in subjects
    }


def _lay_out(
    originals: dict[SubjectId, list[Path]],
    enrolled: list[SubjectId],
    strangers: list[SubjectId],
    folder: Path,
) -> None:
    """Leave photographs that browsers open: of those enrolled, others than were enrolled."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(folder.name + ".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    for kind, people in (("enrolled", enrolled), ("strangers", strangers)):
        for subject in people:
            with disk_errors("make the folder", folder):
                (unfinished / kind / subject).mkdir(parents=True)
            for path in originals[subject][_ENROLLED_PHOTOS if kind == "enrolled" else 0 :]:
                with Image.open(path) as picture:
                    picture.convert("RGB").save(unfinished / kind / subject / f"{path.stem}.png")
    with disk_errors("make the folder", folder):
        unfinished.rename(folder)


def _make_keys(place: Place) -> None:
    """Make what an operator makes once: the master key, and an API key for the device."""
    master = place.server / "master.key"
    if not master.is_file():
        make_master_key(master)
    database = open_database(place.gallery)
    try:
        _, text = Accounts(database).create("demo", ("admin", "enrol", "search"), label="demo")
    finally:
        database.close()
    write_atomically(place.api_key, text.encode() + b"\n", mode=0o600)


@contextmanager
def _server(place: Place, port: int) -> Iterator[str]:
    """Run `xnn serve` and yield its address; it gets no more than an operator would give it."""
    log = place.server / "log.jsonl"
    with log.open("wb") as lines:
        process = subprocess.Popen(  # noqa: S603  our own command line, no shell
            [
                *(sys.executable, "-m", "xnn", "serve"),
                *("--bundle", str(place.server / "bundle")),
                *("--gallery", place.gallery),
                *("--master-key-file", str(place.server / "master.key")),
                *("--device-bundle", str(place.device / "bundle")),
                *("--port", str(port)),
            ],
            stderr=lines,
            stdout=subprocess.DEVNULL,
            env=without_secrets(),
        )
        try:
            yield _wait_for(process, log)
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the address that the server logs, once it answers there."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"listening"' in line:
                event = json.loads(line)
                url = f"{event['scheme']}://{event['host']}:{event['port']}"
                httpx.get(f"{url}/healthz", timeout=_START_S).raise_for_status()
                return url
        time.sleep(_POLL_S)
    last = (log.read_text(encoding="utf-8").strip().splitlines() or ["it said nothing"])[-1]
    raise ServiceError(f"the server did not start: {last}")


def _enrol_and_search(
    url: str,
    place: Place,
    originals: dict[SubjectId, list[Path]],
    enrolled: list[SubjectId],
    strangers: list[SubjectId],
) -> dict[str, Any]:
    with Client(url, read_api_key(place.api_key), place.device / "bundle") as client:
        there = set(client.subjects().subjects)
        for subject in enrolled:
            if subject not in there:
                client.enrol(subject, originals[subject][:_ENROLLED_PHOTOS])
        right = others = matched = asked = 0
        for subject in enrolled:
            for photo in originals[subject][_ENROLLED_PHOTOS:]:
                candidates = client.search(photo, top_k=1).candidates
                others += 1
                right += bool(candidates) and candidates[0].subject_id == subject
        for subject in strangers:
            for photo in originals[subject]:
                asked += 1
                matched += bool(client.search(photo, top_k=1).candidates)
    return {
        "enrolled_subjects": len(enrolled),
        "searches": others,
        "found": right,
        "searches_of_strangers": asked,
        "strangers_matched": matched,
    }
