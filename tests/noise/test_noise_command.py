"""`xnn noise` from the command line."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from xnn.cli import main, noise_curves, output
from xnn.faces.dataset import FaceSet, save_manifest
from xnn.files import canonical_json

SHORT = ["--teacher-epochs", "1", "--game-epochs", "1", "--student-epochs", "1"]


@pytest.fixture
def xnn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command; returns status, stdout and stderr."""
    monkeypatch.setitem(output._STATE, "json", False)
    monkeypatch.setitem(main._STATE, "debug", False)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["xnn", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main.run()
        except SystemExit as stop:
            status = int(stop.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


@pytest.fixture
def manifest(faces: FaceSet, tmp_path: Path) -> Path:
    save_manifest(faces, tmp_path / "faces.csv")
    return tmp_path / "faces.csv"


def test_train_prints_what_it_made_and_draws_the_curves(
    xnn, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ["noise", "train", manifest, "--out", out, "--preset", "plain", *SHORT]
    status, printed, told = xnn(*arguments)
    assert status == 0, told
    result = json.loads(printed)
    assert result["run"] == str(out)
    assert 0 <= result["student_val_rank_1"] <= 1
    page = (out / "curves.html").read_text()
    assert "guessing" in page
    assert "<svg" in page
    status, _, told = xnn(*arguments)
    assert status == 1
    assert "resume it" in told
    status, printed, _ = xnn(*arguments, "--resume")
    assert status == 0
    assert json.loads(printed)["student_val_rank_1"] == result["student_val_rank_1"]


def test_the_page_is_drawn_while_the_run_goes_on(
    xnn, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: dict[str, str] = {}
    monkeypatch.setattr(noise_curves, "_SECONDS_BETWEEN", 0.0)
    draw, out = noise_curves.LiveCurves.draw, tmp_path / "run"

    def watched(curves: noise_curves.LiveCurves) -> dict[str, str]:
        told = draw(curves)
        stage = next(
            (s for s, part in noise_curves.STAGES if not (out / f"{part}.json").is_file()), "end"
        )
        pages[stage] = (out / "curves.html").read_text()
        return told

    monkeypatch.setattr(noise_curves.LiveCurves, "draw", watched)
    arguments = ["--preset", "paper", "--shared-blocks", "11", "--batch-size", "8"]
    status, _, told = xnn("noise", "train", manifest, "--out", out, *arguments, *SHORT)
    assert status == 0, told
    assert list(pages) == ["teacher", "game", "student", "end"]
    for stage, count in (("teacher", 1), ("game", 2), ("student", 3)):
        assert sum(f'id="{name}"' in pages[stage] for name, _ in noise_curves.STAGES) == count
        assert "guessing" in pages[stage]


def test_an_unknown_preset_is_one_line(xnn, manifest: Path, tmp_path: Path) -> None:
    status, _, told = xnn("noise", "train", manifest, "--out", tmp_path / "run", "--preset", "loud")
    assert status == 2
    assert told.startswith("xnn: unknown preset 'loud'")


def test_export_parts_a_run_and_embed_joins_it(
    xnn, manifest: Path, face_folder: Path, tmp_path: Path
) -> None:
    run, device, server = tmp_path / "run", tmp_path / "device", tmp_path / "server"
    xnn("noise", "train", manifest, "--out", run, "--preset", "plain", *SHORT)
    parts = ["--device", device, "--server", server]
    status, printed, told = xnn("noise", "export", run, *parts, "--crops", face_folder)
    assert status == 0, told
    assert json.loads(printed)["difference"] < 1e-3
    assert "no validation people: no thresholds" in told
    tolerant = ["--crops", manifest, "--dtype-tolerance", "0.5"]
    status, printed, told = xnn("noise", "export", run, *parts, *tolerant)
    assert status == 0, told
    assert "no validation people" not in told
    assert json.loads(printed)["dtypes"] == "float32, float16, int8"
    out = tmp_path / "embeddings.npz"
    status, printed, told = xnn("noise", "embed", device, server, face_folder, "--out", out)
    assert status == 0, told
    assert json.loads(printed)["rank_1"] > 0.5
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["embeddings"].shape == (32, 256)
    status, _, told = xnn("noise", "embed", server, device, face_folder, "--out", out)
    assert status == 1
    assert "a device needs its own bundle" in told
    other = tmp_path / "other"
    content = json.loads((server / "server.json").read_text())
    content["card"]["front_id"] = "0" * 64
    shutil.copytree(server, other)
    digest = hashlib.sha256(canonical_json(content["card"])).hexdigest()
    (other / "server.json").write_text(json.dumps(content | {"card_sha256": digest}))
    status, _, told = xnn("noise", "embed", device, other, face_folder, "--out", out)
    assert status == 2
    assert "different runs" in told
