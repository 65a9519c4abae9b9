"""The audit on paper: the same words as its page, without pictures of faces."""

import importlib
from pathlib import Path
from typing import Any

from xnn.errors import MissingExtraError
from xnn.files import write_atomically
from xnn.report.audit_content import (
    AuditFacts,
    levels_sentence,
    others_text,
    verdict_word,
    worst_first,
)

_FONT = "Helvetica"
_WIDTHS = (42, 10, 18, 30, 15, 13, 28)


def write_audit_pdf(path: Path, facts: AuditFacts) -> None:
    """Write the audit as a PDF of A4 pages.

    Raises:
        MissingExtraError: fpdf2 is not installed.
        StorageError: The file cannot be written.
    """
    try:
        fpdf: Any = importlib.import_module("fpdf")
    except ImportError as error:
        raise MissingExtraError(
            "a PDF needs fpdf2; install it with pip install 'xnn-face[report]'"
        ) from error
    document = fpdf.FPDF(format="A4")
    document.set_title(f"XNN audit of {facts.subject}")
    document.add_page()
    _heading(document, f"XNN audit: {facts.subject}", size=18)
    _text(document, f"Scheme {facts.scheme}, policy {facts.policy}, {facts.created_at}")
    _heading(document, "PASS" if facts.passed else "FAIL", size=16)
    _text(document, facts.reason)
    _heading(document, "Rule by rule")
    for name, passed, sentence in facts.lines:
        _text(document, f"- {name}: {verdict_word(passed)}. {sentence}.")
    _heading(document, "Attack by attack")
    _attacks(document, facts)
    _text(document, levels_sentence(facts.rows))
    for title, sentences in (
        ("What was audited", facts.audited),
        ("Formal statement", (facts.guarantee,)),
        ("Who the attacker is", facts.attacker),
    ):
        _heading(document, title)
        for sentence in sentences:
            _text(document, sentence)
    _heading(document, "What is not protected")
    for what, why in facts.not_protected:
        _text(document, f"- {what}: {why}.")
    write_atomically(path, bytes(document.output()), mode=0o600)


def _attacks(document: Any, facts: AuditFacts) -> None:
    document.set_font(_FONT, size=8)
    with document.table(col_widths=_WIDTHS, line_height=4.5) as grid:
        headings = ("attack", "level", "metric", "reached", "guessing", "control", "verdict")
        _row(grid, headings)
        for row in worst_first(facts.rows):
            measured = row["value"] is not None
            control = row.get("control")
            _row(
                grid,
                (
                    row["trial"],
                    row["known_level"],
                    row["metric"],
                    _reached(row) if measured else str(row.get("reason", "")),
                    f"{row['chance']:.3f}" if measured else "",
                    "" if control is None else f"{control:.3f}",
                    row["verdict"],
                ),
            )


def _reached(row: dict[str, Any]) -> str:
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}] {others_text(row)}".strip()


def _row(grid: Any, cells: tuple[str, ...]) -> None:
    row = grid.row()
    for cell in cells:
        row.cell(_latin(cell))


def _heading(document: Any, text: str, *, size: int = 13) -> None:
    document.set_font(_FONT, style="B", size=size)
    document.ln(3)
    document.multi_cell(0, size * 0.5, _latin(text), new_x="LMARGIN", new_y="NEXT")
    document.ln(1)


def _text(document: Any, text: str) -> None:
    document.set_font(_FONT, size=10)
    document.multi_cell(0, 5, _latin(text), new_x="LMARGIN", new_y="NEXT")
    document.ln(1)


def _latin(text: str) -> str:
    """Return text in the characters of the PDF's own fonts; others become question marks."""
    return text.encode("latin-1", "replace").decode("latin-1")
