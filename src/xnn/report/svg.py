"""Matplotlib drawings as markup that lives in a page: its colours, its fonts, no outside link."""

import importlib
import io
import re
from collections.abc import Callable
from typing import Any

from xnn.errors import MissingExtraError
from xnn.report.markup import Html, escape
from xnn.report.style import STYLE

# Stand-ins that matplotlib writes and the style sheet's variables replace, so that one drawing
# serves light and dark.
INK, MUTED, RULE = "#010203", "#040506", "#070809"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004")
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    **{colour: f"--series-{i}" for i, colour in enumerate(SERIES, start=1)},
}
_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and restyled
    "svg.hashsalt": "xnn",  # the same data gives the same bytes
    "font.size": 11.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
}


def draw(plot: Callable[[Any], None], *, name: str, alt: str) -> Html:
    """Run a function that draws on matplotlib axes and return the SVG.

    Args:
        plot: Gets the axes.
        name: Unique on the page, letters and hyphens.
        alt: What the drawing shows, for who cannot see it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return draw_figure(
        lambda figure: plot(figure.add_subplot()), size=(5.4, 3.7), name=name, alt=alt
    )


def draw_figure(
    plot: Callable[[Any], None], *, size: tuple[float, float], name: str, alt: str
) -> Html:
    """Do as `draw` does for a function that lays out a whole figure.

    Args:
        plot: Gets the figure.
        size: Width and height in inches.
        name: Unique on the page, letters and hyphens.
        alt: What the drawing shows, for who cannot see it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
        figure_module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError(
            "reports need matplotlib, which is not installed; pip install 'xnn-face[report]'"
        ) from error
    content = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure = figure_module.Figure(figsize=size, layout="constrained")
        plot(figure)
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return _adopt(content.getvalue(), name=name, alt=alt)


def stand_alone(drawing: Html) -> str:
    """Return a drawing as a file of its own: light colours, on paper, with its name space."""
    svg = str(drawing)
    for colour, value in re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", STYLE.partition("@media")[0]):
        svg = svg.replace(f"var({colour})", value)
    head, body = svg.split(">", 1)
    paper = '<rect width="100%" height="100%" fill="#fdfcf9"/>'
    return f'{head} xmlns="http://www.w3.org/2000/svg">{paper}{body}\n'


def _adopt(svg: str, *, name: str, alt: str) -> Html:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg, count=1)
    # Several drawings share one page, so their inner names must differ.
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    label = f'<svg role="img" aria-label="{escape(alt)}" '
    return Html(svg.replace("<svg ", label, 1).strip())
