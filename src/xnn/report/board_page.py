"""A board as one HTML page: a heat map of every defence under every attack, and what it costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xnn.files import write_atomically
from xnn.report.board_summary import BoardCell, BoardSummary, SchemeLine, summarise
from xnn.report.markup import Html, element, escape, figure, join, paragraph
from xnn.report.page import Section, render_page
from xnn.report.svg import INK, MUTED, SERIES, draw
from xnn.report.tables import estimate_cell, table

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
    rows = [
        [
            element("code", escape(line.scheme)),
            _utility_cell(line),
            Html("") if line.worst is None else _rate(line.worst),
            escape("" if line.worst is None else line.worst.trial),
        ]
        for line in summary.lines
    ]
    parts = [
        table(
            caption="Recognition by person, and the worst linkage over all attacks",
            headings=["scheme", "rank-1 by person", "worst linkage, rank-1", "by which attack"],
            rows=rows,
        )
    ]
    both = [line for line in summary.lines if line.utility and line.worst]
    if both:
        parts.insert(0, _scatter(both))
    return join(parts)


def _scatter(lines: Sequence[SchemeLine]) -> Html:
    def plot(axes: Any) -> None:
        for i, line in enumerate(lines):
            worst, utility = line.worst, line.utility
            if worst is None or utility is None:
                continue
            colour = SERIES[i % len(SERIES)]
            x, y = utility["value"], worst.value
            axes.plot([utility["low"], utility["high"]], [y, y], color=colour, linewidth=1.1)
            axes.plot([x, x], [worst.low, worst.high], color=colour, linewidth=1.1)
            axes.plot([x], [y], "o", color=colour, markersize=5)
            axes.annotate(
                line.scheme, (x, y), xytext=(5, 4), textcoords="offset points", color=INK, size=9
            )
        chance = lines[0].worst.chance if lines[0].worst else 0.0
        axes.axhline(chance, color=MUTED, linestyle=":", linewidth=1.2)
        axes.set(xlabel="Rank-1 by person (utility)", ylabel="Worst linkage, rank-1 (leak)")
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.05))

    spoken = "; ".join(
        f"{line.scheme}: utility {line.utility['value']:.3f}, worst linkage {line.worst.value:.3f}"
        for line in lines
        if line.utility and line.worst
    )
    return figure(
        draw(plot, name="trade-off", alt=f"Utility against worst linkage: {spoken}"),
        caption="Right is better recognition, down is less leak. Bars are 95 % intervals over "
        "subjects; the dotted line is guessing.",
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
                "Linkage is rank-1, unlinkability is D_sys, membership is AUC. The bar is how far "
                "the value is from chance towards certainty."
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
    bar = element(
        "meter",
        escape(f"{cell.excess:.2f}"),
        min="0",
        max="1",
        value=f"{cell.excess:.3f}",
        class_="heat",
    )
    word = element("span", escape(cell.verdict), class_="no" if cell.verdict == "broken" else "sub")
    return join([_rate(cell), bar, word])


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
