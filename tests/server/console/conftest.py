"""The console's files behind the server's own headers, and a browser to look at them."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from browser import ARGUMENTS, CHROMIUM, Watched, need_browser, watch
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from xnn.server.asgi.headers import SecureHeaders
from xnn.server.routes.console import ConsolePages

Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    need_browser()
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS)
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serve_pages() -> Iterator[Callable[[Path], str]]:
    """Return a starter: the console's pages, and a folder below /files; no API."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(files: Path) -> str:
        routes = [
            Mount("/console/files", StaticFiles(directory=files)),
            Mount("/console", ConsolePages()),
        ]
        app = SecureHeaders(Starlette(routes=routes))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/console/"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Return an opener of pages; none of them may have complained at the end."""
    opened: list[Watched] = []

    def begin(url: str, **options: object) -> Watched:
        watched = watch(chromium, **options)
        opened.append(watched)
        watched.page.goto(url)
        return watched

    yield begin
    complaints = [line for watched in opened for line in watched.complaints]
    for watched in opened:
        watched.page.context.close()
    assert complaints == []
