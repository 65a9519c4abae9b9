"""`xnn bench noise` and `xnn noise` from end to end, on a small transformer with random weights."""

import contextlib
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from xnn.cli import main, output
from xnn.errors import ConfigError, InsufficientDataError
from xnn.extractors.card import ExtractorCard
from xnn.extractors.catalog import EXTRACTORS
from xnn.extractors.vit_extractor import ViTExtractor
from xnn.faces.dataset import load_faces, save_manifest
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.vit import ViTFront, ViTShape
from xnn.redteam.front_pictures import laid_out
from xnn.redteam.noise_bench import NoiseBenchSettings

SHAPE = ViTShape(patch_px=28, width=64, heads=4, depth=2, grid=4)
OWNERS, ATTACKERS, SHOTS = 20, 8, 8
PRESETS = ("plain", "paper", "xnn")
Xnn = Callable[..., tuple[int, str, str]]


def tiny_vit(split_depth: int = 2, class_token: bool = True) -> ViTExtractor:
    """Random weights: patches are mixed, nothing was learned."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        front = ViTFront(SHAPE, split_depth).eval().requires_grad_(requires_grad=False)
        front.position.normal_(std=0.02)
    card = ExtractorCard(
        name="tiny-vit",
        weights_sha256="0" * 64,
        licence="ours",
        origin="this test",
        input_size_px=112,
        pixel_mean=(127.5, 127.5, 127.5),
        pixel_std=(64.0, 64.0, 64.0),
        colour_order="rgb",
        resize="bicubic",
        split_depth=split_depth,
        class_token=class_token,
        n=16 + class_token,
        d=SHAPE.width,
    )
    return ViTExtractor(front, card)


@pytest.fixture(scope="module", autouse=True)
def _catalog() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXTRACTORS, "tiny-vit", tiny_vit)
        patch.setitem(output._STATE, "json", False)
        patch.setitem(main._STATE, "debug", False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def xnn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Xnn:
    """Run a command; returns status, stdout and stderr."""

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


@pytest.fixture(scope="module")
def folders(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twenty owners and eight others, merely resized."""
    root = tmp_path_factory.mktemp("bench")
    people = {"owner": range(1, OWNERS + 1), "other": range(OWNERS + 1, OWNERS + ATTACKERS + 1)}
    for name, subjects in people.items():
        for subject in subjects:
            folder = root / name / f"person-{subject}"
            folder.mkdir(parents=True)
            for shot in range(1, SHOTS + 1):
                with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                    photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    return {name: root / name for name in people} | {"root": root}


@pytest.fixture(scope="module")
def written(folders: dict[str, Path]) -> dict[str, Any]:
    """What the command wrote, all presets, three attacks, one epoch of everything."""
    out = folders["root"] / "noise.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["xnn", *map(str, bench(folders, out))])
        with contextlib.suppress(SystemExit):
            main.run()
    return json.loads(out.read_text())


def bench(folders: dict[str, Path], out: Path, *more: object) -> list[object]:
    return [
        *("bench", "noise", "--victim", folders["owner"], "--public", folders["other"]),
        *("--extractor", "tiny-vit", "--presets", ",".join(PRESETS), "--seeds", 1),
        *("--attacks", "ridge-denoiser,z-inversion,attribute-heads", "--out", out),
        *("--teacher-epochs", 1, "--game-epochs", 1, "--student-epochs", 1, *more),
    ]


def rates(written: dict[str, Any], protocol: str, metric: str) -> dict[tuple[str, str], Any]:
    return {
        (row["preset"], row["party"]): row
        for row in written["rows"]
        if (row["protocol"], row["metric"]) == (protocol, metric)
    }


def test_a_transformer_goes_through_all_stages_and_attacks(written: dict[str, Any]) -> None:
    by_person = rates(written, "by_person", "rank_1")
    linked = rates(written, "linkage", "rank_1")
    for preset in PRESETS:
        assert {(preset, "student"), (preset, "teacher")} <= by_person.keys()
        for attack in ("ridge-denoiser", "z-inversion", "attribute-heads"):
            assert 0 <= linked[preset, attack]["value"] <= 1
    plain, chance = linked["plain", "ridge-denoiser"]["value"], by_person["plain", "student"]
    assert plain > 2 * chance["chance"]
    assert chance["value"] > 2 * chance["chance"]
    assert linked["paper", "ridge-denoiser"]["control"] == plain
    assert linked["xnn", "ridge-denoiser"]["value"] < plain


def test_decoded_faces_are_judged_beside_their_control(written: dict[str, Any]) -> None:
    psnr = rates(written, "picture", "psnr")
    control, hidden = psnr["plain", "z-inversion"], psnr["xnn", "z-inversion"]
    assert control["value"] > control["chance"] + 1
    assert hidden["value"] < hidden["chance"] + 0.3
    assert hidden["control"] == control["value"]
    assert ("xnn", "z-inversion") in rates(written, "picture", "ssim")
    originals = rates(written, "original-dlib", "rank_1")  # dlib knows nothing of the transformer
    assert originals["plain", "z-inversion"]["value"] > 0.9
    assert ("plain", "z-inversion") in rates(written, "rebuilt-dlib", "rank_1")


def test_attributes_are_told_beside_their_control(written: dict[str, Any]) -> None:
    row = rates(written, "linkage", "rank_1")["xnn", "attribute-heads"]
    told = ("control_attributes", "attributes")
    assert row["attributes"].keys() == row["control_attributes"].keys()
    assert {"brightness", "look_1"} <= row["attributes"].keys()
    light = ("brightness", "side_light")
    clean, hidden = (np.mean([row[name][one] for one in light]) for name in told)
    assert clean > 0.7
    assert hidden < clean - 0.1


def test_a_second_run_measures_nothing_anew(
    xnn: Xnn, folders: dict[str, Path], written: dict[str, Any]
) -> None:
    status, _, told = xnn(*bench(folders, folders["root"] / "noise.json"))
    assert status == 0, told
    assert "seed 0:" not in told
    again = json.loads((folders["root"] / "noise.json").read_text())
    assert again["rows"] == written["rows"]


def test_a_teacher_is_trained_once_for_all_fronts_that_share_it(
    folders: dict[str, Path], written: dict[str, Any]
) -> None:
    runs = {p.name.split("-")[1]: p for p in (folders["root"] / "noise.json.cells").glob("run-*")}
    kept = (runs["plain"] / "teacher.safetensors").read_bytes()
    assert (runs["xnn"] / "teacher.safetensors").read_bytes() == kept
    assert not (runs["xnn"] / "teacher").exists()
    assert (runs["paper"] / "teacher.safetensors").read_bytes() != kept  # another recipe


def test_an_attacker_who_holds_the_victims_is_refused(
    xnn: Xnn, folders: dict[str, Path], tmp_path: Path
) -> None:
    shared = bench({**folders, "other": folders["owner"]}, tmp_path / "n.json")
    status, printed, told = xnn(*shared)
    assert status == 1
    assert printed == ""
    assert told.splitlines()[-1].startswith(
        "xnn: 20 subjects are in the victim's and in the public"
    )
    assert not (tmp_path / "n.json").exists()


def test_too_few_people_are_refused(xnn: Xnn, folders: dict[str, Path], tmp_path: Path) -> None:
    status, _, told = xnn(*bench(folders, tmp_path / "n.json", "--max-subjects", 6))
    assert status == 1
    assert "needs 4" in told.splitlines()[-1]


def test_pictures_show_what_each_sees(
    xnn: Xnn, folders: dict[str, Path], written: dict[str, Any], tmp_path: Path
) -> None:
    out = folders["root"] / "noise.json"
    status, _, told = xnn(*bench(folders, out, "--pictures", tmp_path / "pictures"))
    assert status == 0, told
    assert "xnn, seed 0: pictures" in told
    decoded = tmp_path / "pictures" / "decoded.png"
    with Image.open(decoded) as sheet:  # five test people; the originals and three fronts
        assert sheet.size == (4 + 5 * 116, 4 + 4 * 116)
        pixels = np.asarray(sheet).astype(float)
    assert stat.S_IMODE(decoded.stat().st_mode) == 0o600
    rows = [pixels[4 + i * 116 : 116 + i * 116] for i in range(4)]
    away = [np.abs(row - rows[0]).mean() for row in rows[1:]]
    assert away[0] < away[2], "plain features are decoded better than z of xnn"
    with Image.open(tmp_path / "pictures" / "identities.png") as points:
        assert points.size[0] > 500
        assert len(np.unique(np.asarray(points.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_people_apart_in_scores_are_apart_in_the_plane() -> None:
    truth = np.repeat(np.arange(4), 10)
    rng = np.random.default_rng(0)
    clear = 5.0 * (truth[:, None] == np.arange(4)) + rng.normal(size=(40, 4))

    def nearest_is_of_the_same(scores: np.ndarray) -> float:
        placed = laid_out(scores, seed=0)
        apart = np.linalg.norm(placed[:, None] - placed[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        return float(np.mean(truth[apart.argmin(axis=1)] == truth))

    assert nearest_is_of_the_same(clear) > 0.9
    assert nearest_is_of_the_same(rng.normal(size=(40, 4))) < 0.6
    assert np.array_equal(laid_out(clear, seed=0), laid_out(clear, seed=0))
    with pytest.raises(InsufficientDataError, match="t-SNE needs 4"):
        laid_out(clear[:3], seed=0)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="seeds=0"):
        NoiseBenchSettings(seeds=0, split=SplitSettings())
    with pytest.raises(ConfigError, match="no attack 'unpaired-moments' on the inference phase"):
        NoiseBenchSettings(attacks=("unpaired-moments",), split=SplitSettings())


def test_a_transformers_front_is_trained_exported_and_used(
    xnn: Xnn, folders: dict[str, Path], tmp_path: Path
) -> None:
    manifest = tmp_path / "faces.csv"
    save_manifest(split_faces(load_faces(folders["owner"])), manifest)
    run, device, server = (tmp_path / name for name in ("run", "device", "server"))
    short = ["--teacher-epochs", 1, "--game-epochs", 1, "--student-epochs", 1]
    arguments = ["noise", "train", manifest, "--out", run, "--preset", "paper", *short]
    status, printed, told = xnn(*arguments, "--extractor", "tiny-vit")
    assert status == 0, told
    assert json.loads(printed)["game_chance_loss"] > 11.2
    parts = ["--device", device, "--server", server, "--crops", manifest]
    status, printed, told = xnn("noise", "export", run, *parts)
    assert status == 0, told
    assert json.loads(printed)["difference"] < 1e-3
    out = tmp_path / "embeddings.npz"
    status, printed, told = xnn("noise", "embed", device, server, folders["other"], "--out", out)
    assert status == 0, told
    assert json.loads(printed)["crops"] == ATTACKERS * SHOTS
