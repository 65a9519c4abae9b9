"""`xnn train`: the cloud's command. It imports nothing that could read a key."""

from pathlib import Path
from typing import Annotated, Any, Literal, final

import typer
from rich.table import Table

from xnn.cli.live_view import LiveView
from xnn.cli.output import emit, warn
from xnn.cloud.job import JobResult, run_job
from xnn.models.tail_config import ReadOut
from xnn.shards import Manifest
from xnn.training.presets import PRESETS, TAIL_PRESETS
from xnn.training.run import TrainEvent

_ROWS_SHOWN = 8


def train(
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="Folder of shards.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write.")],
    preset: Annotated[
        Literal["adamw", "paper", "tiny"], typer.Option(help="Optimiser and schedule.")
    ] = "adamw",
    tail_depth: Annotated[
        int | None, typer.Option(help="Blocks of the tail.", show_default="the preset's", min=0)
    ] = None,
    read_out: Annotated[
        ReadOut | None,
        typer.Option(help="What becomes the embedding.", show_default="the preset's"),
    ] = None,
    head: Annotated[
        Literal["am-softmax", "arcface", "cosface"], typer.Option(help="Margin head.")
    ] = "am-softmax",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the data.", show_default="the preset's", min=1)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate.", show_default="the preset's")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Records per step.", show_default="the preset's", min=1)
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many validations without a better one.", min=1),
    ] = None,
    precision: Annotated[
        Literal["auto", "32-true", "bf16-mixed"] | None,
        typer.Option(help="Arithmetic of the blocks.", show_default="the preset's"),
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between checkpoints.", min=0)
    ] = 10.0,
    devices: Annotated[int, typer.Option(help="Processes, one for each GPU.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of weights and order; never of a key.", min=0)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the run folder.")
    ] = False,
) -> None:
    """Train the recognition tail on shards; writes a bundle for the owner.

    Needs the shards and nothing else. Stopped at any moment, it goes on with --resume.
    """
    asked: dict[str, Any] = {
        "epochs": epochs,
        "lr": lr,
        "batch_size": batch_size,
        "patience": patience,
        "precision": precision,
    }
    config = PRESETS[preset](
        head=head,
        checkpoint_minutes=checkpoint_minutes,
        devices=devices,
        seed=seed,
        **{name: value for name, value in asked.items() if value is not None},
    )
    manifest = Manifest.load(shards)
    if not manifest.num_records("val"):
        warn("the shards hold no validation records: the last weights are kept, not the best")
    shape: dict[str, Any] = {"tail_depth": tail_depth, "read_out": read_out}
    tail_config = TAIL_PRESETS[preset](
        manifest.n, manifest.d, **{k: v for k, v in shape.items() if v is not None}
    )
    with TrainingView() as view:
        result = run_job(shards, out, config, tail_config, resume=resume, on_event=view.show)
    emit(_describe(result), title="Trained tail")


@final
class TrainingView(LiveView):
    """The bar of a training, and its last epochs as a table."""

    def __init__(self) -> None:
        super().__init__("training")
        self._rows: list[tuple[str, ...]] = []

    def show(self, event: TrainEvent) -> None:
        """Take an event of the training."""
        self.advance(
            event.step,
            total=event.num_steps,
            doing="training",
            loss=f"loss {event.train_loss:.3f}",
        )
        record = event.epoch_record
        if record is None:
            return
        is_best = event.best is not None and event.best.step == record.step
        rank_1 = "" if record.val_rank_1 is None else f"{record.val_rank_1:.1%}"
        eer = "" if record.val_eer is None else f"{record.val_eer:.1%}"
        self._rows.append(
            (
                str(record.epoch + 1),
                f"{record.train_loss:.3f}",
                f"{record.lr:.1e}",
                rank_1 + (" *" if is_best else ""),
                eer,
                f"{record.data_wait_share:.1%}",
            )
        )
        self.show_table(self._table())

    def _table(self) -> Table:
        table = Table("epoch", "loss", "lr", "val rank-1", "val EER", "waited for data")
        for row in self._rows[-_ROWS_SHOWN:]:
            table.add_row(*row)
        return table


def _describe(result: JobResult) -> dict[str, Any]:
    fit, best = result.fit, result.fit.best
    last = fit.history[-1]
    return {
        "bundle": str(result.bundle_dir),
        "key_id": result.card.key_id,
        "scheme": result.card.scheme,
        "steps": fit.steps,
        "ended": fit.ended,
        "train_loss": last.train_loss,
        "chance_loss": fit.chance_loss,
        "best_step": None if best is None else best.step,
        "val_rank_1": None if best is None else best.scores.rank_1,
        "val_eer": None if best is None else best.scores.eer,
        "data_wait_share": last.data_wait_share,
        "wall_s": fit.wall_s,
    }
