"""The demo report's section on the inference phase: fronts, their students, their attackers."""

from collections.abc import Sequence
from typing import Any

from xnn.report.front_figure import trade_figure
from xnn.report.markup import Html, element, escape, figure, join, paragraph
from xnn.report.noise_summary import FrontLine
from xnn.report.page import Section
from xnn.report.tables import estimate_cell, table

TITLE = "The inference phase: what a device sends, and who can read it"
_WHAT = {
    "plain": "the features as they are: the control",
    "gaussian": "fresh noise, as strong as the features",
    "xnn": "a short code under noise that a secret shared with the server takes off",
}


def fronts_section(lines: Sequence[FrontLine]) -> Section:
    """Give recognition against the strongest attacker for each front, chance drawn."""
    return Section(anchor="fronts", title=TITLE, body=_body(lines) if lines else _too_few())


def _body(lines: Sequence[FrontLine]) -> Html:
    text = paragraph(
        "Later, in use, a device sends what it makes of one photograph and a service recognises "
        "from that. Here the owner kept some of the people for itself and trained, for each "
        "front, a student of a teacher that saw clean features. The rest of the people are the "
        "attacker's: it asks the device about their photographs as often as it likes, learns "
        "from the answers, and matches what it intercepted with clean photographs. It lacks the "
        "server and whatever secret the device shares with it; whoever has either recognises as "
        "the server does. All people in this test were trained on by nobody."
    )
    drawing = figure(
        trade_figure(lines),
        caption="Right is better recognition, down is less leak; bars are 95 % intervals over "
        "subjects, dotted is guessing. Few people were tested, so the intervals are wide.",
        class_="single",
    )
    return join([text, drawing, _table(lines)])


def _table(lines: Sequence[FrontLine]) -> Html:
    rows = [
        [
            Html(
                f"{element('code', escape(line.preset))} "
                f"{element('span', escape(_WHAT.get(line.preset, '')), class_='sub')}"
            ),
            _rate(line.student),
            _rate(line.strongest),
            escape("-" if line.strongest is None else str(line.strongest["party"])),
            escape("-" if line.student is None else f"{line.student['chance']:.3f}"),
        ]
        for line in lines
    ]
    return table(
        caption="Rank-1 of the student and of the strongest attacker whose control works",
        headings=["front", "student", "strongest attacker", "which", "guessing"],
        rows=rows,
    )


def _rate(row: dict[str, Any] | None) -> Html:
    return escape("-") if row is None else estimate_cell(row["value"], row["low"], row["high"])


def _too_few() -> Html:
    return paragraph(
        "Not run: with so few people nobody is left to train on beside those to test and those of "
        "the attacker. The whole ORL set has enough."
    )
