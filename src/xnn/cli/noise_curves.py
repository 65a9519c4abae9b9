"""The curves of a noise run as a page: drawn anew while it trains, and once more at its end."""

import json
import time
from pathlib import Path
from typing import Any, final

from xnn.cli.output import warn
from xnn.errors import MissingExtraError
from xnn.files import disk_errors
from xnn.owner.noise.parts_file import has_part, load_part
from xnn.owner.noise.steps import CURVE_FILE, StageEvent
from xnn.report.noise_curves import StageCurve, write_noise_curves
from xnn.training.record import METRICS_FILE

CURVES_NAME = "curves.html"
STAGES = (("teacher", "teacher"), ("game", "front"), ("student", "student"))
"""Stages, and the part that each of them leaves."""
_SECONDS_BETWEEN = 5.0
"""Drawing takes a part of a second; epochs of few photographs take less."""


@final
class LiveCurves:
    """Redraws the page of a run after an epoch, from what the run wrote in its folder.

    Args:
        out: Run folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._chance: dict[str, float] = {}
        self._drawn_at = -_SECONDS_BETWEEN
        self._can_draw = True

    def add(self, event: StageEvent) -> None:
        """Take an event of the training."""
        self._chance[event.stage] = event.chance_loss
        now = time.monotonic()
        if event.row is None or not self._can_draw or now - self._drawn_at < _SECONDS_BETWEEN:
            return
        self._drawn_at = now
        self.draw()

    def draw(self) -> dict[str, str]:
        """Write the page; return what is to be told of it, nothing where it cannot be drawn."""
        curves = [self._curve(stage, part) for stage, part in STAGES]
        path = self._out / CURVES_NAME
        try:
            write_noise_curves(path, curves)
        except MissingExtraError as error:
            if self._can_draw:
                warn(str(error))
            self._can_draw = False
            return {}
        return {"curves": str(path)}

    def _curve(self, stage: str, part: str) -> StageCurve:
        if has_part(self._out, part):
            facts = load_part(self._out, part)[1]
            rows, chance = facts.get("curve", []), facts.get("chance_loss", 0.0)
        else:
            rows, chance = _rows_so_far(self._out / stage), self._chance.get(stage, 0.0)
        return StageCurve(stage=stage, chance_loss=chance, rows=rows)


def _rows_so_far(folder: Path) -> list[dict[str, float]]:
    """Return the epochs of a stage that is not finished; the teacher's have other names."""
    for name in (CURVE_FILE, METRICS_FILE):
        path = folder / name
        if path.is_file():
            with disk_errors("read", path):
                lines = path.read_text(encoding="utf-8").splitlines()
            return [_as_row(json.loads(line)) for line in lines]
    return []


def _as_row(content: dict[str, Any]) -> dict[str, float]:
    if "train_loss" not in content:
        return content
    row = {"step": float(content["step"]), "loss": content["train_loss"]}
    if content.get("val_rank_1") is not None:
        row["val_rank_1"] = content["val_rank_1"]
    return row
