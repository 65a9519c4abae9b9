"""`xnn noise` from the command line."""

import json
from pathlib import Path

import pytest

from xnn.cli import main, output
from xnn.faces.dataset import FaceSet, save_manifest

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


def test_an_unknown_preset_is_one_line(xnn, manifest: Path, tmp_path: Path) -> None:
    status, _, told = xnn("noise", "train", manifest, "--out", tmp_path / "run", "--preset", "loud")
    assert status == 2
    assert told.startswith("xnn: unknown preset 'loud'")
