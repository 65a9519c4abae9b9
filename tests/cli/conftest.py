"""The command line in this process, and small real folders to run it on."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from xnn.cli import main, output
from xnn.cloud.job import run_job
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces, save_manifest
from xnn.faces.splits import SplitSettings, split_faces
from xnn.owner.build import build_shards
from xnn.owner.plan import BuildSettings
from xnn.schemes import find_scheme
from xnn.secret import KeyFile, KeyScope, SecretKey
from xnn.training.presets import adamw_tail, tiny

PASSPHRASE = "correct horse"
SPLIT = SplitSettings(test_subjects=2, val_subjects=2, images_per_test_subject=3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON on stdout of a command that succeeded."""
        assert self.status == 0, self.stderr
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The one line that a failed command printed; warnings before it do not count."""
        assert self.status in (1, 2), self.stderr
        assert self.stdout == ""
        assert "Traceback" not in self.stderr
        lines = [line for line in self.stderr.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, self.stderr
        assert lines[0].startswith("xnn: ")
        assert len(lines[0]) < 500
        return lines[0]


Xnn = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def xnn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Xnn:
    """Run one command as `python -m xnn` would, and return its status and output."""
    monkeypatch.setenv("XNN_PASSPHRASE", PASSPHRASE)
    monkeypatch.setitem(output._STATE, "json", False)
    monkeypatch.setitem(main._STATE, "debug", False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["xnn", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main.run()
        except SystemExit as stop:
            status = int(stop.code or 0)
        shown = capsys.readouterr()
        return Outcome(status, shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def crops(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six ORL subjects, five photographs each, merely resized: alignment is tested elsewhere."""
    root = tmp_path_factory.mktemp("faces") / "crops"
    for subject in range(1, 7):
        folder = root / f"s{subject}"
        folder.mkdir(parents=True)
        for shot in range(1, 6):
            with Image.open(orl_photos / f"s{subject}" / f"{shot}.pgm") as photo:
                photo.convert("RGB").resize((112, 112)).save(folder / f"{shot}.png")
    return root


@dataclass(frozen=True, slots=True)
class Work:
    """A finished flow A on disk. Tests that alter something alter a copy."""

    manifest: Path
    key: Path
    shards: Path
    run: Path


NewKey = Callable[..., Path]


@pytest.fixture(scope="session")
def new_key() -> NewKey:
    """Make a key file quickly: `new_key(path, scheme="paper", split_depth=None)`."""

    def make(path: Path, *, scheme: str = "paper", split_depth: int | None = None) -> Path:
        card = load_extractor("dlib", split_depth=split_depth).card
        scope = KeyScope(
            dataset="orl",
            extractor_digest=card.digest(),
            n=card.n,
            d=card.d,
            scheme=scheme,
            scheme_version=find_scheme(scheme).card.version,
        )
        key = SecretKey.generate(scope)
        KeyFile.create(path, key, PASSPHRASE, extractor=card.to_dict(), log2_n=10)
        return path

    return make


@pytest.fixture(scope="session")
def work(crops: Path, new_key: NewKey, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Manifest, key, shards and a trained tail, made once through the library."""
    root = tmp_path_factory.mktemp("work")
    faces = split_faces(load_faces(crops), SPLIT)
    save_manifest(faces, root / "faces.csv")
    key = new_key(root / "owner.key")
    settings = BuildSettings(batch_size=8, records_per_shard=4)
    keyfile = KeyFile.open(key, PASSPHRASE)
    build_shards(faces, load_extractor("dlib"), keyfile, root / "shards", settings)
    card = load_extractor("dlib").card
    config = tiny(epochs=1, precision="auto")
    run_job(root / "shards", root / "run", config, adamw_tail(card.n, card.d))
    return Work(root / "faces.csv", key, root / "shards", root / "run")
