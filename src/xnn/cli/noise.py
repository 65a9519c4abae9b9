"""`xnn noise`: the inference phase. Train a front and a student, part them, use them."""

import time
from pathlib import Path
from typing import Annotated, Any, final

import numpy as np
import torch
import typer
from rich.table import Table

from xnn.cli.choose_extractor import ClassToken, SplitDepth, Weights
from xnn.cli.live_view import LiveView
from xnn.cli.noise_curves import LiveCurves
from xnn.cli.output import emit, progress, warn
from xnn.device.bundle import load_device_bundle
from xnn.errors import ConfigError
from xnn.export.dtypes import DTYPE_TOLERANCE
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.extractors.recall import recall_extractor
from xnn.faces.dataset import load_faces
from xnn.files import open_atomically, read_json
from xnn.owner.build import read_samples
from xnn.owner.evaluate import number_subjects
from xnn.owner.noise.finished import CONFIG_NAME, NoiseRun, load_noise_run
from xnn.owner.noise.presets import find_noise_preset, shorten, with_noise
from xnn.owner.noise.stages import train_noise
from xnn.owner.noise.steps import StageEvent
from xnn.server.bundle import load_server_bundle
from xnn.training.validate import mean_rank_1

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Recognition in the cloud from features with trained noise (XNN-d).",
)
_ROWS_SHOWN = 8


def _epochs(stage: str) -> Any:
    return typer.Option(help=f"Epochs of {stage}.", show_default="the preset's", min=1)


@app.command()
def train(
    faces: Annotated[
        Path, typer.Argument(metavar="FACES", help="Crops, divided: a manifest of `faces split`.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Run folder to write; stays with the owner.")],
    preset: Annotated[
        str,
        typer.Option(
            help="xnn (our own: a code under a secret of device and server), paper (G in a game), "
            "gaussian (fresh noise) or plain (none); the last two are controls."
        ),
    ] = "xnn",
    extractor: Annotated[str, typer.Option(help="As `xnn extractor list` names it.")] = "dlib",
    split_depth: SplitDepth = None,
    class_token: ClassToken = None,
    weights: Weights = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Run folder whose teacher is used; same faces and split.")
    ] = None,
    snr_db: Annotated[
        float | None,
        typer.Option(
            help="Noise budget of gaussian, and of paper at its start: power of the features over "
            "the noise's, in decibels.",
            show_default="the preset's",
        ),
    ] = None,
    shared_blocks: Annotated[
        int | None,
        typer.Option(
            help="Lower blocks of the extractor that G of paper shares: less for a device to do.",
            show_default="the preset's",
            min=0,
        ),
    ] = None,
    teacher_epochs: Annotated[int | None, _epochs("stage 1, the tail on clean features")] = None,
    game_epochs: Annotated[int | None, _epochs("stage 2, the game of paper")] = None,
    measure_every: Annotated[
        int,
        typer.Option(
            help="Epochs of the game between measurements with a fresh student and fresh attackers "
            "on the validation people; the best of them is kept. 0 keeps the last epoch.",
            min=0,
        ),
    ] = 0,
    student_epochs: Annotated[int | None, _epochs("stage 3, what the server will run")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Crops per step.", show_default="the preset's", min=1)
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes between checkpoints.", min=0)
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Of weights, order and noise in training.", min=0)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the run folder.")
    ] = False,
) -> None:
    """Train teacher, noise and student, one after the other, and keep all of it in a run folder.

    Stopped at any moment, even by kill -9, it goes on with --resume and ends with the same bits.
    While it runs, OUT/curves.html (reload it) and OUT/*/tensorboard draw every loss beside the
    loss of guessing. What the noise is worth no loss tells: attack it with `xnn bench noise`.
    """
    loaded = load_extractor(
        extractor, split_depth=split_depth, class_token=class_token, weights=weights
    )
    settings = shorten(
        with_noise(
            find_noise_preset(preset, loaded.card.shape), snr_db=snr_db, shared_blocks=shared_blocks
        ),
        teacher_epochs=teacher_epochs,
        game_epochs=game_epochs,
        student_epochs=student_epochs,
        measure_every_epochs=measure_every,
        batch_size=batch_size,
        seed=seed,
    )
    face_set = load_faces(faces)
    if not face_set.only("val").samples:
        warn("no validation subjects: the last weights are kept, not the best")
    curves = LiveCurves(out)
    with StageView() as view:

        def show(event: StageEvent) -> None:
            view.show(event)
            curves.add(event)

        run = train_noise(
            face_set,
            loaded,
            settings,
            out,
            teacher_from=teacher,
            resume=resume,
            checkpoint_minutes=checkpoint_minutes,
            on_event=show,
        )
    result = {"run": str(out), "preset": preset, **_describe(run), **curves.draw()}
    emit(result, title="Trained noise")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `noise train`.")],
    device: Annotated[Path, typer.Option(help="Folder of the device's bundle.")],
    server: Annotated[Path, typer.Option(help="Folder of the server's bundle.")],
    crops: Annotated[
        Path,
        typer.Option(help="Crops that the run was trained on: the manifest of `faces split`."),
    ],
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Write a small variant too, and say what it recognises."),
    ] = False,
    dtype_tolerance: Annotated[
        float, typer.Option(help="Largest change of a score that a dtype of messages may cause.")
    ] = DTYPE_TOLERANCE,
    weights: Weights = None,
) -> None:
    """Part a finished run into the device's half and the server's half.

    Neither holds the teacher, the training people's names or the other half. The device's half is
    ONNX and is compared with torch on the crops. The server's half tells which score is a match at
    which false accept rate, chosen by the validation people; test people have no part in it.
    """
    extractor = recall_extractor(read_json(run / CONFIG_NAME)["extractor"], weights=weights)
    parted = part_run(
        load_noise_run(run, extractor),
        extractor,
        load_faces(crops),
        device=device,
        server=server,
        int8=int8,
        dtype_tolerance=dtype_tolerance,
    )
    calibration = parted.server.calibration
    if calibration is None:
        warn("no validation people: no thresholds; give --crops the manifest of `faces split`")
    points = () if calibration is None else calibration.thresholds
    emit(
        {
            "device": str(device),
            "server": str(server),
            "sent": str(parted.device.sent_shape),
            **parted.device.measured,
            "dtypes": ", ".join(parted.device.dtypes),
            **{f"{name}_change": change for name, change in parted.server.dtype_changes.items()},
            **{f"threshold_at_far_{p.far:g}": p.threshold for p in points},
            **{f"tar_at_far_{p.far:g}": p.tar for p in points},
        },
        title="Exported",
    )


@app.command()
def embed(
    device: Annotated[Path, typer.Argument(metavar="DEVICE", help="Device bundle.")],
    server: Annotated[Path, typer.Argument(metavar="SERVER", help="Server bundle.")],
    crops: Annotated[Path, typer.Argument(metavar="CROPS", help="Crops: a folder per subject.")],
    out: Annotated[Path, typer.Option("--out", help="NPZ file of embeddings to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Use the device's small variant.")] = False,
) -> None:
    """Send crops through the device's half and embed them with the server's half.

    Plays both parties, to try a pair of bundles. The file holds `embeddings` and `rank`, the
    position of each subject in the sorted list of subjects; no name and no picture.
    """
    front, student = load_device_bundle(device, int8=int8), load_server_bundle(server)
    if front.card.front_id != student.card.front_id:
        raise ConfigError(
            "the two bundles are of different runs: the student cannot read these records; "
            "use two that were exported together"
        )
    faces = load_faces(crops)
    start, parts = time.monotonic(), []
    with progress("embedding", total=len(faces)) as advance:
        for batch in read_samples(faces.samples):
            parts.append(student.embed(torch.from_numpy(front.send(batch))).numpy())
            advance(len(batch))
    embeddings, labels = np.concatenate(parts), number_subjects(faces.samples)
    with open_atomically(out) as file:
        np.savez(file, embeddings=embeddings, rank=labels)
    result: dict[str, Any] = {
        "out": str(out),
        "crops": len(faces),
        "embedding_dim": embeddings.shape[1],
        "ms_per_crop": 1000 * (time.monotonic() - start) / len(faces),
    }
    if min(faces.counts.values()) > 1 and len(faces.subjects) > 1:
        result["rank_1"] = mean_rank_1(embeddings, labels)
    emit(result, title="Embedded")


def _describe(run: NoiseRun) -> dict[str, Any]:
    game, student = run.facts["front"], run.facts["student"]
    last = (game.get("curve") or [{}])[-1]
    rates = [row["val_rank_1"] for row in student["curve"] if "val_rank_1" in row]
    return {
        "teacher_val_rank_1": run.facts["teacher"]["val_rank_1"],
        "game_tail_loss": last.get("tail_loss"),
        "game_chance_loss": game.get("chance_loss"),
        "noise_rms": last.get("noise_rms"),
        "game_best_epoch": game.get("best_epoch"),
        "student_val_rank_1": max(rates, default=None),
        "wall_s": sum(run.facts[s].get("wall_s", 0.0) for s in ("teacher", "front", "student")),
    }


@final
class StageView(LiveView):
    """The bar of the running stage, and its last epochs as a table."""

    def __init__(self) -> None:
        super().__init__("reading the crops")
        self._stage = ""
        self._rows: list[dict[str, float]] = []

    def show(self, event: StageEvent) -> None:
        """Take an event."""
        if event.stage != self._stage:
            self._stage, self._rows = event.stage, []
        self.advance(
            event.step,
            total=event.num_steps,
            doing=event.stage,
            loss=f"loss {event.loss:.3f}, guessing {event.chance_loss:.3f}",
        )
        if event.row is not None:
            self._rows.append(event.row)
            self.show_table(self._table())

    def _table(self) -> Table:
        names = [name for name in self._rows[0] if name != "step"]
        table = Table(*(name.replace("_", " ") for name in names), title=self._stage)
        for row in self._rows[-_ROWS_SHOWN:]:
            table.add_row(*(f"{row[name]:.4g}" if name in row else "" for name in names))
        return table
