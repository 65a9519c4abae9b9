"""A front trained for seconds on real ORL faces, aligned, and what a service would keep of it."""

import dataclasses
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from served import Running, Site
from xnn.device.card import DeviceCard
from xnn.device.pipeline import DevicePipeline, open_pipeline
from xnn.export.parting import part_run
from xnn.extractors.catalog import load_extractor
from xnn.faces.batch import AlignSettings, align_folder
from xnn.faces.dataset import load_faces
from xnn.faces.splits import SplitSettings, split_faces
from xnn.models.noise_generator import FrontSettings
from xnn.owner.noise.presets import find_noise_preset, shorten
from xnn.owner.noise.stages import train_noise
from xnn.training.presets import adamw_tail

KEY = "xnn_0123456789ab_" + "A" * 43
SUBJECTS = range(1, 11)
SHOTS = range(1, 5)


@dataclass(frozen=True)
class Exported:
    """Both halves of one run."""

    root: Path

    @property
    def device(self) -> Path:
        return self.root / "device"

    @property
    def server(self) -> Path:
        return self.root / "server"


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


@dataclass
class Reply:
    """An answer; `drop` closes the connection instead."""

    status: int = 200
    content: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def problem(status: int, name: str, detail: str = "because", **headers: str) -> Reply:
    content = {
        "type": f"urn:xnn:problem:{name}",
        "title": name.replace("-", " "),
        "status": status,
        "detail": detail,
    }
    return Reply(status, content, {name.replace("_", "-"): v for name, v in headers.items()})


class ScriptedService:
    """Real HTTP on loopback: answers the replies of a script in turn, and records requests.

    `GET /v1/bundle` is answered from `facts` and stands in no script.
    """

    Reply = Reply
    problem = staticmethod(problem)

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.script: list[Reply] = []
        self.seen: list[Seen] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                seen = Seen(
                    self.command, self.path, dict(self.headers.items()), self.rfile.read(length)
                )
                reply = service.reply(seen)
                if reply.drop:
                    self.close_connection = True
                    return
                content = reply.content
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def reply(self, seen: Seen) -> Reply:
        if seen.path == "/v1/bundle":
            return Reply(200, self.facts)
        self.seen.append(seen)
        return self.script.pop(0) if self.script else problem(500, "internal", "the script is over")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def exported(orl_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Preset `xnn`, with the widths that eight people can fill."""
    root = tmp_path_factory.mktemp("exported")
    for subject in SUBJECTS:
        folder = root / "photographs" / f"s{subject}"
        folder.mkdir(parents=True)
        for shot in SHOTS:
            (folder / f"{shot}.pgm").symlink_to(orl_photos / f"s{subject}" / f"{shot}.pgm")
    align_folder(root / "photographs", root / "crops", AlignSettings(workers=1))
    split = SplitSettings(test_subjects=1, val_subjects=2)
    faces = split_faces(load_faces(root / "crops"), split)
    extractor = load_extractor("dlib")
    settings = find_noise_preset("xnn", extractor.card.shape)
    settings = shorten(settings, teacher_epochs=2, student_epochs=2, batch_size=4)
    settings = dataclasses.replace(
        settings,
        front=FrontSettings(noise="coupled", code_dim=16, fresh_dim=4),
        student=dataclasses.replace(
            settings.student, tail=adamw_tail(1, 16, token_dropout=0.0, input_norm="none")
        ),
    )
    run = train_noise(faces, extractor, settings, root / "run")
    made = Exported(root)
    part_run(run, extractor, faces, device=made.device, server=made.server)
    return made


@pytest.fixture(scope="session")
def pipeline(exported: Exported) -> DevicePipeline:
    return open_pipeline(exported.device)


def facts_of(card: DeviceCard, **changes: object) -> dict[str, object]:
    """What a service with the other half says of itself."""
    return {
        "bundle_id": card.front_id,
        "scheme": "xnn",
        "m": card.m,
        "e": card.e,
        "dtypes": list(card.dtypes),
        "embedding_dim": 16,
        "wire_version": 1,
        "max_records": 4,
        "thresholds": [{"far": 0.01, "threshold": 0.5}],
        "default_far": 0.01,
    } | changes


@pytest.fixture(scope="session")
def served(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`xnn serve` in a process of its own, with the other half."""
    settings = {
        "thresholds": {"0.01": 0.9, "0.001": 0.97},
        "scores": "exact",
        "requests_per_s": 1e4,
        "request_burst": 10**5,
    }
    site = Site.make(tmp_path_factory.mktemp("site") / "site", exported.root, settings)
    server = Running(site).wait_until_ready()
    yield server
    server.kill()


@pytest.fixture
def service(pipeline: DevicePipeline) -> Iterator[ScriptedService]:
    service = ScriptedService(facts_of(pipeline.bundle.card))
    yield service
    service.close()
