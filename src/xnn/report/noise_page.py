"""Fronts of the inference phase on one page: recognition against the strongest attacker."""

from pathlib import Path
from typing import Any

from xnn.files import write_atomically
from xnn.report.front_figure import trade_figure
from xnn.report.markup import Html, element, escape, figure, join, paragraph
from xnn.report.noise_summary import FrontLine, front_lines
from xnn.report.page import Section, render_page
from xnn.report.tables import estimate_cell, table

NOTICE = (
    "The attackers here hold the device and what it sent, not the server. Whoever holds the server "
    "recognises, since that is what it is for. This page shows no face and no name."
)


def write_noise_page(path: Path, content: dict[str, Any]) -> None:
    """Write the page of the JSON that `xnn bench noise` writes.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: The file cannot be written.
    """
    write_atomically(path, noise_page(content).encode())


def noise_page(content: dict[str, Any]) -> str:
    """Return the HTML of `write_noise_page`."""
    lines = front_lines(content)
    return render_page(
        title="XNN-d: what a front costs and leaks",
        subtitle=(
            f"victims {content.get('victim')}, public faces {content.get('public')}, "
            f"{content.get('seeds')} seeds"
        ),
        notice=NOTICE,
        sections=[
            Section(anchor="trade", title="Recognition against attack", body=_trade(lines)),
            Section(anchor="attackers", title="Every attacker", body=_attackers(lines)),
        ],
        footer=f"Made by: {content.get('command')}",
    )


def _trade(lines: tuple[FrontLine, ...]) -> Html:
    drawing = figure(
        trade_figure(lines),
        caption="Right is better recognition, down is less leak; bars are 95 % intervals over "
        "subjects, dotted is guessing.",
    )
    rows = [
        [
            element("code", escape(line.preset)),
            _rate(line.teacher),
            _rate(line.student),
            _rate(line.strongest),
            escape("" if line.strongest is None else str(line.strongest["party"])),
        ]
        for line in lines
    ]
    listed = table(
        caption="Rank-1 of teacher, student and the strongest attacker without the server",
        headings=["front", "teacher", "student", "strongest attacker", "which"],
        rows=rows,
    )
    return join([drawing, listed])


def _attackers(lines: tuple[FrontLine, ...]) -> Html:
    names = list(dict.fromkeys(name for line in lines for name in line.attackers))
    if not names:
        return paragraph("No attack whose control works was run.")
    rows = [
        [element("code", escape(name)), *(_rate(line.attackers.get(name)) for line in lines)]
        for name in names
    ]
    return table(
        caption="Rank-1 of every attack whose control on the plain front works",
        headings=["attack", *(line.preset for line in lines)],
        rows=rows,
    )


def _rate(row: dict[str, Any] | None) -> Html:
    return Html("") if row is None else estimate_cell(row["value"], row["low"], row["high"])
