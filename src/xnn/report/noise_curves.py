"""The curves of a noise run on one page: every loss with the loss of a tail that knows nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnn.files import write_atomically
from xnn.report.figures import SMALL_MARK, annotate, curve_look, legend_above
from xnn.report.markup import Html, join, paragraph
from xnn.report.page import Section, render_page
from xnn.report.svg import MUTED, draw

NOTICE = "Losses and rates only: nothing on this page shows or names a person."
_WORDS = {
    "teacher": "The teacher: a tail on the clean features.",
    "game": (
        "The game: while the auxiliary tail's loss stays at guessing, it has not learnt to "
        "recognise from z. That says nothing of a fresh attacker; only attacking does."
    ),
    "student": "The student: its distance from what the teacher says, and whom it recognises.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCurve:
    """How one stage went, epoch by epoch."""

    stage: str
    chance_loss: float
    rows: Sequence[dict[str, float]]
    """Each with `step` and numbers by name; losses have "loss" in theirs."""


def write_noise_curves(path: Path, curves: Sequence[StageCurve]) -> None:
    """Write the page; the same curves give the same bytes.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    sections = [
        Section(anchor=curve.stage, title=curve.stage, body=_body(curve))
        for curve in curves
        if curve.rows
    ]
    page = render_page(
        title="XNN-d: how the noise was trained",
        subtitle="Dotted: the loss of a tail that knows nothing.",
        notice=NOTICE,
        sections=sections,
        footer="Made by xnn noise train.",
    )
    write_atomically(path, page.encode())


def _body(curve: StageCurve) -> Html:
    parts = [paragraph(_WORDS.get(curve.stage, curve.stage)), _losses(curve)]
    if any("val_rank_1" in row for row in curve.rows):
        parts.append(_rank_1(curve))
    if any("fresh_student" in row for row in curve.rows):
        parts.append(_fresh(curve))
    return join(parts)


def _losses(curve: StageCurve) -> Html:
    names = [name for name in curve.rows[0] if "loss" in name]

    def plot(axes: Any) -> None:
        for i, name in enumerate(names):
            steps, values = _points(curve, name)
            axes.plot(steps, values, label=name.replace("_", " "), **curve_look(i), **SMALL_MARK)
        axes.axhline(curve.chance_loss, color=MUTED, linewidth=1.2, linestyle=":")
        annotate(axes, curve.rows[-1]["step"], curve.chance_loss, "guessing")
        highest = max(row[name] for row in curve.rows for name in names)
        axes.set(xlabel="Step", ylabel="Loss")
        axes.set_ylim(0, 1.12 * max(curve.chance_loss, highest))
        legend_above(axes)

    ends = "; ".join(f"{name} ends at {curve.rows[-1][name]:.2f}" for name in names)
    alt = f"Losses of the {curve.stage}: {ends}; guessing is {curve.chance_loss:.2f}"
    return draw(plot, name=f"loss-{curve.stage}", alt=alt)


def _rank_1(curve: StageCurve) -> Html:
    steps, values = _points(curve, "val_rank_1")

    def plot(axes: Any) -> None:
        axes.plot(steps, values, **curve_look(0), **SMALL_MARK)
        axes.set(xlabel="Step", ylabel="Rank-1, validation people", ylim=(0, 1.02))

    alt = f"Rank-1 of the {curve.stage} on validation people: best {max(values):.3f}"
    return draw(plot, name=f"rank-{curve.stage}", alt=alt)


def _fresh(curve: StageCurve) -> Html:
    names = ("teacher", "student", "linkage", "untrained")

    def plot(axes: Any) -> None:
        for i, name in enumerate(names):
            steps, values = _points(curve, f"fresh_{name}")
            axes.plot(steps, values, label=name, **curve_look(i), **SMALL_MARK)
        axes.set(xlabel="Step", ylabel="Rank-1, validation people", ylim=(0, 1.02))
        legend_above(axes)

    ends = ", ".join(f"{name} {_points(curve, f'fresh_{name}')[1][-1]:.3f}" for name in names)
    alt = f"Student and attackers made anew for the noise of each step; at the end {ends}"
    return draw(plot, name=f"fresh-{curve.stage}", alt=alt)


def _points(curve: StageCurve, name: str) -> tuple[list[float], list[float]]:
    rows = [row for row in curve.rows if name in row]
    return [row["step"] for row in rows], [row[name] for row in rows]
