"""A headless Chromium, and what a page said and sent in it."""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request

from xnn.server.routes.console import PAGES

ARGUMENTS = (
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
CHROMIUM = Path(os.environ.get("XNN_CHROMIUM", "/usr/bin/chromium"))
VENDOR = PAGES / "vendor" / "ort-wasm-simd-threaded.wasm"
REQUIRED = "XNN_CONSOLE_TESTS"


def need_browser() -> None:
    """Skip where there is no browser or no `make console` was run; .ci/run forbids that."""
    missing = [
        text
        for there, text in (
            (CHROMIUM.is_file(), "no Chromium (apt-get install chromium, or XNN_CHROMIUM)"),
            (VENDOR.is_file(), "the console is not built (make console)"),
        )
        if not there
    ]
    if missing and os.environ.get(REQUIRED) == "required":
        pytest.fail("; ".join(missing))
    if missing:
        pytest.skip("CONSOLE NOT TESTED: " + "; ".join(missing))


@dataclass
class Seen:
    """A request of the page."""

    method: str
    url: str
    body: bytes


@dataclass
class Watched:
    """A page whose complaints and requests are written down."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[Seen] = field(default_factory=list)

    def run(self, script: str, argument: Any = None) -> Any:
        """Evaluate a function of JavaScript in the page."""
        return self.page.evaluate(script, argument)


def watch(browser: Browser, **options: Any) -> Watched:
    """Open a page; violations of its policy are console errors in Chromium."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(60_000)  # six engineers share two cores
    watched = Watched(page)

    def note(request: Request) -> None:
        body = request.post_data_buffer
        watched.requests.append(Seen(request.method, request.url, body or b""))

    page.on("request", note)
    # Interception begins a little after it was asked for: from the start it is never too late.
    page.on("filechooser", lambda _chooser: None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: (
            watched.complaints.append(line.text) if line.type in ("error", "warning") else None
        ),
    )
    return watched


def packed(array: np.ndarray) -> str:
    """An array as base64: lists of numbers are slow to pass."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(text: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read what `pack` of tests in the page made."""
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
