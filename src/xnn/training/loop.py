"""Train a tail: records in, the best tail by validation out."""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64

from xnn.errors import ConfigError, OutputExistsError
from xnn.files import disk_errors
from xnn.models.margin import MarginHead
from xnn.models.tail import Tail
from xnn.models.tail_config import TailConfig
from xnn.training.checkpoint import has_checkpoint, load_checkpoint
from xnn.training.config import OPERATIONAL, TrainConfig
from xnn.training.run import CHECKPOINTS, OnEvent, TailAndHead, TrainingRun
from xnn.training.source import RecordSource
from xnn.training.state import Best, EpochRecord
from xnn.training.validate import check_validation, embed

_WHITENING_NUMBERS = 64_000_000
"""Values read to measure the whitening: enough for a covariance, little beside a machine."""
_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What came out of a training run; the tail itself holds the best weights."""

    history: tuple[EpochRecord, ...]
    best: Best | None
    """None without validation: then the last weights are kept."""
    steps: int
    ended: Literal["finished", "patience"]
    chance_loss: float
    """Loss of a tail that knows nothing, to read the history against."""
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return dataclasses.asdict(self)


def new_tail_and_head(
    tail_config: TailConfig, num_classes: int, config: TrainConfig
) -> tuple[Tail, MarginHead]:
    """Build a tail and its head with initial weights from the configuration's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        tail = Tail(tail_config)
        head = MarginHead(
            tail_config.output_dim,
            num_classes,
            kind=config.head,
            scale=config.head_scale,
            margin=config.head_margin,
        )
    return tail, head


def fit(
    source_train: RecordSource,
    source_val: RecordSource | None,
    tail: Tail,
    head: MarginHead,
    config: TrainConfig,
    run_dir: Path,
    *,
    on_event: OnEvent | None = None,
    resume: bool = False,
    data_id: str = "",
) -> FitResult:
    """Train a tail and its head, and leave the best weights in the tail.

    On a CPU, k steps, a kill and a resumption give bit for bit what 2k steps give.

    Args:
        source_train: Labels below the head's number of classes.
        source_val: Other subjects than those of training; None keeps the last weights.
        tail: Trained in place; ends on the CPU, in eval mode.
        head: Trained in place.
        config: See `TrainConfig`.
        run_dir: Receives checkpoints, `metrics.jsonl` and TensorBoard files; made if missing.
        on_event: Called in the main process every `log_every_steps` and after every epoch.
        resume: Go on from the last checkpoint of `run_dir`, or begin if there is none yet.
        data_id: Name of the data, checked at resumption, such as a digest of the shards.

    Raises:
        ConfigError: Sources, tail and head do not fit together.
        InsufficientDataError: The validation subjects cannot be searched.
        OutputExistsError: `run_dir` holds a run and `resume` was not asked for.
        ResumeError: The run was begun with other settings or other data.
        DivergedError: The loss or a weight became NaN or infinite; the last good checkpoint stands.

    Trust: cloud, or an adversary training on its own data. No key is within reach.
    """
    _check_fit(source_train, source_val, tail, head)
    checkpoints = run_dir / CHECKPOINTS
    started = has_checkpoint(checkpoints)
    if started and not resume:
        raise OutputExistsError(
            f"{run_dir.name!r} holds a training run; resume it or choose another folder"
        )
    with disk_errors("make the run folder", run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    settings = _settings(source_train, tail, head, config, data_id)
    with torch.random.fork_rng(devices=[]):
        checkpoint = load_checkpoint(checkpoints, settings=settings) if started else None
        if checkpoint is None:
            tail.fit_input_norm(_sample(source_train, config.seed))
            if config.imprint_head:
                embeddings = torch.from_numpy(embed(tail, source_train))
                head.imprint(embeddings, torch.from_numpy(source_train.labels))
        model = TailAndHead(tail, head)
        run = TrainingRun(source_train, source_val, model, config, run_dir, settings)
        if checkpoint is not None:
            run.restore(checkpoint)
        ended = run.train(on_event)
    return FitResult(
        history=tuple(run.progress.history),
        best=run.progress.best,
        steps=run.progress.step,
        ended=ended,
        chance_loss=head.chance_loss(),
        wall_s=run.progress.wall_s,
    )


def _check_fit(
    source_train: RecordSource, source_val: RecordSource | None, tail: Tail, head: MarginHead
) -> None:
    expected = (tail.config.n, tail.config.d)
    for name, source in (("training", source_train), ("validation", source_val)):
        if source is not None and (source.shape.n, source.shape.d) != expected:
            raise ConfigError(
                f"{name} records are {source.shape}, the tail expects {expected[0]}x{expected[1]}; "
                "build the tail for these records"
            )
    num_classes, embedding_dim = head.weight.shape
    if num_classes != source_train.num_classes:
        raise ConfigError(
            f"the head has {num_classes} classes, the training records {source_train.num_classes}; "
            "build the head for these records"
        )
    if embedding_dim != tail.config.output_dim:
        raise ConfigError(
            f"the head takes embeddings {embedding_dim} wide, the tail gives "
            f"{tail.config.output_dim}; build both from one TailConfig"
        )
    if source_val is not None:
        check_validation(source_val)


def _settings(
    source_train: RecordSource, tail: Tail, head: MarginHead, config: TrainConfig, data_id: str
) -> dict[str, Any]:
    """Return all that must be the same when a run goes on."""
    asked = {k: v for k, v in config.to_dict().items() if k not in OPERATIONAL}
    return {
        **asked,
        **{f"tail.{name}": value for name, value in tail.config.to_dict().items()},
        "head_scale": head.scale,
        "head_margin": head.margin,
        "num_classes": source_train.num_classes,
        "num_records": len(source_train),
        "labels_sha256": hashlib.sha256(source_train.labels.astype("<i8").tobytes()).hexdigest(),
        "data_id": data_id,
    }


def _sample(
    source: RecordSource, seed: int
) -> Iterator[tuple[Float32[np.ndarray, "_ n d"], Int64[np.ndarray, " _"]]]:
    """Read training records at random, without repeating one, in chunks."""
    num = min(len(source), max(1, _WHITENING_NUMBERS // (source.shape.n * source.shape.d)))
    chosen = np.sort(np.random.default_rng((seed, len(source))).permutation(len(source))[:num])
    for start in range(0, num, _CHUNK):
        part = chosen[start : start + _CHUNK]
        yield source.read(part), source.labels[part]
