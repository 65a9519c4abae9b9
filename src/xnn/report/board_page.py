"""A board as one HTML page: a heat map of every defence under every attack, and what it costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xnn.files import write_atomically
from xnn.report.board_summary import BoardCell, BoardSummary, SchemeLine, summarise
from xnn.report.frontier import number_points
from xnn.report.markup import Html, element, escape, figure, join, paragraph
from xnn.report.page import Section, render_page
from xnn.report.style import HEAT_STEPS
from xnn.report.svg import MUTED, SERIES, draw
from xnn.report.tables import estimate_cell, table

PAIRS_SHOWN = 16
"""Known pairs of the second leak that stands beside recognition."""

NOTICE = (
    "A number that is not marked broken was not broken by this suite with this budget. It is no "
    "evidence that other attacks fail. This page shows no face and no name."
)


def write_board_page(path: Path, content: dict[str, Any]) -> None:
    """Write the page of a board's JSON, as `xnn board` writes it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    write_atomically(path, board_page(content).encode())


def board_page(content: dict[str, Any]) -> str:
    """Return the HTML of `write_board_page`."""
    summary = summarise(content)
    sizes = content.get("sizes", {})
    return render_page(
        title="XNN: every defence against every attack",
        subtitle=(
            f"victims {content.get('victim')}, public faces "
            f"{content.get('public') or 'of the same collection'}, at most "
            f"{sizes.get('records')} records, {content.get('seeds')} seeds"
        ),
        notice=NOTICE,
        sections=[
            Section(anchor="trade", title="What it costs, what it leaks", body=_trade(summary)),
            Section(anchor="heat", title="Every attack", body=_heat(summary)),
            Section(anchor="why", title="Where there is no number", body=_reasons(summary)),
        ],
        footer=f"Made by: {content.get('command')}",
    )


def _trade(summary: BoardSummary) -> Html:
    both = [line for line in summary.lines if line.utility and _leak(line)]
    numbers = {line.scheme: str(i) for i, line in enumerate(both, start=1)}
    rows = [
        [
            element("code", escape(line.scheme)),
            escape(numbers.get(line.scheme, "")),
            _utility_cell(line),
            *_worst_cells(_leak(line)),
            *_worst_cells(line.worst_with(known_pairs=PAIRS_SHOWN)),
        ]
        for line in summary.lines
    ]
    shown = table(
        caption="Recognition by person; the worst linkage without a known pair (of all attacks, "
        f"where none goes without), and with {PAIRS_SHOWN} pairs, of people of no pair",
        headings=[
            *("scheme", "point", "rank-1 by person", "worst linkage, no pair", "by"),
            *(f"worst with {PAIRS_SHOWN} pairs", "by"),
        ],
        rows=rows,
    )
    return join([_scatter(both), shown]) if both else shown


def _leak(line: SchemeLine) -> BoardCell | None:
    """Return the worst linkage without a pair; of all trials where every one has pairs."""
    return line.worst_with(known_pairs=0) or line.worst


def _worst_cells(cell: BoardCell | None) -> tuple[Html, Html]:
    return (Html(""), Html("")) if cell is None else (_rate(cell), escape(cell.trial.split(",")[0]))


def _scatter(lines: Sequence[SchemeLine]) -> Html:
    leaks = [_leak(line) for line in lines]

    def plot(axes: Any) -> None:
        points = {}
        for i, (line, worst) in enumerate(zip(lines, leaks, strict=True)):
            utility = line.utility
            if worst is None or utility is None:
                continue
            colour = SERIES[i % len(SERIES)]
            x, y = utility["value"], worst.value or 0.0
            axes.plot([utility["low"], utility["high"]], [y, y], color=colour, linewidth=1.1)
            axes.plot([x, x], [worst.low, worst.high], color=colour, linewidth=1.1)
            axes.plot([x], [y], "o", color=colour, markersize=5)
            points[i + 1] = (x, y)
        chance = leaks[0].chance if leaks[0] else 0.0
        axes.axhline(chance, color=MUTED, linestyle=":", linewidth=1.2)
        axes.set(xlabel="Rank-1 by person (utility)", ylabel="Worst linkage, rank-1 (leak)")
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.05))
        axes.figure.draw_without_rendering()  # so that places on the page are known
        number_points(axes, points)

    spoken = "; ".join(
        f"{line.scheme}: utility {line.utility['value']:.3f}, worst linkage {worst.value:.3f}"
        for line, worst in zip(lines, leaks, strict=True)
        if line.utility and worst
    )
    return figure(
        draw(plot, name="trade-off", alt=f"Utility against worst linkage: {spoken}"),
        caption="Right is better recognition, down is less leak. Numbers are those of the table. "
        "Bars are 95 % intervals over subjects; the dotted line is guessing.",
    )


def _heat(summary: BoardSummary) -> Html:
    rows = [
        [
            escape(trial),
            *(_heat_cell(line.cells.get(trial)) for line in summary.attacked),
        ]
        for trial in summary.trials
    ]
    return join(
        [
            paragraph(
                "Linkage is rank-1, unlinkability is D_sys, membership is AUC, a class named is "
                "accuracy. The darker, the further the value is from chance towards certainty."
            ),
            table(
                caption="A line per attack, a column per scheme",
                headings=["attack", *(line.scheme for line in summary.attacked)],
                rows=rows,
            ),
        ]
    )


def _heat_cell(cell: BoardCell | None) -> Html:
    if cell is None:
        return Html("")
    if cell.value is None:
        return element("span", escape("n/a"), class_="sub", title=cell.reason)
    step = round(HEAT_STEPS * cell.excess)
    word = element("span", escape(cell.verdict), class_="no" if cell.verdict == "broken" else "sub")
    return element("span", join([_rate(cell), word]), class_=f"heat heat-{step}")


def _reasons(summary: BoardSummary) -> Html:
    missing = [
        [element("code", escape(c.scheme)), escape(c.trial), escape(f"{c.verdict}: {c.reason}")]
        for line in summary.lines
        for c in line.cells.values()
        if c.value is None
    ]
    if not missing:
        return paragraph("Every attack was tried on every scheme.")
    return table(
        caption="Attacks that could not be tried, and why",
        headings=["scheme", "attack", "why"],
        rows=missing,
    )


def _utility_cell(line: SchemeLine) -> Html:
    row = line.utility
    return Html("") if row is None else estimate_cell(row["value"], row["low"], row["high"])


def _rate(cell: BoardCell) -> Html:
    return estimate_cell(cell.value or 0.0, cell.low or 0.0, cell.high or 0.0)
