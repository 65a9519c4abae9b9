"""One run from crops to student: teacher, game, distillation, each resumable.

run folder
|-- config.json      every setting as resolved
|-- teacher/         checkpoints, metrics.jsonl, tensorboard/
|-- game/            checkpoints, curve.jsonl, tensorboard/
|-- student/         the same
|-- teacher.*        finished parts: weights and facts
|-- front.*
`-- student.*

Trust: owner. Photographs, names and the teacher meet here.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnn.errors import ConfigError, InsufficientDataError, OutputExistsError, ResumeError
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.files import disk_errors, read_json, write_json
from xnn.models.noise_generator import NoisyFront
from xnn.owner.noise.distil import Distillation, Teacher, fit_code
from xnn.owner.noise.draw_key import draw_coupling
from xnn.owner.noise.finished import (
    CONFIG_NAME,
    NoiseRun,
    load_front,
    load_noise_run,
    load_teacher,
    new_front,
    trained_tensors,
)
from xnn.owner.noise.game import Game
from xnn.owner.noise.maps import Maps, OnRecords
from xnn.owner.noise.parts_file import has_part, load_part, save_part
from xnn.owner.noise.sent import CleanSource
from xnn.owner.noise.settings import NoiseSettings, asked
from xnn.owner.noise.steps import OnStage, Row, StageEvent, StageResult, Steps
from xnn.owner.noise.stopping import FreshPlayers
from xnn.schemes import KeyStream
from xnn.training.checkpoint import with_prefix
from xnn.training.loop import fit, new_tail_and_head
from xnn.training.run import TrainEvent
from xnn.training.state import EpochRecord

FEWEST_SUBJECTS = 4
"""With fewer people to tell apart the game has nothing to hide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    extractor: Extractor
    settings: NoiseSettings
    out: Path
    front: NoisyFront
    maps: Maps
    val_maps: Maps | None
    on_event: OnStage | None = None
    checkpoint_minutes: float = 10.0

    @property
    def data(self) -> dict[str, Any]:
        """What every stage must share when it goes on."""
        return {
            "extractor_digest": self.extractor.card.digest(),
            "num_records": len(self.maps),
            "num_classes": int(self.maps.labels.max()) + 1,
            "front": json.dumps(self.settings.front.to_dict(), sort_keys=True),
        }


def train_noise(
    faces: FaceSet,
    extractor: Extractor,
    settings: NoiseSettings,
    out: Path,
    *,
    teacher_from: Path | None = None,
    resume: bool = False,
    checkpoint_minutes: float = 10.0,
    on_event: OnStage | None = None,
    on_records: OnRecords | None = None,
) -> NoiseRun:
    """Train teacher, generator and student; finished stages are taken from the folder.

    Args:
        faces: Aligned crops, divided into splits; `train` and `val` are used, never the tests.
        extractor: Its network must be one that `divide` cuts.
        settings: Of a preset.
        out: Run folder; new, unless `resume`.
        teacher_from: Run folder whose teacher is used instead of training one.
        resume: Continue the run in `out`, or begin it.
        checkpoint_minutes: Between checkpoints of each stage.
        on_event: Told of steps and epochs.
        on_records: Told how many more crops were read.

    Raises:
        InsufficientDataError: Too few subjects.
        OutputExistsError: `out` holds something and `resume` was not asked for.
        ResumeError: The run was begun with other settings or other faces.
        ConfigError: The teacher is of another extractor or of other subjects.
        DivergedError: A stage met NaN; its last checkpoint stands.

    Trust: owner.
    """
    _refuse_early(faces, extractor, settings)
    _open(out, extractor, settings, resume=resume)
    context = _prepare(faces, extractor, settings, out, on_records)
    context = dataclasses.replace(context, on_event=on_event, checkpoint_minutes=checkpoint_minutes)
    if not has_part(out, "teacher"):
        if teacher_from is None:
            _train_teacher(context)
        else:
            _borrow_teacher(context, teacher_from)
    teacher = load_teacher(out, extractor)
    _check_teacher(teacher, context)
    if not has_part(out, "front"):
        _make_front(context, teacher)
    load_front(out, context.front)
    if not has_part(out, "student"):
        _train_student(context, teacher)
    return load_noise_run(out, extractor)


def _refuse_early(faces: FaceSet, extractor: Extractor, settings: NoiseSettings) -> None:
    """Refuse what no stage could finish before a run folder is made."""
    train, front = faces.only("train"), settings.front
    train.require(num_subjects=FEWEST_SUBJECTS, images_per_subject=2)
    new_front(extractor, front)  # an extractor that cannot be cut like this
    num_records = len(train) * (2 if settings.mirror else 1)
    if front.noise == "coupled" and num_records <= front.code_dim:
        raise InsufficientDataError(
            f"{num_records} records to train on for a code of {front.code_dim} numbers; use more "
            "photographs or a smaller code_dim"
        )
    measured = settings.game is not None and settings.game.measure_every_epochs > 0
    if measured and not faces.only("val").samples:
        raise InsufficientDataError(
            "a game is measured on validation people and these faces have none; divide them "
            "with `xnn faces split`, or measure every 0 epochs"
        )


def _prepare(
    faces: FaceSet,
    extractor: Extractor,
    settings: NoiseSettings,
    out: Path,
    on_records: OnRecords | None,
) -> _Context:
    """Read the crops and compute what the lower blocks make of them."""
    front = new_front(extractor, settings.front)
    train, val = faces.only("train").samples, faces.only("val").samples
    return _Context(
        extractor=extractor,
        settings=settings,
        out=out,
        front=front,
        maps=Maps(train, extractor, front.lower, mirror=settings.mirror, on_records=on_records),
        val_maps=Maps(val, extractor, front.lower) if val else None,
    )


def _train_teacher(context: _Context) -> None:
    settings = context.settings
    source = CleanSource(context.front, context.maps)
    val_maps = context.val_maps
    val_source = None if val_maps is None else CleanSource(context.front, val_maps)
    config = dataclasses.replace(
        settings.teacher, checkpoint_minutes=context.checkpoint_minutes, seed=settings.seed
    )
    tail, head = new_tail_and_head(settings.teacher_tail, source.num_classes, config)
    result = fit(
        source,
        val_source,
        tail,
        head,
        config,
        context.out / "teacher",
        on_event=_as_stage_events(context.on_event, head.chance_loss()),
        resume=True,
        data_id=context.extractor.card.digest(),
    )
    facts = {
        **context.data,
        "tail": tail.config.to_dict(),
        "head": head.kind,
        "head_scale": head.scale,
        "head_margin": head.margin,
        "val_rank_1": result.best and result.best.scores.rank_1,
        "wall_s": result.wall_s,
        "chance_loss": result.chance_loss,
        "curve": [_epoch_row(record) for record in result.history],
    }
    tensors = with_prefix("tail", tail.state_dict()) | with_prefix("head", head.state_dict())
    save_part(context.out, "teacher", tensors, facts)


def _borrow_teacher(context: _Context, folder: Path) -> None:
    load_teacher(folder, context.extractor)  # refuses one of another extractor
    tensors, facts = load_part(folder, "teacher")
    save_part(context.out, "teacher", tensors, facts)


def _check_teacher(teacher: Teacher, context: _Context) -> None:
    known, needed = len(teacher.head.weight), context.data["num_classes"]
    if known != needed:
        raise ConfigError(
            f"the teacher knows {known} subjects, these faces show {needed}; "
            "use a teacher of the same faces and the same split"
        )


def _make_front(context: _Context, teacher: Teacher) -> None:
    """Play the game, or measure the code and draw the key, and keep what came out."""
    front = context.front
    facts = {**context.data, "front": context.settings.front.to_dict()}
    if context.settings.game is not None:
        facts |= _play_game(context, teacher)
    if front.code is not None and front.coupling is not None:
        fit_code(front, teacher, context.maps, seed=context.settings.seed)
        draw_coupling(front.coupling, KeyStream.fresh())
    save_part(context.out, "front", trained_tensors(front), facts)


def _play_game(context: _Context, teacher: Teacher) -> dict[str, Any]:
    settings = context.settings
    if settings.game is None:
        return {}
    config = dataclasses.replace(settings.game.train, seed=settings.seed)
    game = dataclasses.replace(settings.game, train=config)
    names = asked(config, "train") | {
        "tail": json.dumps(game.tail.to_dict()),
        "weights": [game.generator_weight, game.tail_weight],
    }
    players = None
    if game.measure_every_epochs:
        names |= {"measure_every_epochs": game.measure_every_epochs}
        if context.val_maps is not None:  # `_refuse_early` saw to it
            players = FreshPlayers(context.front, teacher, context.maps, context.val_maps)
    result = _run(context, Game(context.front, context.maps, game, players), names)
    return {
        **({} if result.best_epoch is None else {"best_epoch": result.best_epoch}),
        "curve": list(result.rows),
        "wall_s": result.wall_s,
        "chance_loss": result.chance_loss,
    }


def _train_student(context: _Context, teacher: Teacher) -> None:
    settings = context.settings
    config = dataclasses.replace(settings.student.train, seed=settings.seed)
    chosen = dataclasses.replace(settings.student, train=config)
    stage = Distillation(context.front, teacher, context.maps, context.val_maps, chosen)
    stage.start_from_features()
    names = asked(config, "train") | {
        "tail": json.dumps(chosen.tail.to_dict()),
        "alpha": chosen.alpha,
    }
    result = _run(context, stage, names)
    tail, head = stage.student.tail, stage.student.head
    facts = {
        **context.data,
        "tail": tail.config.to_dict(),
        "curve": list(result.rows),
        "best_epoch": result.best_epoch,
        "chance_loss": result.chance_loss,
        "wall_s": result.wall_s,
    }
    tensors = with_prefix("tail", tail.state_dict()) | with_prefix("head", head.state_dict())
    save_part(context.out, "student", tensors, facts)


def _run(context: _Context, stage: Game | Distillation, names: dict[str, Any]) -> StageResult:
    steps = Steps(
        stage,
        context.out / stage.name,
        {**context.data, **names},
        seed=context.settings.seed,
        on_event=context.on_event,
        checkpoint_minutes=context.checkpoint_minutes,
    )
    return steps.run()


def _open(out: Path, extractor: Extractor, settings: NoiseSettings, *, resume: bool) -> None:
    """Make the run folder, or make sure that it holds this very run."""
    with disk_errors("make the run folder", out):
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputExistsError(
                f"run folder {out.name!r} exists and is not empty; resume it or choose another"
            )
        out.mkdir(parents=True, exist_ok=True)
    content = {
        "extractor": extractor.card.to_dict(),
        "settings": json.loads(json.dumps(settings.to_dict())),
    }
    path = out / CONFIG_NAME
    if not path.is_file():
        write_json(path, content)
        return
    begun = read_json(path)
    differing = _differing(begun, content)
    if differing:
        raise ResumeError(
            f"the run was begun with other settings: {'; '.join(differing[:4])}; "
            "resume with the old ones or start a new run"
        )


def _differing(begun: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(begun, dict) and isinstance(now, dict):
        return [
            text
            for key in sorted(begun.keys() | now.keys())
            for text in _differing(begun.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if begun == now else [f"{name}={begun!r} then, {now!r} now"]


def _as_stage_events(
    on_event: OnStage | None, chance_loss: float
) -> Callable[[TrainEvent], None] | None:
    if on_event is None:
        return None

    def tell(event: TrainEvent) -> None:
        row = None if event.epoch_record is None else _epoch_row(event.epoch_record)
        on_event(
            StageEvent(
                stage="teacher",
                step=event.step,
                num_steps=event.num_steps,
                loss=event.train_loss,
                chance_loss=chance_loss,
                row=row,
            )
        )

    return tell


def _epoch_row(record: EpochRecord) -> Row:
    row = {"epoch": float(record.epoch), "step": float(record.step), "loss": record.train_loss}
    if record.val_rank_1 is not None:
        row["val_rank_1"] = record.val_rank_1
    return row
