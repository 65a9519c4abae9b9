"""The frontier of a board: recognition against the worst leak, for three grades of known pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from xnn.report.board_summary import BoardCell, SchemeLine, summarise
from xnn.report.svg import INK, MUTED, SERIES, draw_figure, stand_alone

SHOWN = (
    "plain", "paper", "paper-haar", "paper-fresh-order", "pooled", "pooled-noise-2",
    "pooled-noise-4", "pooled-noise-4-by-2", "pooled-noise-6", "pooled-noise-16",
    "gaussian-noise-1", "gaussian-noise-3", "laplace-noise-1", "random-projection",
)  # fmt: skip
"""Schemes whose recognition can be compared: mixtures of several people are left out."""

PANELS = ((0, "no known pair", 2.0), (16, "16 known pairs", 5.0), (100, "100 known pairs", 5.0))
"""Known pairs, words for them, and the leak aimed at in multiples of guessing."""

UTILITY_POINTS = 0.05
"""Recognition that may be lost against `plain`."""

_FLOOR = 1e-3
_GROUPS = ("plain", "paper", "pooled")
_BREADTH_PT = 12.0
_OFFSETS = np.array([
    (radius * np.cos(angle), radius * np.sin(angle))
    for radius in (8.0, 16.0, 26.0)
    for angle in np.deg2rad([135, 45, 225, 315, 180, 0, 90, 270])
])  # fmt: skip
"""Where a number may stand, in points from its own point; nearer and upper left first."""

_LEADER = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 4, "shrinkB": 3}


def frontier_svg(content: dict[str, Any]) -> str:
    """Return a drawing of a board's JSON, a file of its own.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    lines = _shown(content)
    return stand_alone(
        draw_figure(
            lambda figure: _plot(figure, lines),
            size=(11.0, 4.6),
            name="frontier",
            alt=frontier_text(content),
        )
    )


def frontier_text(content: dict[str, Any]) -> str:
    """Return in words, number by number, what the drawing shows."""
    parts = []
    for line in _shown(content):
        leaks = [
            f"{words} {cell.value:.3f}"
            for pairs, words, _ in PANELS
            if (cell := line.worst_with(known_pairs=pairs)) is not None
        ]
        parts.append(f"{line.scheme}: {_utility(line)['value']:.3f}; {', '.join(leaks)}")
    return f"Rank-1 by person, then the worst linkage: {'. '.join(parts)}"


def _shown(content: dict[str, Any]) -> list[SchemeLine]:
    lines = {line.scheme: line for line in summarise(content).attacked if line.utility}
    return [lines[scheme] for scheme in SHOWN if scheme in lines]


def _plot(figure: Any, lines: Sequence[SchemeLine]) -> None:
    axes = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    plain = next((_utility(line)["value"] for line in lines if line.scheme == "plain"), None)
    for axis, (pairs, words, times) in zip(axes, PANELS, strict=True):
        cells = [line.worst_with(known_pairs=pairs) for line in lines]
        for line, cell in zip(lines, cells, strict=True):
            if cell is not None:
                _point(axis, line, cell)
        chance = next((cell.chance for cell in cells if cell is not None and cell.chance), None)
        if chance is not None:
            axis.axhline(chance, color=MUTED, linestyle=":", linewidth=1.2)
            axis.axhline(times * chance, color=MUTED, linestyle="--", linewidth=1.0)
        if plain is not None:
            axis.axvline(plain - UTILITY_POINTS, color=MUTED, linestyle="--", linewidth=1.0)
        axis.set(title=words, yscale="log", ylim=(_FLOOR, 1.6), xlabel="Rank-1 by person")
    axes[0].set(ylabel="Worst linkage, rank-1")
    axes[0].set_yticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
    handles = [
        axes[0].plot([], [], "o", color=_colour(line.scheme), label=f"{i} {line.scheme}")[0]
        for i, line in enumerate(lines, start=1)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9.5)
    figure.draw_without_rendering()  # so that places on the page are known
    for axis, (pairs, _, _) in zip(axes, PANELS, strict=True):
        number_points(axis, {
            i: (_utility(line)["value"], max(cell.value or 0.0, _FLOOR))
            for i, line in enumerate(lines, start=1)
            if (cell := line.worst_with(known_pairs=pairs)) is not None
        })  # fmt: skip


def _point(axis: Any, line: SchemeLine, cell: BoardCell) -> None:
    utility, colour = _utility(line), _colour(line.scheme)
    x, y = utility["value"], max(cell.value or 0.0, _FLOOR)
    axis.plot([utility["low"], utility["high"]], [y, y], color=colour, linewidth=0.8, alpha=0.5)
    axis.plot([x, x], [max(cell.low or 0.0, _FLOOR), cell.high], color=colour, linewidth=1.1)
    axis.plot([x], [y], "o", color=colour, markersize=4.5)


def number_points(axis: Any, points: Mapping[int, tuple[float, float]]) -> None:
    """Write each point's number beside it, where fewest points and numbers are near.

    Args:
        axis: Drawn once already, so that places on the page are known.
        points: By number, in the axis' own units.
    """
    if not points:
        return
    pixels = axis.transData.transform(list(points.values())) * (72 / axis.figure.dpi)
    taken = list(pixels)
    for (number, point), pixel in zip(points.items(), pixels, strict=True):
        places = [pixel + offset for offset in _OFFSETS]
        crowd = [sum(_closeness(place, other) for other in taken) for place in places]
        best = int(np.argmin(crowd))
        taken.append(places[best])
        axis.annotate(
            str(number), point, xytext=_OFFSETS[best], textcoords="offset points", color=INK,
            size=9, ha="center", va="center", arrowprops=_LEADER,
        )  # fmt: skip


def _closeness(place: Float64[np.ndarray, "2"], other: Float64[np.ndarray, "2"]) -> float:
    """Return 1 for the same place, 0 for places a number's breadth apart or more."""
    return max(0.0, 1.0 - float(np.hypot(*(place - other))) / _BREADTH_PT)


def _utility(line: SchemeLine) -> dict[str, Any]:
    return line.utility or {}


def _colour(scheme: str) -> str:
    group = scheme.partition("-")[0]
    return SERIES[_GROUPS.index(group) if group in _GROUPS else len(_GROUPS)]
