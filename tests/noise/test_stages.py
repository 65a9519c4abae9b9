"""The whole run: order, resumption bit for bit, and what is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xnn.errors import (
    ConfigError,
    CorruptError,
    DivergedError,
    FormatError,
    InsufficientDataError,
    OutputExistsError,
    ResumeError,
)
from xnn.extractors.catalog import load_extractor
from xnn.extractors.interface import Extractor
from xnn.faces.dataset import FaceSet
from xnn.owner.noise.finished import load_noise_run
from xnn.owner.noise.presets import find_noise_preset, shorten, with_noise
from xnn.owner.noise.stages import train_noise
from xnn.owner.noise.steps import StageEvent
from xnn.owner.noise.stopping import stopping_score


@pytest.fixture(scope="module")
def run_dir(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("noise-run") / "run"
    train_noise(faces, dlib, make_settings("paper"), out)
    return out


def weights(out: Path, part: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / f"{part}.safetensors")


def test_the_stages_run_in_order_and_say_what_guessing_pays(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    events: list[StageEvent] = []
    state = torch.random.get_rng_state()
    train_noise(faces, dlib, make_settings("paper"), tmp_path / "run", on_event=events.append)
    assert torch.equal(state, torch.random.get_rng_state())
    assert list(dict.fromkeys(e.stage for e in events)) == ["teacher", "game", "student"]
    game = [e for e in events if e.stage == "game" and e.row]
    assert len(game) == 2
    assert game[0].chance_loss == pytest.approx(11.2 + np.log(3), abs=0.01)
    assert {"tail_loss", "noise_rms"} <= set(game[0].row or {})
    lines = (tmp_path / "run" / "game" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [e.row for e in game]
    for stage in ("teacher", "game", "student"):
        board = EventAccumulator(str(tmp_path / "run" / stage / "tensorboard")).Reload()
        chance = next(e.chance_loss for e in events if e.stage == stage)
        drawn = board.Scalars("epoch/chance_loss")
        assert [point.value for point in drawn] == pytest.approx([chance, chance])


class KilledError(Exception):
    """What a test kills a run with."""


@pytest.mark.parametrize("stage", ["game", "student"])
def test_a_killed_run_ends_with_the_same_bits(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path, stage: str
) -> None:
    out = tmp_path / "run"

    def kill(event: StageEvent) -> None:
        if event.stage == stage and event.row is not None:
            raise KilledError

    with pytest.raises(KilledError):
        train_noise(faces, dlib, make_settings("paper"), out, on_event=kill, checkpoint_minutes=0.0)
    assert (out / stage / "checkpoints" / "last.json").is_file()
    assert not (out / "student.json").exists()
    train_noise(faces, dlib, make_settings("paper"), out, resume=True)
    for part in ("teacher", "front", "student"):
        ours, theirs = weights(out, part), weights(run_dir, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    assert (out / "game" / "curve.jsonl").read_text() == (
        run_dir / "game" / "curve.jsonl"
    ).read_text()


def test_a_finished_run_is_read_and_not_trained_again(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path
) -> None:
    events: list[StageEvent] = []
    again = train_noise(
        faces, dlib, make_settings("paper"), run_dir, resume=True, on_event=events.append
    )
    assert events == []
    assert not any(p.requires_grad for p in again.front.parameters())
    started = dlib.divide(11).upper
    assert again.front.generator is not None
    moved = zip(again.front.generator.network.parameters(), started.parameters(), strict=True)
    assert any(not torch.equal(p, q) for p, q in moved)
    kept = zip(again.front.upper.parameters(), started.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in kept)


def test_the_controls_need_no_game(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    run = train_noise(faces, dlib, make_settings("gaussian"), tmp_path / "run")
    assert run.front.is_random
    assert run.front.generator is None
    assert not (tmp_path / "run" / "game").exists()


def test_a_teacher_may_be_taken_from_another_run(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train_noise(faces, dlib, make_settings("paper", seed=1), out, teacher_from=run_dir)
    assert not (out / "teacher").exists()
    assert (out / "teacher.safetensors").read_bytes() == (
        run_dir / "teacher.safetensors"
    ).read_bytes()


def test_a_teacher_of_another_extractor_is_refused(
    faces: FaceSet, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    other = load_extractor("dlib", split_depth=12)
    with pytest.raises(ConfigError, match="another extractor"):
        train_noise(faces, other, make_settings("paper"), tmp_path / "run", teacher_from=run_dir)
    with pytest.raises(ConfigError, match="another extractor"):
        load_noise_run(run_dir, other)


def test_a_teacher_of_other_people_is_refused(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    moved = tuple(
        dataclasses.replace(s, split="train" if s.split == "val" else s.split)
        for s in faces.samples
    )
    more = dataclasses.replace(faces, samples=moved)
    with pytest.raises(ConfigError, match="knows 4 subjects, these faces show 6"):
        train_noise(more, dlib, make_settings("paper"), tmp_path / "run", teacher_from=run_dir)


def test_too_few_people_are_refused(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    few = dataclasses.replace(
        faces, samples=tuple(s for s in faces.samples if s.subject in faces.subjects[:3])
    )
    with pytest.raises(InsufficientDataError, match="needs 4"):
        train_noise(few, dlib, make_settings("paper"), tmp_path / "run")


def test_a_resumed_run_must_have_its_settings(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run_dir, out)
    with pytest.raises(OutputExistsError, match="resume it"):
        train_noise(faces, dlib, make_settings("paper"), out)
    with pytest.raises(ResumeError, match="seed"):
        train_noise(faces, dlib, make_settings("paper", seed=1), out, resume=True)
    for part in ("front", "student"):
        (out / f"{part}.json").unlink()
    counts = faces.only("train").counts
    several = next(s for s in faces.only("train").samples if counts[s.subject] > 2)
    kept = tuple(s for s in faces.samples if s != several)
    fewer = dataclasses.replace(faces, samples=kept)
    with pytest.raises(ResumeError, match="num_records"):
        train_noise(fewer, dlib, make_settings("paper"), out, resume=True)


def test_a_game_that_diverges_stops_with_one_error(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    settings = make_settings("paper")
    assert settings.game is not None
    wild = dataclasses.replace(settings.game.train, lr=1e18, lr_floor=1e18)
    settings = dataclasses.replace(settings, game=dataclasses.replace(settings.game, train=wild))
    with pytest.raises(DivergedError, match=r"stage 'game'.*lower learning rate"):
        train_noise(faces, dlib, settings, tmp_path / "run")


def test_a_student_that_diverges_stops_with_one_error_and_leaves_the_parts_before_it(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    settings = make_settings("gaussian")
    wild = dataclasses.replace(settings.student.train, lr=1e30, lr_floor=1e30, max_grad_norm=None)
    student = dataclasses.replace(settings.student, train=wild)
    out = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"stage 'student'.*lower learning rate"):
        train_noise(faces, dlib, dataclasses.replace(settings, student=student), out)
    assert (out / "front.json").is_file()
    assert not (out / "student.json").exists()
    with pytest.raises(FormatError, match="--resume"):
        load_noise_run(out, dlib)


def test_altered_and_missing_parts_are_refused(
    dlib: Extractor, run_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(run_dir, out)
    path = out / "student.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(CorruptError, match="missing or altered"):
        load_noise_run(out, dlib)
    (out / "student.json").unlink()
    with pytest.raises(FormatError, match="--resume"):
        load_noise_run(out, dlib)


def test_presets_are_whole_and_unknown_ones_refused(dlib: Extractor) -> None:
    paper = find_noise_preset("paper", dlib.card.shape)
    assert paper.game is not None
    assert (paper.game.generator_weight, paper.game.tail_weight) == (-0.7, 0.3)
    assert (paper.front.shared_blocks, paper.front.snr_db, paper.student.alpha) == (0, 0.0, 1.0)
    assert paper.teacher_tail.tail_depth == paper.game.tail.tail_depth == 6
    assert shorten(paper, game_epochs=3).game.train.epochs == 3  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="paper"):
        find_noise_preset("loud", dlib.card.shape)


def test_a_game_that_is_measured_stops_where_students_lead_most(
    faces: FaceSet, dlib: Extractor, make_settings, run_dir: Path, tmp_path: Path
) -> None:
    settings = shorten(make_settings("paper"), measure_every_epochs=1)
    out = tmp_path / "run"

    def kill(event: StageEvent) -> None:
        if event.stage == "game" and event.row is not None:
            raise KilledError

    with pytest.raises(KilledError):
        train_noise(faces, dlib, settings, out, on_event=kill, checkpoint_minutes=0.0)
    run = train_noise(faces, dlib, settings, out, resume=True)
    rows, best = run.facts["front"]["curve"], run.facts["front"]["best_epoch"]
    scores = [stopping_score(row) for row in rows]
    assert len(scores) == 2
    assert best == scores.index(max(scores))
    assert all(0 <= row[f"fresh_{n}"] <= 1 for row in rows for n in ("teacher", "student"))
    # Measuring changes nothing of the game itself.
    unmeasured = json.loads((run_dir / "front.json").read_text())["facts"]["curve"]
    assert [row["tail_loss"] for row in rows] == [row["tail_loss"] for row in unmeasured]
    no_val = dataclasses.replace(faces, samples=tuple(s for s in faces.samples if s.split != "val"))
    with pytest.raises(InsufficientDataError, match="measured on validation people"):
        train_noise(no_val, dlib, settings, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_no_stage_could_finish_leaves_no_folder(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(InsufficientDataError, match="12 records to train on for a code of 64"):
        train_noise(faces, dlib, find_noise_preset("xnn", dlib.card.shape), out)
    with pytest.raises(ConfigError, match="shared_blocks=99"):
        train_noise(faces, dlib, make_settings("paper", shared_blocks=99), out)
    assert not out.exists()


def test_the_score_of_stopping_asks_for_recognition_first() -> None:
    def row(student: float, linkage: float, untrained: float) -> dict[str, float]:
        rates = {"teacher": 0.9, "student": student, "linkage": linkage, "untrained": untrained}
        return {f"fresh_{name}": rate for name, rate in rates.items()}

    assert stopping_score({"tail_loss": 1.0}) is None
    useful, leading, useless = row(0.88, 0.8, 0.7), row(0.88, 0.5, 0.6), row(0.5, 0.0, 0.0)
    ordered = sorted([useful, leading, useless], key=lambda one: stopping_score(one) or 0.0)
    assert ordered == [useless, useful, leading]
    assert stopping_score(leading) == pytest.approx(0.28)


def test_a_budget_is_for_those_who_have_one(dlib: Extractor) -> None:
    gaussian, paper = (find_noise_preset(name, dlib.card.shape) for name in ("gaussian", "paper"))
    assert with_noise(gaussian, snr_db=-5.0).front.snr_db == -5.0
    assert with_noise(paper, snr_db=3.0, shared_blocks=11).front.shared_blocks == 11
    assert with_noise(paper) == paper
    xnn = find_noise_preset("xnn", dlib.card.shape)
    with pytest.raises(
        ConfigError, match=r"snr_db says nothing of preset 'xnn'.* gaussian or paper"
    ):
        with_noise(xnn, snr_db=3.0)
    with pytest.raises(ConfigError, match="shared_blocks says nothing of preset 'gaussian'"):
        with_noise(gaussian, shared_blocks=1)


def test_the_student_under_fresh_noise_stands_behind_a_filter(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    run = train_noise(faces, dlib, make_settings("gaussian"), tmp_path / "run")
    denoiser = run.student.denoiser
    assert denoiser is not None
    assert float(denoiser.shares[0]) > 0.5  # the strongest direction stands far above the noise
    others = (make_settings(name).student.tail for name in ("plain", "paper", "xnn"))
    assert not any(tail.denoise for tail in others)
    # Runs begun before there was a filter go on: theirs is no setting that they lack.
    assert "denoise" not in json.dumps(make_settings("paper").to_dict())


def test_a_student_that_starts_well_has_to_be_beaten(
    faces: FaceSet, dlib: Extractor, make_settings, tmp_path: Path
) -> None:
    """The controls imprint their heads: a training that only spoils them keeps the start."""
    settings = make_settings("plain")
    spoiling = dataclasses.replace(settings.student.train, lr=10.0, lr_floor=10.0)
    student = dataclasses.replace(settings.student, train=spoiling)
    run = train_noise(faces, dlib, dataclasses.replace(settings, student=student), tmp_path / "run")
    best, rows = run.facts["student"]["best_epoch"], run.facts["student"]["curve"]
    assert all(row["val_rank_1"] <= 1 for row in rows)
    assert best == -1
