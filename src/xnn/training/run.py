"""One training run: its moving parts, and the order in which they move."""

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import lightning_fabric
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from xnn.errors import DivergedError
from xnn.models.margin import MarginHead
from xnn.models.tail import Tail
from xnn.training.batches import BatchPlan, Prefetcher
from xnn.training.checkpoint import (
    Checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    under_prefix,
    with_prefix,
)
from xnn.training.config import TrainConfig
from xnn.training.optimizer import lr_at, new_optimizer, set_lr
from xnn.training.record import RunRecord
from xnn.training.source import RecordSource
from xnn.training.state import Best, EpochRecord, Progress
from xnn.training.validate import ValidationScores, validate

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainEvent:
    """What a watcher of the training is told, every few steps and after every epoch."""

    step: int
    num_steps: int
    epoch: int
    train_loss: float
    lr: float
    epoch_record: EpochRecord | None
    """Set when an epoch has ended."""
    best: Best | None


OnEvent = Callable[[TrainEvent], None]


@final
class TailAndHead(nn.Module):
    """One module whose forward pass is the loss, as distributed training wants it."""

    def __init__(self, tail: Tail, head: MarginHead) -> None:
        super().__init__()
        self.tail = tail
        self.head = head

    def forward(
        self, features: Float[Tensor, "b n d"], labels: Int64[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""
        return self.head.loss(self.tail(features), labels)


@final
class TrainingRun:
    """The state of a run and the one loop that changes it.

    Every step begins by seeding torch with (seed, step, rank), so that noise and dropout depend on
    the position alone and a resumed run needs no state of a random generator.
    """

    def __init__(
        self,
        source_train: RecordSource,
        source_val: RecordSource | None,
        model: TailAndHead,
        config: TrainConfig,
        run_dir: Path,
        settings: dict[str, Any],
    ) -> None:
        self.config, self.run_dir, self.settings = config, run_dir, settings
        self.source_train, self.source_val = source_train, source_val
        self.fabric = launch(config)
        self.model = model.to(self.fabric.device)  # before the optimizer and the copy below
        self.average = _frozen_copy(model.tail) if config.ema_decay else None
        self.module, self.optimizer = self.fabric.setup(model, new_optimizer(config, model))
        self.plan = BatchPlan(
            num_records=len(source_train),
            batch_size=config.batch_size,
            seed=config.seed,
            rank=self.fabric.global_rank,
            world_size=self.fabric.world_size,
        )
        self.num_steps = config.epochs * self.plan.steps_per_epoch
        self.progress = Progress()
        self.epoch_loss = torch.zeros((), dtype=torch.float64, device=self.fabric.device)
        self.train_s = self.waited_s = 0.0
        self.checkpoint_step: int | None = None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where a checkpoint was taken."""
        tensors = checkpoint.tensors
        self.progress = Progress.from_dict(checkpoint.progress)
        self.model.tail.load_state_dict(under_prefix("tail", tensors))
        self.model.head.load_state_dict(under_prefix("head", tensors))
        restore_optimizer(self.optimizer, under_prefix("optimizer", tensors))
        if self.average is not None:
            self.average.load_state_dict(under_prefix("average", tensors))
        self.progress.best_tail = under_prefix("best", tensors) or None
        self.epoch_loss.fill_(self.progress.epoch_loss)
        self.checkpoint_step = self.progress.step

    def train(self, on_event: OnEvent | None) -> Literal["finished", "patience"]:
        """Run to the last step, or until patience ends; the best weights are then in the tail."""
        progress = self.progress
        self.started = time.perf_counter() - progress.wall_s
        self.saved_at = time.perf_counter()
        main = self.fabric.is_global_zero
        record = self._new_record() if main else None
        if progress.step == 0 and self.config.imprint_head and self.source_val is not None:
            # The start knows something already: training has to beat it.
            start = self._scores_from_main(self.model.tail, self.source_val)
            self._keep_if_best(self.model.tail, start)
        try:
            self._steps(record, on_event if main else None)
        finally:
            if record is not None:
                record.close()
        self._save()
        kept = progress.best_tail or (self.average or self.model.tail).state_dict()
        self.model.tail.load_state_dict(kept)
        self.model.cpu().eval()
        return "patience" if self._out_of_patience() else "finished"

    def _new_record(self) -> RunRecord:
        return RunRecord(
            self.run_dir,
            past=self.progress.history,
            step=self.progress.step,
            chance_loss=self.model.head.chance_loss(),
        )

    def _steps(self, record: RunRecord | None, on_event: OnEvent | None) -> None:
        start, per_epoch = self.progress.step, self.plan.steps_per_epoch
        if start >= self.num_steps or self._out_of_patience():
            return
        with Prefetcher(self.source_train, self.plan, start=start, stop=self.num_steps) as batches:
            mark, waited = time.perf_counter(), 0.0
            for features, labels in batches:
                loss, lr = self._step(features, labels)
                step = self.progress.step
                ended = step % per_epoch == 0
                shown = self._mean_loss(loss) if step % self.config.log_every_steps == 0 else None
                self.train_s += time.perf_counter() - mark
                self.waited_s += batches.waited_s - waited
                waited = batches.waited_s
                epoch_record = self._end_epoch(lr) if ended else None
                self._tell(record, on_event, shown, lr, epoch_record)
                if self._checkpoint_is_due():
                    self._save()
                if self._out_of_patience():
                    return
                mark = time.perf_counter()

    def _step(
        self, records: Float32[np.ndarray, "b n d"], labels: Int64[np.ndarray, " b"]
    ) -> tuple[Tensor, float]:
        """Make one optimizer step and return its loss and learning rate."""
        config, step = self.config, self.progress.step
        torch.manual_seed(_step_seed(config.seed, step, self.fabric.global_rank))
        lr = lr_at(config, step, steps_per_epoch=self.plan.steps_per_epoch)
        set_lr(self.optimizer, lr)
        device = self.fabric.device
        loss: Tensor = self.module(
            torch.from_numpy(np.ascontiguousarray(records)).to(device, non_blocking=True),
            torch.from_numpy(labels).to(device, non_blocking=True),
        )
        self.fabric.backward(loss)
        if config.max_grad_norm is not None:
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=config.max_grad_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            _move_average(self.average, self.model.tail, decay=config.ema_decay, step=step)
        self.progress.step = step + 1
        self.epoch_loss += loss.detach()
        return loss.detach(), lr

    def _end_epoch(self, lr: float) -> EpochRecord:
        progress, per_epoch = self.progress, self.plan.steps_per_epoch
        train_loss = self._mean_loss(self.epoch_loss / per_epoch)
        self.epoch_loss.zero_()
        epoch = progress.step // per_epoch - 1
        scores = self._validate(epoch)
        record = EpochRecord(
            epoch=epoch,
            step=progress.step,
            train_loss=train_loss,
            lr=lr,
            val_rank_1=None if scores is None else scores.rank_1,
            val_eer=None if scores is None else scores.eer,
            data_wait_share=self.waited_s / self.train_s if self.train_s else 0.0,
            wall_s=time.perf_counter() - self.started,
        )
        self.train_s = self.waited_s = 0.0
        progress.history.append(record)
        return record

    def _validate(self, epoch: int) -> ValidationScores | None:
        """Score the tail in the main process, and keep it if it is the best so far."""
        last = epoch == self.config.epochs - 1
        if self.source_val is None or (
            (epoch + 1) % self.config.validate_every_epochs and not last
        ):
            return None
        tail = self.average or self.model.tail
        self._refuse_broken_weights()
        scores = self._scores_from_main(tail, self.source_val)
        self._keep_if_best(tail, scores)
        return scores

    def _keep_if_best(self, tail: Tail, scores: ValidationScores) -> None:
        progress = self.progress
        if scores.better_than(None if progress.best is None else progress.best.scores):
            progress.best = Best(step=progress.step, scores=scores)
            progress.best_tail = {
                name: tensor.detach().cpu().clone() for name, tensor in tail.state_dict().items()
            }
            progress.validations_since_best = 0
        else:
            progress.validations_since_best += 1

    def _scores_from_main(self, tail: Tail, source: RecordSource) -> ValidationScores:
        main = self.fabric.is_global_zero
        found = validate(tail, source, device=self.fabric.device) if main else None
        scores: Any = self.fabric.broadcast(found)
        return ValidationScores(rank_1=scores.rank_1, eer=scores.eer)

    def _tell(
        self,
        record: RunRecord | None,
        on_event: OnEvent | None,
        loss: float | None,
        lr: float,
        epoch_record: EpochRecord | None,
    ) -> None:
        if record is not None and loss is not None:
            record.add_loss(self.progress.step, train_loss=loss, lr=lr)
        if record is not None and epoch_record is not None:
            record.add_epoch(epoch_record)
        if epoch_record is not None:
            loss = epoch_record.train_loss
        if on_event is not None and loss is not None:
            event = TrainEvent(
                step=self.progress.step,
                num_steps=self.num_steps,
                epoch=(self.progress.step - 1) // self.plan.steps_per_epoch,
                train_loss=loss,
                lr=lr,
                epoch_record=epoch_record,
                best=self.progress.best,
            )
            on_event(event)

    def _mean_loss(self, loss: Tensor) -> float:
        """Average over processes.

        Raises:
            DivergedError: It is not finite.
        """
        mean = self.fabric.all_reduce(loss, reduce_op="mean")
        assert isinstance(mean, Tensor)  # noqa: S101  (a tensor goes in)
        value = float(mean)
        if not np.isfinite(value):
            raise self._diverged(f"the loss became {value}")
        return value

    def _refuse_broken_weights(self) -> None:
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            raise self._diverged("a weight became NaN or infinite")

    def _diverged(self, what: str) -> DivergedError:
        saved = self.checkpoint_step
        return DivergedError(
            f"{what} at step {self.progress.step} of {self.num_steps}; "
            f"{'no checkpoint was written yet' if saved is None else f'step {saved} is saved'}; "
            "start a run with a lower lr or with max_grad_norm set"
        )

    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.progress.validations_since_best >= patience

    def _checkpoint_is_due(self) -> bool:
        elapsed = time.perf_counter() - self.saved_at
        return self.fabric.is_global_zero and elapsed >= 60 * self.config.checkpoint_minutes

    def _save(self) -> None:
        """Write a checkpoint from the main process, unless the state is already broken."""
        if not self.fabric.is_global_zero or self.checkpoint_step == self.progress.step:
            return
        progress = self.progress
        progress.epoch_loss = float(self.epoch_loss)
        if not np.isfinite(progress.epoch_loss):
            raise self._diverged(f"the loss became {progress.epoch_loss}")
        self._refuse_broken_weights()
        progress.wall_s = time.perf_counter() - self.started
        tensors = {
            **with_prefix("tail", self.model.tail.state_dict()),
            **with_prefix("head", self.model.head.state_dict()),
            **with_prefix("optimizer", optimizer_tensors(self.optimizer)),
            **with_prefix("average", self.average.state_dict() if self.average else {}),
            **with_prefix("best", progress.best_tail or {}),
        }
        checkpoint = Checkpoint(
            settings=self.settings, progress=progress.to_dict(), tensors=tensors
        )
        save_checkpoint(self.run_dir / CHECKPOINTS, checkpoint)
        self.checkpoint_step = progress.step
        self.saved_at = time.perf_counter()


def launch(config: TrainConfig) -> lightning_fabric.Fabric:
    """Start Fabric, and with several devices the other processes, as the configuration says."""
    on_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
    has_bf16 = on_gpu and torch.cuda.is_bf16_supported()
    wants_bf16 = config.precision == "bf16-mixed" or (config.precision == "auto" and has_bf16)
    fabric = lightning_fabric.Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy="ddp" if config.devices > 1 else "auto",
        precision="bf16-mixed" if wants_bf16 else "32-true",
    )
    fabric.launch()
    return fabric


def _frozen_copy(tail: Tail) -> Tail:
    return copy.deepcopy(tail).requires_grad_(False).eval()


@torch.no_grad()
def _move_average(average: Tail, tail: Tail, *, decay: float, step: int) -> None:
    """Move the averaged weights towards the present ones, faster at the start."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    for old, new in _pairs(average.parameters(), tail.parameters()):
        old.lerp_(new, share)


def _pairs(
    first: Iterable[nn.Parameter], second: Iterable[nn.Parameter]
) -> Iterable[tuple[nn.Parameter, nn.Parameter]]:
    return zip(first, second, strict=True)


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)
