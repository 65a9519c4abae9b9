"""The console's files behind the server's own headers, and a browser to look at them."""

import dataclasses
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

from served import Running, Site
from xnn.cli import noise
from xnn.extractors.catalog import load_extractor
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.server.asgi.headers import SecureHeaders
from xnn.server.routes.console import ConsolePages
from xnn.training.presets import adamw_tail

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


@pytest.fixture(scope="session")
def coupled(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both halves of preset `xnn`, with widths that a dozen people can fill; an int8 front too."""
    root = tmp_path_factory.mktemp("coupled")
    dlib = load_extractor("dlib")
    faces = split_faces(load_faces(crops), SplitSettings(test_subjects=4, val_subjects=0))
    settings = find_noise_preset("xnn", dlib.card.shape)
    settings = shorten(settings, teacher_epochs=1, student_epochs=1, batch_size=8)
    settings = dataclasses.replace(
        settings,
        front=FrontSettings(noise="coupled", code_dim=16, fresh_dim=4),
        student=dataclasses.replace(
            settings.student,
            tail=adamw_tail(1, 16, token_dropout=0.0, input_norm="none", embedding_dim=64),
        ),
    )
    train_noise(faces, dlib, settings, root / "run")
    noise.export(root / "run", root / "device", root / "server", crops, int8=True)
    return root


@pytest.fixture(scope="session")
def coupled_service(coupled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = {"scores": "exact", "thresholds": {"0.1": -1.0}, "probe_burst": 1000}
    server = Running(
        Site.make(tmp_path_factory.mktemp("running") / "site", coupled, settings)
    ).wait_until_ready()
    yield server
    server.kill()
