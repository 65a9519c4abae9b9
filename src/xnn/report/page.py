"""The skeleton of a report: one HTML file that asks the network for nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from xnn.report.markup import Html, element, escape, join, paragraph
from xnn.report.style import STYLE

# The browser itself then refuses scripts, fonts and anything from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One numbered part of a report."""

    anchor: str
    """Fixed name for links within the page, letters and hyphens."""
    title: str
    body: Html


def render_page(
    *, title: str, subtitle: str, notice: str, sections: Sequence[Section], footer: str
) -> str:
    """Return a whole page: title, notice, contents and numbered sections.

    Args:
        title: Heading and window title, plain text like all but the bodies.
        subtitle: One line under it.
        notice: A warning shown above everything else, such as who may keep the page.
        sections: In the order of reading.
        footer: A line at the end.
    """
    contents = join(
        element("li", element("a", escape(section.title), href=f"#{section.anchor}"))
        for section in sections
    )
    body = join(
        [
            element("header", join([_heading(title), paragraph(subtitle, class_="subtitle")])),
            element("p", escape(notice), class_="note", role="note"),
            element("nav", element("ol", contents), aria_label="Contents"),
            element("main", join(_render(i, s) for i, s in enumerate(sections, start=1))),
            element("footer", escape(footer)),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _heading(title: str) -> Html:
    return element("h1", escape(title))


def _render(number: int, section: Section) -> Html:
    heading = Html(
        f"{element('span', escape(str(number)), class_='number')}{escape(section.title)}"
    )
    heading = element("h2", heading, id=f"{section.anchor}-title")
    return element(
        "section",
        join([heading, section.body]),
        id=section.anchor,
        aria_labelledby=f"{section.anchor}-title",
    )
