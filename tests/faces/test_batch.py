"""Whole folders: every file accounted for, and no kill loses or spoils anything."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from xnn.errors import FacesError, OutputExistsError, ResumeError, StorageError
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.crop import read_crops
from xnn.faces.dataset import load_faces
from xnn.faces.detection.detector import DetectionSettings
from xnn.faces.places import list_photographs, plan_crops
from xnn.faces.report import JOURNAL_NAME, REPORT_NAME, TABLE_NAME

HERE = AlignSettings(workers=1)


@pytest.fixture
def source(tmp_path: Path, orl_photos: Path) -> Path:
    """Two photographs of each of three subjects."""
    folder = tmp_path / "source"
    for subject in range(1, 4):
        (folder / f"s {subject}").mkdir(parents=True)
        for number in (1, 2):
            shutil.copy(orl_photos / f"s{subject}" / f"{number}.pgm", folder / f"s {subject}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_crops_keep_the_layout_and_load(source: Path, tmp_path: Path) -> None:
    ticks: list[int] = []
    report = align_folder(source, tmp_path / "out", HERE, progress=ticks.append)
    assert sum(ticks) == 6
    assert report.counts["found"] == 6
    assert report.found_share == 1.0
    faces = load_faces(tmp_path / "out")
    assert faces.subjects == tuple(f"s {i}" for i in range(1, 4))
    assert read_crops([s.path for s in faces.samples]).std(axis=(1, 2, 3)).min() > 20
    saved = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    assert [row["photograph"] for row in saved["photographs"]] == list(list_photographs(source))
    with (tmp_path / "out" / TABLE_NAME).open(newline="") as file:
        assert [row["crop"] for row in csv.DictReader(file)] == [r.crop for r in report.rows]


@pytest.mark.dist
def test_two_processes_do_what_one_does(source: Path, tmp_path: Path) -> None:
    one = align_folder(source, tmp_path / "one", HERE)
    two = align_folder(source, tmp_path / "two", AlignSettings(workers=2))
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_every_kind_of_file_has_its_row(source: Path, tmp_path: Path, orl_photos: Path) -> None:
    with Image.open(orl_photos / "s7" / "1.pgm") as file:
        face = file.copy()
    (source / "odd").mkdir()
    odd = source / "odd"
    face.convert("RGB").resize((368, 448)).save(odd / "whole.jpg", quality=95)
    (odd / "cut.jpg").write_bytes((odd / "whole.jpg").read_bytes()[:-9000])
    exif = Image.Exif()
    exif[0x0112] = 6
    face.rotate(90, expand=True).save(odd / "turned.png", exif=exif)
    Image.new("L", (200, 200), 90).save(odd / "blank.png")
    Image.new("L", (900, 900), 90).save(odd / "large.png")
    (odd / "notes.txt").write_text("hello")
    (odd / "zero.png").touch()
    pair = Image.new("L", (640, 420), 90)
    pair.paste(face.resize((115, 140)), (20, 20))
    pair.paste(face.resize((230, 280)), (220, 80))
    pair.save(odd / "pair.png")
    settings = AlignSettings(workers=1, max_pixels=800_000)
    rows = {r.photograph: r for r in align_folder(source, tmp_path / "out", settings).rows}
    assert {name[4:]: row.status for name, row in rows.items() if name.startswith("odd/")} == {
        "whole.jpg": "found",
        "cut.jpg": "truncated",
        "turned.png": "found",
        "blank.png": "no_face",
        "large.png": "too_large",
        "notes.txt": "not_an_image",
        "zero.png": "unreadable",
        "pair.png": "several_faces",
    }
    assert rows["odd/turned.png"].notes == ("exif-rotated", "grey")
    assert rows["odd/pair.png"].num_faces == 2
    assert all(row.reason for row in rows.values() if row.crop is None)
    assert len(contents(tmp_path / "out")) == 9


KILLED = """
import os, sys
from pathlib import Path
from xnn.faces.batch import AlignSettings, align_folder
if __name__ == "__main__":
    align_folder(Path(sys.argv[1]), Path(sys.argv[2]), AlignSettings(workers=int(sys.argv[3])))
"""


@pytest.mark.dist
def test_killed_and_started_again(source: Path, tmp_path: Path) -> None:
    undisturbed = align_folder(source, tmp_path / "whole", HERE)
    out = tmp_path / "out"
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    child = subprocess.Popen([sys.executable, script, source, out, "2"])
    journal = out / JOURNAL_NAME
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(1.0)  # its workers notice and stop
    with journal.open("ab") as file:
        file.write(b'{"photograph": "s 9/1.p')  # a line cut off by the kill
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.png")}
    ticks: list[int] = []
    assert align_folder(source, out, HERE, progress=ticks.append) == undisturbed
    assert ticks[0] >= 1  # done before, not done again
    assert sum(p.stat().st_mtime_ns == t for p, t in before.items()) >= ticks[0]
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(out.rglob("*.partial"))


def test_only_what_changed_is_done_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    align_folder(source, out, HERE)
    (out / "s 1" / "1.png").unlink()
    shutil.copy(source / "s 3" / "1.pgm", source / "s 2" / "1.pgm")
    os.utime(source / "s 2" / "1.pgm", ns=(1, 1))
    ticks: list[int] = []
    align_folder(source, out, HERE, progress=ticks.append)
    assert ticks == [4, 1, 1]
    assert contents(out)["s 2/1.png"] == contents(out)["s 3/1.png"]


def test_another_setting_is_another_run(source: Path, tmp_path: Path) -> None:
    align_folder(source, tmp_path / "out", HERE)
    other = AlignSettings(workers=1, detection=DetectionSettings(threshold=0.5))
    with pytest.raises(ResumeError, match="begun with other settings"):
        align_folder(source, tmp_path / "out", other)


def test_stems_that_collide(tmp_path: Path) -> None:
    names = ("a/1.jpg", "a/1.png", "a/1.png.gif", "A/1.bmp", "align_report.json", "b.jpg", "ä.jpg")
    places = plan_crops(tuple(sorted(names)))
    assert len({crop.casefold() for crop in places.values()}) == len(names)
    assert places["a/1.png"] != places["a/1.jpg"]
    assert places["ä.jpg"] == "ä.png"


def test_long_and_broken_names_stay_in_place(tmp_path: Path) -> None:
    names = ("x" * 251 + ".jpg", "x" * 250 + "y.jpg", "bad\udcff/1.png", "..jpg", "...png")
    places = plan_crops(tuple(sorted(names)))
    assert len(set(places.values())) == len(names)
    for crop in places.values():
        assert ".." not in Path(crop).parts
        assert not Path(crop).is_absolute()
        assert all(len(part.encode()) < 230 for part in Path(crop).parts)


def test_a_broken_name_is_aligned_too(source: Path, tmp_path: Path) -> None:
    shutil.move(source / "s 1", os.fsencode(source) + b"/bad\xff")
    report = align_folder(source, tmp_path / "out", HERE)
    assert report.counts["found"] == 6
    assert report.rows[0].photograph == "bad\\xff/1.pgm"
    assert align_folder(source, tmp_path / "out", HERE) == report


def test_a_link_out_of_the_destination_is_not_followed(source: Path, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    align_folder(source, out, HERE)
    shutil.rmtree(out / "s 1")
    (out / "s 1").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="a link in 'out' leads out of it"):
        align_folder(source, out, HERE)
    assert not list(elsewhere.iterdir())


def test_wrong_folders(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FacesError, match="does not exist"):
        align_folder(tmp_path / "nowhere", tmp_path / "out", HERE)
    with pytest.raises(FacesError, match="is not a folder"):
        align_folder(source / "s 1" / "1.pgm", tmp_path / "out", HERE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacesError, match="no files in 'empty'"):
        align_folder(tmp_path / "empty", tmp_path / "out", HERE)
    for inside in (source / "out", source, source.parent):
        with pytest.raises(FacesError, match="lie inside each other"):
            align_folder(source, inside, HERE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(OutputExistsError, match="'mine' is not empty"):
        align_folder(source, tmp_path / "mine", HERE)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the destination"):
        align_folder(source, tmp_path / "file" / "out", HERE)


def test_a_full_disk_is_one_error_and_loses_nothing(source: Path, tmp_path: Path) -> None:
    """A limit on file size stands in for the full disk: crops fit, the report does not."""
    out = tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(StorageError, match="free space"):
            align_folder(source, out, HERE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(out.rglob("*.partial"))
    assert align_folder(source, out, HERE).counts["found"] == 6
