"""The page of an audit: the verdict, the worst number first, and what is not protected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from xnn.files import write_atomically
from xnn.report.audit_content import (
    AuditFacts,
    levels_sentence,
    others_text,
    verdict_word,
    worst_first,
)
from xnn.report.markup import Html, bullets, element, escape, figure, join, paragraph
from xnn.report.page import Section, render_page
from xnn.report.pictures import contact_sheet
from xnn.report.tables import estimate_cell, table, verdict_cell

NOTICE = "A pass means that this suite did not break it with this budget, and no more."
NOTICE_WITH_FACES = (
    "This page shows photographs of faces and pictures rebuilt from records. It stays with the "
    "owner."
)

Pictures = tuple[UInt8[np.ndarray, "b 112 112 3"], UInt8[np.ndarray, "b 112 112 3"]]
"""The truth, and what was rebuilt, row by row."""


def write_audit_page(path: Path, facts: AuditFacts, pictures: Pictures | None = None) -> None:
    """Write the page, readable by its owner only (mode 0600).

    Raises:
        StorageError: The file cannot be written.
    """
    write_atomically(path, audit_page(facts, pictures).encode(), mode=0o600)


def audit_page(facts: AuditFacts, pictures: Pictures | None = None) -> str:
    """Return the HTML of `write_audit_page`."""
    sections = [
        Section(anchor="verdict", title="Verdict", body=_verdict(facts)),
        Section(anchor="rules", title="Rule by rule", body=_rules(facts)),
        Section(anchor="attacks", title="Attack by attack", body=_attacks(facts)),
        Section(anchor="audited", title="What was audited", body=_paragraphs(facts.audited)),
        Section(anchor="guarantee", title="Formal statement", body=paragraph(facts.guarantee)),
        Section(anchor="attacker", title="Who the attacker is", body=_paragraphs(facts.attacker)),
        Section(anchor="limits", title="What is not protected", body=bullets(_limits(facts))),
    ]
    if pictures is not None:
        sections.insert(3, Section(anchor="faces", title="Rebuilt faces", body=_faces(pictures)))
    return render_page(
        title=f"XNN audit: {facts.subject}: {'pass' if facts.passed else 'FAIL'}",
        subtitle=f"scheme {facts.scheme}, policy {facts.policy}, {facts.created_at}",
        notice=NOTICE if pictures is None else f"{NOTICE} {NOTICE_WITH_FACES}",
        sections=sections,
        footer=f"Made by: {facts.command}",
    )


def _verdict(facts: AuditFacts) -> Html:
    word = element(
        "p",
        verdict_cell(facts.passed, yes="PASS", no="FAIL"),
        class_="lead",
    )
    return join([word, paragraph(facts.reason, class_="lead")])


def _rules(facts: AuditFacts) -> Html:
    rows = [
        [
            escape(name),
            verdict_cell(passed is True, yes="holds", no=verdict_word(passed)),
            escape(sentence),
        ]
        for name, passed, sentence in facts.lines
    ]
    return table(
        caption=f"Policy {facts.policy}, the worst line first",
        headings=["rule", "verdict", "why"],
        rows=rows,
    )


def _attacks(facts: AuditFacts) -> Html:
    rows = []
    for row in worst_first(facts.rows):
        measured = row["value"] is not None
        rows.append(
            [
                escape(row["trial"]),
                escape(row["known_level"]),
                escape(f"{row['protocol']}, {row['metric']}"),
                _reached(row) if measured else escape(row.get("reason", "")),
                escape(f"{row['chance']:.3f}" if measured else ""),
                escape("" if row.get("control") is None else f"{row['control']:.3f}"),
                escape(row["verdict"]),
            ]
        )
    shown = table(
        caption="Headline rate of every attack that was tried, the worst first, with its control",
        headings=["attack", "level", "measured", "reached", "guessing", "control", "verdict"],
        rows=rows,
    )
    return join([shown, paragraph(levels_sentence(facts.rows), class_="sub")])


def _reached(row: dict[str, Any]) -> Html:
    shown = estimate_cell(row["value"], row["low"], row["high"])
    others = others_text(row)
    return join([shown, element("span", escape(others), class_="sub")]) if others else shown


def _paragraphs(sentences: Sequence[str]) -> Html:
    return join(paragraph(sentence) for sentence in sentences)


def _faces(pictures: Pictures) -> Html:
    truth, rebuilt = pictures
    numbers: Sequence[str] = tuple(str(i + 1) for i in range(len(truth)))
    return join(
        [
            figure(contact_sheet(truth, numbers), caption="The photographs behind some records."),
            figure(
                contact_sheet(rebuilt, numbers),
                caption="What the attacker rebuilt from the records.",
            ),
        ]
    )


def _limits(facts: AuditFacts) -> Sequence[tuple[str, str]]:
    return [(f"{what}:", f"{why}.") for what, why in facts.not_protected]
