"""The whole demo once, on a dozen real people, with the cloud in its own process."""

import contextlib
import dataclasses
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from xnn.demo.fronts import measure_fronts
from xnn.demo.orl import find_orl, without_strays
from xnn.demo.run import run_demo
from xnn.errors import InsufficientDataError
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.secret import KeyFile
from xnn.secret.raw_key_access import TOKEN, export_root

SUBJECTS = [1, 10, *range(11, 20), 2]  # the first twelve by name; 10 has a stray picture


@dataclass(frozen=True)
class Demo:
    photos: Path
    out: Path
    summary: dict[str, Any]
    again: dict[str, Any]
    again_s: float


def run(out: Path) -> dict[str, Any]:
    with contextlib.chdir(out.parent):  # a relative folder, as `xnn demo --out demo-out` gives
        return run_demo(Path(out.name), seeds=1, max_subjects=12)


@pytest.fixture(scope="module")
def demo(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    root = tmp_path_factory.mktemp("demo")
    photos = root / "photos"
    for subject in SUBJECTS:
        unneeded = shutil.ignore_patterns("7.pgm", "8.pgm", "9.pgm", "10.pgm")
        shutil.copytree(orl_photos / f"s{subject}", photos / f"s{subject}", ignore=unneeded)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XNN_PASSPHRASE", "sentinel of the owner")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setattr("xnn.demo.run.find_orl", lambda: photos)
        summary = run(root / "out")
        start = time.monotonic()
        again = run(root / "out")
        yield Demo(photos, root / "out", summary, again, time.monotonic() - start)
    torch.set_num_threads(threads)


def test_the_report_shows_all_sections(demo: Demo) -> None:
    assert demo.summary["report"] == str(demo.out / "report.html")
    page = (demo.out / "report.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert len(headings) >= 6
    for word in ("cloud", "Utility", "Leak", "not protected"):
        assert word.lower() in page.lower(), word
    assert page.count("<svg") >= 3
    assert page.count("data:image/png;base64,") >= 6
    assert not re.search(r"(src|href)=[\"']https?:", page), "it must open without a network"


def test_the_summary_is_what_was_measured(demo: Demo) -> None:
    kept = json.loads((demo.out / "summary.json").read_text())
    assert kept["utility"] == demo.again["utility"]
    rows = {(r["scheme"], r["protocol"], r["metric"]): r for r in demo.summary["utility"]}
    assert {scheme for scheme, _, _ in rows} == {"plain", "paper"}
    for row in rows.values():
        assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1
    plain = rows["plain", "by_person", "rank_1"]
    assert plain["subjects"] == 3
    assert plain["value"] >= plain["chance"] + 0.3
    assert rows["plain", "by_person", "eer"]["value"] < 0.3
    attacks = {(r["scheme"], r["metric"]): r for r in demo.summary["attack"]}
    assert ("paper", "rank_1") in attacks
    assert all(isinstance(row["control_ok"], bool) for row in attacks.values())


def test_the_inference_phase_was_run_on_the_same_faces(demo: Demo) -> None:
    rows = [r for r in demo.summary["fronts"] if r["metric"] == "rank_1"]
    by_party = {(r["preset"], r["party"]): r for r in rows if r["protocol"] != "instance"}
    parties = {"student", "teacher", "z-linkage", "tail-from-scratch", "ridge-denoiser"}
    assert {name for name, _ in by_party} == {"plain", "gaussian"}  # too few records for a code
    for preset in ("plain", "gaussian"):
        assert parties <= {party for name, party in by_party if name == preset}
        assert by_party[preset, "student"]["subjects"] == 2
    assert by_party["plain", "student"]["value"] > 0.8
    assert by_party["plain", "ridge-denoiser"]["value"] > 0.8  # the control of what follows
    assert demo.again["fronts"] == demo.summary["fronts"]
    page = (demo.out / "report.html").read_text(encoding="utf-8")
    assert "Strongest attacker, rank-1" in page


def test_too_few_people_for_the_inference_phase_are_said_and_not_fatal(
    demo: Demo, tmp_path: Path
) -> None:
    faces = without_strays(load_faces(demo.out / "owner" / "crops"))
    chosen = set(faces.subjects[:11])
    few = dataclasses.replace(faces, samples=tuple(s for s in faces.samples if s.subject in chosen))
    assert measure_fronts(few, load_extractor("dlib"), tmp_path / "store") == []


def test_a_second_run_goes_on_with_what_is_there(demo: Demo) -> None:
    assert demo.again_s < 40
    for stage, seconds in demo.again["seconds"].items():
        if "cloud" in stage or "build" in stage:
            assert seconds < 2, stage
    assert demo.again["utility"] == demo.summary["utility"]
    assert demo.again["attack"] == demo.summary["attack"]


def test_the_clouds_folder_names_nobody_and_holds_no_key(demo: Demo) -> None:
    owner, cloud = demo.out / "owner", demo.out / "cloud"
    folders = {path.name for path in cloud.iterdir()}
    assert folders == {f"{kind}-{s}-0" for kind in ("shards", "run") for s in ("plain", "paper")}
    files = [path for path in cloud.rglob("*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    passphrase = (owner / "passphrase").read_text()
    secrets = [passphrase.encode(), b"sentinel of the owner", b"faces-0.csv", b"crops"]
    for key in owner.glob("*.key"):
        opened = KeyFile.open(key, passphrase)
        root = export_root(opened.key, TOKEN)
        stream = opened.key.derive("obfuscator")
        secrets += [root, root.hex().encode(), stream, stream.hex().encode(), key.name.encode()]
    assert len(secrets) == 4 + 2 * 5
    assert not [secret[:4] for secret in secrets if secret in held]
    text = b"".join(p.read_bytes() for p in files if p.suffix in (".json", ".jsonl"))
    assert not re.search(rb'"s(?:%s)"' % "|".join(map(str, SUBJECTS)).encode(), text)
    assert b".png" not in text
    assert oct((owner / "passphrase").stat().st_mode)[-3:] == "600"


def test_the_stray_picture_takes_no_part(demo: Demo) -> None:
    assert (demo.photos / "s10" / "target.jpg").is_file()
    listed = (demo.out / "owner" / "faces-0.csv").read_text()
    assert "target" not in listed
    kept = without_strays(load_faces(demo.photos))
    assert len(kept) == 6 * len(SUBJECTS)
    assert len(without_strays(load_faces(find_orl()))) == 400


def test_too_few_subjects_are_refused(demo: Demo, tmp_path: Path) -> None:
    shutil.copytree(demo.out / "owner" / "crops", tmp_path / "owner" / "crops")
    with pytest.raises(InsufficientDataError, match="at least 9"):
        run_demo(tmp_path, seeds=1, max_subjects=8)
