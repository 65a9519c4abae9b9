"""Small pieces of HTML. Text goes in as text and comes out escaped; only `Html` is markup."""

import html
from collections.abc import Iterable
from typing import NewType

Html = NewType("Html", str)
"""Markup that is safe to put in a page: made here, never read from data."""


def escape(text: str) -> Html:
    """Turn any text into markup that shows exactly that text."""
    return Html(html.escape(text, quote=True))


def join(parts: Iterable[Html]) -> Html:
    """Put markup one after the other."""
    return Html("\n".join(parts))


def element(tag: str, content: Html, **attributes: str) -> Html:
    """Wrap markup in a tag; attribute values are escaped, `class_` stands for `class`."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
    )
    return Html(f"<{tag}{written}>{content}</{tag}>")


def paragraph(text: str, *, class_: str = "") -> Html:
    """Return a paragraph of plain text."""
    return element("p", escape(text), class_=class_) if class_ else element("p", escape(text))


def bullets(items: Iterable[tuple[str, str]]) -> Html:
    """Return a list of points, each with a few words in bold in front."""
    return element(
        "ul",
        join(
            element("li", Html(f"{element('strong', escape(lead))} {escape(rest)}"))
            for lead, rest in items
        ),
    )


def figure(content: Html, *, caption: str, class_: str = "") -> Html:
    """Return content with its caption under it."""
    captioned = join([content, element("figcaption", escape(caption))])
    return element("figure", captioned, class_=f"figure {class_}".strip())
