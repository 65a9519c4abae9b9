"""The written record of a run: `metrics.jsonl` and TensorBoard, both against the global step."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import final

from torch.utils.tensorboard.writer import SummaryWriter

from xnn.files import disk_errors, write_atomically
from xnn.training.state import EpochRecord

METRICS_FILE = "metrics.jsonl"


@final
class RunRecord:
    """Append epochs to the record of a run.

    A resumed run rewrites the lines of its past from the checkpoint, so that epochs lost with a
    killed process do not appear twice.
    """

    def __init__(
        self, run_dir: Path, *, past: Sequence[EpochRecord], step: int, chance_loss: float
    ) -> None:
        self._chance_loss = chance_loss
        self._path = run_dir / METRICS_FILE
        write_atomically(self._path, "".join(map(_line, past)).encode())
        with disk_errors("write the TensorBoard folder of", run_dir):
            self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=step)

    def add_loss(self, step: int, *, train_loss: float, lr: float) -> None:
        """Plot one step."""
        self._board.add_scalar("step/train_loss", train_loss, step)
        self._board.add_scalar("step/lr", lr, step)
        self._board.add_scalar("step/chance_loss", self._chance_loss, step)

    def add_epoch(self, record: EpochRecord) -> None:
        """Write one epoch."""
        with disk_errors("write", self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(record))
        for name, value in asdict(record).items():
            if value is not None and name not in ("step", "wall_s"):
                self._board.add_scalar(f"epoch/{name}", value, record.step)
        self._board.add_scalar("epoch/chance_loss", self._chance_loss, record.step)
        self._board.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._board.close()


def _line(record: EpochRecord) -> str:
    return json.dumps(asdict(record), allow_nan=False) + "\n"
