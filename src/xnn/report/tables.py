"""Tables of a report: real ones, with captions and headings that a screen reader can name."""

from collections.abc import Sequence

from xnn.report.markup import Html, element, escape, join


def estimate_cell(value: float, low: float, high: float) -> Html:
    """Return a value with its interval under it: 0.913 [0.880, 0.940]."""
    value, low, high = (0.0 if abs(x) < 5e-4 else x for x in (value, low, high))  # no "-0.000"
    interval = element("span", escape(f"[{low:.3f}, {high:.3f}]"), class_="sub")
    return Html(f"{escape(f'{value:.3f}')} {interval}")


def verdict_cell(good: bool, *, yes: str, no: str) -> Html:
    """Return one of two words, in colour but never by colour alone."""
    return element("span", escape(yes if good else no), class_="yes" if good else "no")


def table(
    *,
    caption: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Html]],
    numeric_from: int | None = None,
) -> Html:
    """Return a table that scrolls sideways by itself on a narrow screen.

    Args:
        caption: What the table shows, plain text.
        headings: Of the columns, plain text.
        rows: Cells as markup; the first of each row is its heading.
        numeric_from: Right-align the columns from this one on; None for a table of words.
    """
    head = join(
        _cell("th", escape(h), i, numeric_from, scope="col") for i, h in enumerate(headings)
    )
    body = join(element("tr", _row(row, numeric_from)) for row in rows)
    markup = element(
        "table",
        join(
            [
                element("caption", escape(caption)),
                element("thead", element("tr", head)),
                element("tbody", body),
            ]
        ),
    )
    return element("div", markup, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _row(cells: Sequence[Html], numeric_from: int | None) -> Html:
    heading = _cell("th", cells[0], 0, numeric_from, scope="row")
    rest = (_cell("td", cell, i, numeric_from) for i, cell in enumerate(cells[1:], start=1))
    return join([heading, *rest])


def _cell(
    tag: str, content: Html, column: int, numeric_from: int | None, **attributes: str
) -> Html:
    if numeric_from is not None and column >= numeric_from:
        attributes["class_"] = "number-cell"
    return element(tag, content, **attributes)
