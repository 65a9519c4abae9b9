"""Recognition against attack over the training of games and over the budget of noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xnn.report.figures import annotate, curve_look
from xnn.report.noise_summary import front_lines
from xnn.report.svg import INK, MUTED, draw_figure, stand_alone

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel."""

    name: str
    curve: str
    where: tuple[tuple[str, float], ...]
    """What else its rows share."""
    along: str
    """By what its points are ordered and named: `step` or `snr_db`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    control: str
    """Name of the curve whose only point is the front without noise."""
    series: tuple[Series, ...]


PANELS = (
    Panel(
        title="A code of 64 numbers",
        control="code",
        series=(
            Series(name="gaussian, dB", curve="gaussian", where=(), along="snr_db"),
            Series(
                name="game, no utility term",
                curve="game",
                where=(("scale", 3.0), ("weight", 1.0), ("utility", 0.0)),
                along="step",
            ),
            Series(
                name="game, with a utility term",
                curve="game",
                where=(("scale", 3.0), ("weight", 0.3), ("utility", 1.0)),
                along="step",
            ),
        ),
    ),
    Panel(
        title="All 16 tokens of 256",
        control="tokens",
        series=(
            Series(name="gaussian, dB", curve="tokens-gaussian", where=(), along="snr_db"),
            Series(name="the paper's game", curve="tokens-paper", where=(), along="step"),
        ),
    ),
)
_UTILITY_AIM, _LEAK_AIM = 0.95, 0.5
_FIRST_SEED = 0


def front_curves_svg(content: Row, bench: Row | None = None) -> str:
    """Return a drawing of `benchmarks/noise_curves.py`'s JSON, a file of its own.

    Args:
        content: That JSON.
        bench: JSON of `xnn bench noise`, whose whole fronts are drawn as crosses.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return stand_alone(
        draw_figure(
            lambda figure: _plot(figure, content["rows"], bench),
            size=(11.0, 5.2),
            name="front-curves",
            alt=front_curves_text(content, bench),
        )
    )


def front_curves_text(content: Row, bench: Row | None = None) -> str:
    """Return in words, number by number, what the drawing shows."""
    parts = []
    for panel in PANELS:
        control = _control(content["rows"], panel)
        parts += [f"{panel.title}, no noise: {_pair(row)}" for row in control]
        for series in panel.series:
            told = [f"{row[series.along]:g}: {_pair(row)}" for row in points(content, series)]
            if told:
                parts.append(f"{panel.title}, {series.name}: {'; '.join(told)}")
    parts += [
        f"Bench, {name}: {x['value']:.3f} and {y['value']:.3f}" for name, x, y in _ends(bench)
    ]
    return f"Student's rank-1, then the strongest attacker's. {'. '.join(parts)}"


def points(content: Row, series: Series) -> list[Row]:
    """Return the rows of a line, in order."""
    found = [
        row
        for row in content["rows"]
        if row["curve"] == series.curve
        and row["seed"] == _FIRST_SEED
        and all(row.get(name) == value for name, value in series.where)
    ]
    return sorted(found, key=lambda row: float(row[series.along]))


def _plot(figure: Any, rows: Sequence[Row], bench: Row | None) -> None:
    axes = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    for axis, panel in zip(axes, PANELS, strict=True):
        for i, series in enumerate(panel.series):
            line = points({"rows": rows}, series)
            xs = [row["fresh_student"] for row in line]
            ys = [row["strongest"] for row in line]
            axis.plot(xs, ys, label=series.name, marker="o", markersize=4, **curve_look(i))
            for row, x, y in zip(line, xs, ys, strict=True):
                left = i % 2 == 1
                axis.annotate(
                    f"{row[series.along]:g}", (x, y), xytext=(-6 if left else 6, -9),
                    textcoords="offset points", color=INK, size=7.5, ha="right" if left else "left",
                )  # fmt: skip
        for row in _control(rows, panel):
            x, y = row["fresh_student"], row["strongest"]
            axis.plot([x], [y], "D", color=INK, markersize=5, label="no noise")
            width, height = 1 - _UTILITY_AIM * x, _LEAK_AIM * y
            axis.fill_between([1 - width, 1.0], 0, height, color=MUTED, alpha=0.15, linewidth=0)
            axis.axhline(row["chance"], color=MUTED, linewidth=1.2, linestyle=":")
            axis.axvline(row["chance"], color=MUTED, linewidth=1.2, linestyle=":")
            annotate(axis, 0.5, row["chance"], "guessing")
        axis.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        axis.set(title=panel.title, xlabel="Student made for this z, rank-1 by person")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        if panel is PANELS[-1]:
            _draw_ends(axis, bench)
        axis.legend(loc="upper left", fontsize=9)
    axes[0].set(ylabel="Strongest attacker made for this z, rank-1")


def _draw_ends(axis: Any, bench: Row | None) -> None:
    for name, x, y in _ends(bench):
        axis.plot([x["low"], x["high"]], [y["value"]] * 2, color=INK, linewidth=0.8)
        axis.plot([x["value"]] * 2, [y["low"], y["high"]], color=INK, linewidth=0.8)
        axis.plot([x["value"]], [y["value"]], "x", color=INK)
        axis.annotate(
            name, (x["value"], y["value"]), xytext=(-6, 6), textcoords="offset points",
            color=INK, size=9, ha="right",
        )  # fmt: skip


def _control(rows: Sequence[Row], panel: Panel) -> list[Row]:
    return [row for row in rows if row["curve"] == panel.control and row["seed"] == _FIRST_SEED]


def _ends(bench: Row | None) -> list[tuple[str, Row, Row]]:
    lines = front_lines(bench) if bench is not None else ()
    return [
        (line.preset, line.student, line.strongest)
        for line in lines
        if line.student is not None and line.strongest is not None
    ]


def _pair(row: Row) -> str:
    return f"{row['fresh_student']:.3f} and {row['strongest']:.3f}"
