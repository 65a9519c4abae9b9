"""The console's files: small, of this server only, and without ways to make markup of text."""

import re
from pathlib import Path

import pytest

from xnn.server.routes.console import PAGES

OWN = sorted(
    path
    for path in PAGES.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in path.parts
)
MAX_LINES = 400


def test_there_are_files() -> None:
    assert {path.suffix for path in OWN} == {".js", ".css", ".html", ".svg"}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(PAGES).as_posix())
def test_a_file_is_of_this_server_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    hosts = set(re.findall(r"(?:https?|wss?):\/\/([^/\"'\s]+)", text))
    assert hosts <= {"www.w3.org"}  # the name of SVG, which nobody fetches
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", "Math.random", "localStorage", "document.cookie"):  # fmt: skip
        assert word not in text, word
    if path.suffix == ".js":
        assert text.startswith("/**"), "a file says its job first"
    if path.suffix == ".html":
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\bstyle=|\son\w+=", text)


def test_only_one_file_talks_to_the_network() -> None:
    """`app.js` looks whether the console was built; all else goes through `api.js`."""
    talking = re.compile(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon)\b *\(")
    found = {p.name for p in OWN if p.suffix == ".js" and talking.search(p.read_text("utf-8"))}
    assert found == {"api.js", "app.js"}
