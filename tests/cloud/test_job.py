"""The cloud's job: shards in, a run folder out, and no key code anywhere in the process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xnn.cloud.bundle import load_bundle
from xnn.cloud.job import run_job
from xnn.errors import (
    ConfigError,
    CorruptError,
    InsufficientDataError,
    OutputExistsError,
    ResumeError,
)
from xnn.shards import ShardSet
from xnn.training.presets import adamw_tail, heads_for, tiny
from xnn.training.validate import validate

CONFIG = tiny(accelerator="cpu", epochs=2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_run_folder_and_its_bundle(toy_shards: Path, tmp_path: Path) -> None:
    result = run_job(toy_shards, tmp_path / "run", CONFIG)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "bundle"}
    facts = json.loads((tmp_path / "run" / "config.json").read_text())
    assert facts["train"] == CONFIG.to_dict()
    assert facts["seed"] == CONFIG.seed
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0] or torch.__version__
    bundle = load_bundle(result.bundle_dir)
    manifest = ShardSet.open(toy_shards).manifest
    assert (bundle.card.key_id, bundle.card.scheme) == ("toy-key", "paper")
    assert bundle.card.extractor == manifest.extractor
    assert bundle.card.training["shards_digest"] == manifest.digest()
    scores = validate(bundle.tail, ShardSet.open(toy_shards).split("val"))
    assert scores.rank_1 == pytest.approx(bundle.card.training["val_rank_1"])


ISOLATED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import xnn.cli.train
from xnn.cloud.job import run_job
from xnn.training.presets import tiny
run_job(Path("shards"), Path("run"), tiny(accelerator="cpu", epochs=1))
forbidden = [m for m in sys.modules if m.startswith(("xnn.secret", "xnn.owner", "xnn.faces"))]
sys.stdout.write(",".join(forbidden) or "none")
"""


def test_a_process_with_nothing_but_the_shards_never_loads_key_code(
    toy_shards: Path, tmp_path: Path
) -> None:
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    shutil.move(toy_shards, cloud / "shards")
    home = {"HOME": str(cloud), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", ISOLATED],
        cwd=cloud,
        env=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "none"
    assert load_bundle(cloud / "run" / "bundle").card.key_id == "toy-key"


def test_an_existing_run_is_refused_and_a_finished_one_resumed(
    toy_shards: Path, tmp_path: Path
) -> None:
    first = run_job(toy_shards, tmp_path / "run", CONFIG)
    with pytest.raises(OutputExistsError, match="exists and is not empty"):
        run_job(toy_shards, tmp_path / "run", CONFIG)
    again = run_job(toy_shards, tmp_path / "run", CONFIG, resume=True)
    assert again.card == first.card


def test_other_shards_are_refused_at_resumption(
    toy_shards: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run_job(toy_shards, tmp_path / "run", CONFIG)
    manifest = json.loads((toy_shards / "manifest.json").read_text())
    (toy_shards / "manifest.json").write_text(json.dumps({**manifest, "key_id": "another"}))
    with pytest.raises(ResumeError, match="data_id"):
        run_job(toy_shards, tmp_path / "run", CONFIG, resume=True)


def test_shards_that_cannot_be_used(toy_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the tail is for records of 4x16"):
        run_job(toy_shards, tmp_path / "run", CONFIG, adamw_tail(4, 16))
    manifest = json.loads((toy_shards / "manifest.json").read_text())
    alone = {**manifest, "num_classes": {"train": 1, "val": 3}}
    (toy_shards / "manifest.json").write_text(json.dumps(alone))
    with pytest.raises(InsufficientDataError, match="1 training subject"):
        run_job(toy_shards, tmp_path / "run", CONFIG)
    (toy_shards / "train-0.arrow").unlink()
    with pytest.raises(CorruptError, match="is missing"):
        run_job(toy_shards, tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (384, 12), (256, 8), (128, 4), (8, 1)])
def test_heads_divide_the_width(width: int, heads: int) -> None:
    assert heads_for(width) == heads
