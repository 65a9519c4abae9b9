"""The loop: it learns, it repeats itself, and it survives a kill bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xnn.errors import (
    ConfigError,
    DivergedError,
    InsufficientDataError,
    OutputExistsError,
    ResumeError,
)
from xnn.training.loop import fit
from xnn.training.run import CHECKPOINTS
from xnn.training.source import ArraySource

NUM_STEPS = 12
TIMES = {"wall_s", "data_wait_share"}


class Stopped(Exception):  # noqa: N818
    """Stands for a kill, without losing the process."""


def stop_at(step: int):
    def on_event(event) -> None:
        if event.step == step:
            raise Stopped

    return on_event


def facts(result) -> list[dict]:
    """Return the history without what a clock decides."""
    records = [{k: getattr(r, k) for k in r.__slots__ if k not in TIMES} for r in result.history]
    return [*records, {"best": result.best, "ended": result.ended, "steps": result.steps}]


def same_weights(first, second) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_it_learns_and_keeps_the_best(toy_fit, toy_config, tmp_path: Path) -> None:
    config = toy_config(epochs=8, imprint_head=False)
    tail, head, result = toy_fit(tmp_path / "run", config)
    losses = [record.train_loss for record in result.history]
    assert losses[-1] < 0.8 * losses[0]
    assert result.chance_loss == pytest.approx(head.chance_loss())
    scores = [(record.val_rank_1, -record.val_eer) for record in result.history]
    best = scores.index(max(scores))
    assert result.best.step == result.history[best].step
    assert result.best.scores.rank_1 == scores[best][0] > 0.5  # chance is 0.25
    assert not tail.training


@pytest.mark.parametrize("stop", [1, 5, 6, 11])
def test_stopped_and_resumed_equals_undisturbed(
    toy_fit, toy_config, tmp_path: Path, stop: int
) -> None:
    config = toy_config(checkpoint_minutes=0.0)
    tail, head, result = toy_fit(tmp_path / "whole", toy_config())
    with pytest.raises(Stopped):
        toy_fit(tmp_path / "run", config, on_event=stop_at(stop))
    torch.randn(7)  # the caller's random numbers are no part of a run
    again, head_again, resumed = toy_fit(tmp_path / "run", config, resume=True)
    assert same_weights(tail, again)
    assert same_weights(head, head_again)
    assert facts(result) == facts(resumed)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2, 3]


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
import conftest
def tell(event):
    sys.stdout.write(f"{event.step}\\n")
    sys.stdout.flush()
config = conftest.config(checkpoint_minutes=0.0, epochs=400)
conftest.train(Path(sys.argv[2]), config, on_event=tell)
"""


def test_killed_by_the_system_and_resumed_equals_undisturbed(
    toy_fit, toy_config, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while int(process.stdout.readline()) < 7:
            pass
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    pointer = json.loads((tmp_path / "run" / CHECKPOINTS / "last.json").read_text())
    killed_at = pointer["progress"]["step"]
    assert killed_at >= 6
    goal = killed_at + 4
    config = toy_config(checkpoint_minutes=0.0, epochs=400)
    for name, resume in (("run", True), ("whole", False)):
        with pytest.raises(Stopped):
            toy_fit(tmp_path / name, config, on_event=stop_at(goal), resume=resume)
    files = [tmp_path / name / CHECKPOINTS / "last.json" for name in ("run", "whole")]
    ends = [json.loads(file.read_text()) for file in files]
    assert ends[0]["progress"]["step"] == ends[1]["progress"]["step"] >= goal - 1
    assert ends[0]["sha256"] == ends[1]["sha256"]


def test_seeds_differ_and_repeat(toy_fit, toy_config, tmp_path: Path) -> None:
    first, _, _ = toy_fit(tmp_path / "a", toy_config(seed=1))
    same, _, _ = toy_fit(tmp_path / "b", toy_config(seed=1))
    other, _, _ = toy_fit(tmp_path / "c", toy_config(seed=2))
    assert same_weights(first, same)
    assert not same_weights(first, other)


def test_a_run_is_not_overwritten(toy_fit, tmp_path: Path) -> None:
    toy_fit(tmp_path / "run")
    with pytest.raises(OutputExistsError, match="holds a training run"):
        toy_fit(tmp_path / "run")


def test_resuming_a_finished_run_changes_nothing(toy_fit, tmp_path: Path) -> None:
    tail, _, result = toy_fit(tmp_path / "run")
    again, _, resumed = toy_fit(tmp_path / "run", resume=True)
    assert same_weights(tail, again)
    assert facts(result) == facts(resumed)


def test_other_settings_are_named_at_resumption(toy_fit, toy_config, tmp_path: Path) -> None:
    toy_fit(tmp_path / "run")
    with pytest.raises(ResumeError, match=r"lr=0\.003 then, 0\.1 now"):
        toy_fit(tmp_path / "run", toy_config(lr=0.1), resume=True)
    with pytest.raises(ResumeError, match="data_id='' then, 'other' now"):
        toy_fit(tmp_path / "run", resume=True, data_id="other")
    toy_fit(tmp_path / "run", toy_config(checkpoint_minutes=1.0), resume=True)  # may change


def test_more_classes_at_resumption(toy_fit, toy_source, toy_config, tmp_path: Path) -> None:
    toy_fit(tmp_path / "run")
    tail, head, _ = toy_fit(tmp_path / "other")
    head.weight = torch.nn.Parameter(torch.ones(9, head.weight.shape[1]))
    with pytest.raises(ResumeError, match="num_classes=6 then, 9 now"):
        fit(toy_source(9), None, tail, head, toy_config(), tmp_path / "run", resume=True)


class Poisoned:
    """Turns into NaN after some reads."""

    def __init__(self, source: ArraySource, good_reads: int) -> None:
        self.shape, self.labels, self.num_classes = source.shape, source.labels, source.num_classes
        self._source, self._left = source, good_reads

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: np.ndarray) -> np.ndarray:
        self._left -= 1
        records = self._source.read(indices)
        return records if self._left >= 0 else records * np.float32(np.nan)


def test_nan_stops_the_run_with_the_last_good_checkpoint(
    toy_source, toy_model, toy_config, tmp_path: Path
) -> None:
    config = toy_config(checkpoint_minutes=0.0, imprint_head=False)
    tail, head = toy_model(config)
    source = Poisoned(toy_source(), good_reads=1 + 5)  # one read measures the whitening
    with pytest.raises(DivergedError, match=r"became nan at step 6 of 12; step 5 is saved"):
        fit(source, None, tail, head, config, tmp_path / "run")
    pointer = json.loads((tmp_path / "run" / CHECKPOINTS / "last.json").read_text())
    assert pointer["progress"]["step"] == 5
    tail, head = toy_model(config)
    result = fit(toy_source(), None, tail, head, config, tmp_path / "run", resume=True)
    assert result.steps == NUM_STEPS
    assert all(p.isfinite().all() for p in tail.parameters())


def test_patience_ends_the_run(toy_fit, toy_config, tmp_path: Path) -> None:
    config = toy_config(epochs=40, patience=2, lr=1e-12, lr_floor=0.0)  # nothing ever improves
    _, _, result = toy_fit(tmp_path / "run", config)
    assert result.ended == "patience"
    assert len(result.history) == 2
    assert result.best.step == 0  # an imprinted start counts
    _, _, resumed = toy_fit(tmp_path / "run", config, resume=True)
    assert facts(resumed) == facts(result)


def test_scalars_stand_at_the_global_step(toy_fit, tmp_path: Path) -> None:
    _, _, result = toy_fit(tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    losses = board.Scalars("step/train_loss")
    assert [point.step for point in losses] == list(range(1, NUM_STEPS + 1))
    guessing = board.Scalars("step/chance_loss")
    assert [point.step for point in guessing] == [point.step for point in losses]
    assert guessing[0].value == pytest.approx(result.chance_loss)
    ranks = board.Scalars("epoch/val_rank_1")
    assert [point.step for point in ranks] == [3, 6, 9, 12]
    assert [point.value for point in ranks] == pytest.approx([r.val_rank_1 for r in result.history])


def test_without_validation_the_last_weights_are_kept(
    toy_source, toy_model, toy_config, tmp_path: Path
) -> None:
    config = toy_config(ema_decay=0.0)
    tail, head = toy_model(config)
    result = fit(toy_source(), None, tail, head, config, tmp_path / "run")
    assert result.best is None
    assert result.history[-1].val_rank_1 is None


def test_the_callers_random_numbers_are_left_alone(toy_fit, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    toy_fit(tmp_path / "run")
    assert torch.equal(torch.randn(3), expected)


def test_what_does_not_fit_together_is_refused(
    toy_source, toy_model, toy_config, tmp_path: Path
) -> None:
    config = toy_config()
    tail, head = toy_model(config)
    with pytest.raises(ConfigError, match="6 classes, the training records 9"):
        fit(toy_source(9), None, tail, head, config, tmp_path / "run")
    with pytest.raises(InsufficientDataError, match="validation split"):
        fit(toy_source(), toy_source(1), tail, head, config, tmp_path / "run")
    tail, head = toy_model(config, n=5)
    with pytest.raises(ConfigError, match="training records are 4x8, the tail expects 5x8"):
        fit(toy_source(), None, tail, head, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
