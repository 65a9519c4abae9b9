"""The whole job of the untrusted cloud: shards in, a run folder with a bundle out.

run folder
|-- config.json     every setting as resolved, versions, seed
|-- metrics.jsonl   one line per epoch
|-- tensorboard/
|-- checkpoints/
`-- bundle/         what goes back to the owner
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xnn.cloud.bundle import BundleCard, save_bundle
from xnn.errors import ConfigError, InsufficientDataError, OutputExistsError
from xnn.files import disk_errors, write_json
from xnn.models.tail_config import TailConfig
from xnn.shards import Manifest, ShardSet
from xnn.training.checkpoint import has_checkpoint
from xnn.training.config import TrainConfig
from xnn.training.loop import FitResult, fit, new_tail_and_head
from xnn.training.presets import adamw_tail
from xnn.training.run import CHECKPOINTS, OnEvent

BUNDLE_DIR = "bundle"
CONFIG_NAME = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """Where the bundle is and how its training went."""

    bundle_dir: Path
    card: BundleCard
    fit: FitResult


def run_job(
    shards_dir: Path,
    out: Path,
    config: TrainConfig,
    tail_config: TailConfig | None = None,
    *,
    resume: bool = False,
    on_event: OnEvent | None = None,
) -> JobResult:
    """Train a tail on shards and write the run folder.

    Args:
        shards_dir: Folder of shards: all that the cloud is given.
        out: Run folder; new, unless `resume`.
        config: Settings of the training.
        tail_config: Shape of the tail; None takes `default_tail` of the shards' shape.
        resume: Continue the run in `out`, or begin it if nothing was saved yet.
        on_event: See `xnn.training.loop.fit`.

    Raises:
        OutputExistsError: `out` holds something and `resume` was not asked for.
        ResumeError: The run was begun with other settings or other shards.
        FormatError, CorruptError, VersionError: The shards cannot be read, or were altered.
        InsufficientDataError: Too few subjects to train or to validate.
        DivergedError: Training met NaN; the last good checkpoint stands.

    Trust: cloud. Reads records and class indices, and nothing else; no key is within reach.
    """
    shards = ShardSet.open(shards_dir)
    shards.verify()
    manifest = shards.manifest
    tail_config = tail_config or default_tail(manifest.n, manifest.d)
    if (tail_config.n, tail_config.d) != (manifest.n, manifest.d):
        raise ConfigError(
            f"the tail is for records of {tail_config.n}x{tail_config.d}, "
            f"the shards hold {manifest.shape}; leave n and d to the shards"
        )
    num_classes = manifest.num_classes["train"]
    if num_classes < 2:
        raise InsufficientDataError(
            f"the shards hold {num_classes} training subject; training needs at least 2"
        )
    main = _is_main_process()
    if main:
        _open_run_folder(out, resume=resume)
        if not has_checkpoint(out / CHECKPOINTS):
            write_json(out / CONFIG_NAME, _facts(manifest, config, tail_config))
    tail, head = new_tail_and_head(tail_config, num_classes, config)
    result = fit(
        shards.split("train"),
        shards.split("val") if manifest.num_records("val") else None,
        tail,
        head,
        config,
        out,
        on_event=on_event,
        resume=resume,
        data_id=manifest.digest(),
    )
    card = _card(manifest, tail_config, config, result)
    if main:
        save_bundle(out / BUNDLE_DIR, tail, card)
    return JobResult(bundle_dir=out / BUNDLE_DIR, card=card, fit=result)


def default_tail(n: int, d: int, **changes: Any) -> TailConfig:
    """Return the tail that goes with the default preset, for records of this shape."""
    return adamw_tail(n, d, **changes)


def _open_run_folder(out: Path, *, resume: bool) -> None:
    with disk_errors("make the run folder", out):
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputExistsError(
                f"run folder {out.name!r} exists and is not empty; resume it or choose another"
            )
        out.mkdir(parents=True, exist_ok=True)


def _facts(manifest: Manifest, config: TrainConfig, tail_config: TailConfig) -> dict[str, Any]:
    packages = ("xnn-face", "torch", "lightning-fabric", "numpy", "safetensors", "pyarrow")
    return {
        "train": config.to_dict(),
        "tail": tail_config.to_dict(),
        "seed": config.seed,
        "shards": {
            "digest": manifest.digest(),
            "scheme": manifest.scheme,
            "key_id": manifest.key_id,
            "extractor_digest": manifest.extractor_digest,
            "records": {s: manifest.num_records(s) for s in ("train", "val")},
            "num_classes": manifest.num_classes,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "git_sha": _git_sha(),
        "machine": {"system": platform.platform(), "threads": torch.get_num_threads()},
    }


def _card(
    manifest: Manifest, tail_config: TailConfig, config: TrainConfig, result: FitResult
) -> BundleCard:
    best = result.best
    return BundleCard(
        tail=tail_config,
        scheme=manifest.scheme,
        scheme_version=manifest.scheme_version,
        key_id=manifest.key_id,
        extractor=manifest.extractor,
        extractor_digest=manifest.extractor_digest,
        n=manifest.n,
        d=manifest.d,
        training={
            "shards_digest": manifest.digest(),
            "num_records": manifest.num_records("train"),
            "num_classes": manifest.num_classes["train"],
            "seed": config.seed,
            "steps": result.steps,
            "ended": result.ended,
            "best_step": best and best.step,
            "val_rank_1": best and best.scores.rank_1,
            "val_eer": best and best.scores.eer,
        },
    )


def _git_sha() -> str | None:
    """Return the commit of a source checkout, or None in an installed package."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() if done.returncode == 0 else None


def _is_main_process() -> bool:
    """Say whether this is the process that writes; launchers number the others from 1."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0
