"""The loop that the game and the distillation share: steps, epochs, checkpoints, the record.

A step is seeded by its number, as in `xnn.training.run`: killed and resumed, a stage ends with the
bits that it would have had.
"""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard.writer import SummaryWriter

from xnn.errors import DivergedError
from xnn.files import disk_errors, write_atomically
from xnn.training.batches import BatchPlan
from xnn.training.checkpoint import (
    Checkpoint,
    has_checkpoint,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    under_prefix,
    with_prefix,
)

Row = dict[str, float]
"""What is told of an epoch, by name."""
CURVE_FILE = "curve.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEvent:
    """What a watcher is told after a step or, with `row`, after an epoch."""

    stage: str
    step: int
    num_steps: int
    loss: float
    chance_loss: float
    """What a tail pays that knows nothing: `loss` is read against it."""
    row: Row | None = None


OnStage = Callable[[StageEvent], None]


class Stage(ABC):
    """What a stage trains and how it makes a step."""

    name: str
    modules: dict[str, nn.Module]
    """Everything whose tensors change."""
    optimizers: dict[str, torch.optim.Optimizer]
    plan: BatchPlan
    epochs: int
    chance_loss: float
    log_every_steps: int = 10
    scores_start: bool = False
    """Whether the modules know something before the first step: training then has to beat it."""

    @abstractmethod
    def step(self, step: int, indices: np.ndarray) -> dict[str, Tensor]:
        """Make one step; return its losses by name, the one to show first."""

    def end_epoch(self, epoch: int) -> Row:
        """Measure what is to be told of an epoch; of the start, as epoch -1, if `scores_start`."""
        return {}

    def score(self, row: Row) -> float | None:
        """Return what the best epoch has most of; None keeps the last epoch."""
        return None


@dataclass(slots=True)
class _State:
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    wall_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "sums": self.sums,
            "rows": self.rows,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "wall_s": self.wall_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """How a stage went; its modules hold the best weights, or the last."""

    rows: tuple[Row, ...]
    best_epoch: int | None
    """-1 where training never beat the start."""
    chance_loss: float
    wall_s: float


@final
class Steps:
    """Run a stage in a folder of its own.

    Args:
        stage: See there.
        folder: Receives checkpoints, `curve.jsonl` and TensorBoard files.
        settings: All that a resumed run must share, flat.
        on_event: Told of steps and epochs.
        checkpoint_minutes: Between checkpoints; 0 writes one after every step.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        settings: dict[str, Any],
        *,
        seed: int,
        on_event: OnStage | None = None,
        checkpoint_minutes: float = 10.0,
    ) -> None:
        self.stage, self.folder, self.settings, self.seed = stage, folder, settings, seed
        self.on_event, self.checkpoint_minutes = on_event, checkpoint_minutes
        self.num_steps = stage.epochs * stage.plan.steps_per_epoch
        self.state = _State()
        self.saved_step = -1

    def run(self) -> StageResult:
        """Go on from the last checkpoint, or begin; leave the best weights in the modules.

        Raises:
            ResumeError: The stage was begun with other settings.
            DivergedError: A loss or a weight is no longer finite; the last checkpoint stands.
        """
        checkpoints = self.folder / "checkpoints"
        with disk_errors("make the folder of the stage", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            if has_checkpoint(checkpoints):
                self._restore(load_checkpoint(checkpoints, settings=self.settings))
            self._begin_record()
            self.began = time.perf_counter() - self.state.wall_s
            self.saved_at = time.perf_counter()
            try:
                self._all_steps()
            finally:
                self.board.close()
            self._save()
        for name, module in self.stage.modules.items():
            kept = under_prefix(name, self.state.best)
            if kept:
                module.load_state_dict(kept)
        return StageResult(
            rows=tuple(self.state.rows),
            best_epoch=self.state.best_epoch,
            chance_loss=self.stage.chance_loss,
            wall_s=self.state.wall_s,
        )

    def _all_steps(self) -> None:
        stage, state, per_epoch = self.stage, self.state, self.stage.plan.steps_per_epoch
        if state.step == 0 and stage.scores_start:
            self._keep_if_best(stage.end_epoch(-1), epoch=-1)
        for indices in stage.plan.walk(state.step, self.num_steps):
            torch.manual_seed(step_seed(self.seed, state.step))
            losses = {name: float(loss.detach()) for name, loss in self._step(indices).items()}
            state.step += 1
            self._check(losses)
            for name, loss in losses.items():
                state.sums[name] = state.sums.get(name, 0.0) + loss
            shown = next(iter(losses.values()))
            row = self._end_epoch() if state.step % per_epoch == 0 else None
            if row is not None or state.step % stage.log_every_steps == 0:
                self._tell(losses, shown, row)
            if time.perf_counter() - self.saved_at >= 60 * self.checkpoint_minutes:
                self._save()

    def _step(self, indices: np.ndarray) -> dict[str, Tensor]:
        return self.stage.step(self.state.step, indices)

    def _end_epoch(self) -> Row:
        stage, state, per_epoch = self.stage, self.state, self.stage.plan.steps_per_epoch
        epoch = state.step // per_epoch - 1
        means = {name: total / per_epoch for name, total in state.sums.items()}
        state.sums = {}
        row = {"epoch": float(epoch), "step": float(state.step), **means, **stage.end_epoch(epoch)}
        self._keep_if_best(row, epoch=epoch)
        state.rows.append(row)
        return row

    def _keep_if_best(self, row: Row, *, epoch: int) -> None:
        score, state = self.stage.score(row), self.state
        if score is not None and (state.best_score is None or score > state.best_score):
            state.best_score, state.best_epoch = score, epoch
            state.best = {
                name: tensor.detach().clone() for name, tensor in self._module_tensors().items()
            }

    def _tell(self, losses: dict[str, float], shown: float, row: Row | None) -> None:
        stage, step = self.stage, self.state.step
        for name, loss in losses.items():
            self.board.add_scalar(f"step/{name}", loss, step)
        self.board.add_scalar("step/chance_loss", stage.chance_loss, step)
        if row is not None:
            path = self.folder / CURVE_FILE
            with disk_errors("write", path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False, sort_keys=True) + "\n")
            for name, value in row.items():
                self.board.add_scalar(f"epoch/{name}", value, step)
            self.board.add_scalar("epoch/chance_loss", stage.chance_loss, step)
            self.board.flush()
            shown = row.get(next(iter(losses)), shown)
        if self.on_event:
            event = StageEvent(
                stage=stage.name,
                step=step,
                num_steps=self.num_steps,
                loss=shown,
                chance_loss=stage.chance_loss,
                row=row,
            )
            self.on_event(event)

    def _begin_record(self) -> None:
        """Rewrite the curve from the checkpoint: epochs lost with a kill do not appear twice."""
        lines = "".join(
            json.dumps(row, allow_nan=False, sort_keys=True) + "\n" for row in self.state.rows
        )
        write_atomically(self.folder / CURVE_FILE, lines.encode())
        board = str(self.folder / "tensorboard")
        with disk_errors("write the TensorBoard folder of", self.folder):
            self.board = SummaryWriter(board, purge_step=self.state.step)

    def _check(self, losses: dict[str, float]) -> None:
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise self._diverged(f"{name} became {loss}")

    def _diverged(self, what: str) -> DivergedError:
        saved = f"step {self.saved_step} is saved" if self.saved_step >= 0 else "nothing was saved"
        return DivergedError(
            f"stage {self.stage.name!r}: {what} at step {self.state.step} of {self.num_steps}; "
            f"{saved}; start a run with a lower learning rate"
        )

    def _module_tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, module in self.stage.modules.items():
            tensors |= with_prefix(name, module.state_dict())
        return tensors

    def _save(self) -> None:
        """Write a checkpoint, unless the state is already broken."""
        if self.saved_step == self.state.step:
            return
        tensors = self._module_tensors()
        if not all(bool(t.isfinite().all()) for t in tensors.values()):
            raise self._diverged("a weight became NaN or infinite")
        self.state.wall_s = time.perf_counter() - self.began
        for name, optimizer in self.stage.optimizers.items():
            tensors |= with_prefix(f"optimizer.{name}", optimizer_tensors(optimizer))
        tensors |= with_prefix("best", self.state.best)
        save_checkpoint(
            self.folder / "checkpoints",
            Checkpoint(settings=self.settings, progress=self.state.to_dict(), tensors=tensors),
        )
        self.saved_step = self.state.step
        self.saved_at = time.perf_counter()

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.state = _State(**checkpoint.progress, best=under_prefix("best", checkpoint.tensors))
        for name, module in self.stage.modules.items():
            module.load_state_dict(under_prefix(name, checkpoint.tensors))
        for name, optimizer in self.stage.optimizers.items():
            restore_optimizer(optimizer, under_prefix(f"optimizer.{name}", checkpoint.tensors))
        self.saved_step = self.state.step


def step_seed(seed: int, step: int) -> int:
    """Return the seed of everything random in a step."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
