"""A device and a real service over loopback: photographs of real people, uvicorn, a gallery."""

import asyncio
import importlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from served import Running
from xnn.device.async_client import AsyncClient
from xnn.device.bundle import DeviceBundle
from xnn.device.client import Client
from xnn.device.exchange import Patience
from xnn.device.pipeline import DevicePipeline
from xnn.errors import BundleMismatchError, FacesError, ServiceError
from xnn.server.bundle import load_server_bundle

HASTY = Patience(first_pause_s=0.01, longest_pause_s=0.05)


@pytest.fixture
def name() -> str:
    """A subject of this test's own."""
    return f"badge-{secrets.token_hex(4)}"


@pytest.fixture
def client(served: Running, pipeline: DevicePipeline) -> Iterator[Client]:
    with Client(served.url, served.site.keys["a"], pipeline, patience=HASTY) as client:
        yield client


def shots(orl: Path, subject: int, *numbers: int) -> list[Path]:
    return [orl / f"s{subject}" / f"{number}.pgm" for number in numbers]


def test_enrolled_people_are_verified_found_and_erased(
    client: Client, orl_photos: Path, name: str
) -> None:
    other = f"{name}-other"
    templates = client.enrol(name, shots(orl_photos, 21, 1, 2))
    client.enrol(other, shots(orl_photos, 22, 1, 2))
    assert [t.subject_id for t in templates] == [name, name]
    (probe,) = shots(orl_photos, 21, 1)
    verdict = client.verify(name, probe)
    assert verdict.match
    assert verdict.score is not None
    assert verdict.score > 0.99  # the same photograph under other noise
    assert client.verify(name, probe, far=0.001).threshold == 0.97
    wrong = client.verify(other, probe)
    assert wrong.score is not None
    assert wrong.score < verdict.score
    found = client.search(probe, top_k=2, far=0.01)
    assert found.candidates[0].subject_id == name
    assert found.gallery_size >= 4

    assert [t.template_id for t in client.templates(name)] == [t.template_id for t in templates]
    client.erase_template(templates[0].template_id)
    assert len(client.templates(name)) == 1
    client.delete_subject(name)
    assert name not in client.subjects(limit=1000).subjects
    with pytest.raises(ServiceError, match="status 404") as e:
        client.verify(name, probe)
    assert e.value.problem == "unknown-name"
    client.delete_subject(other)


def test_scores_of_the_service_are_those_of_the_bundles(
    client: Client,
    exported,
    orl_photos: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[np.ndarray] = []
    send = DeviceBundle.send

    def remember(self: DeviceBundle, crops: np.ndarray) -> np.ndarray:
        sent.append(send(self, crops))
        return sent[-1]

    monkeypatch.setattr(DeviceBundle, "send", remember)  # every call draws other noise
    photos = shots(orl_photos, 23, 1, 2, 3)
    client.enrol(name, photos[:1])
    scores = [client.verify(name, photo).score for photo in photos[1:]]
    student = load_server_bundle(exported.server)
    vectors = student.embed(torch.from_numpy(np.concatenate(sent))).numpy()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert scores == pytest.approx((units[1:] @ units[0]).tolist(), abs=1e-3)


def test_a_request_that_is_repeated_enrols_once(
    served: Running, pipeline: DevicePipeline, orl_photos: Path, name: str
) -> None:
    request_id, photos = secrets.token_hex(16), shots(orl_photos, 24, 1, 2)
    made = []
    for _ in range(2):  # a device that died after sending, and came again
        with Client(served.url, served.site.keys["a"], pipeline) as client:
            made.append(client.enrol(name, photos, request_id=request_id))
    assert made[0] == made[1]
    with Client(served.url, served.site.keys["a"], pipeline) as client:
        assert len(client.templates(name)) == 2


@contextmanager
def bad_line(port: int, losses: Callable[[int], str]) -> Iterator[str]:
    """A line to the service that loses what it is told to.

    `losses` says of the n-th POST whether its `request` or its `answer` is lost.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    posts = 0

    def forward(device: socket.socket) -> None:
        nonlocal posts
        with device, socket.create_connection(("127.0.0.1", port)) as service:
            device.settimeout(5)
            service.settimeout(5)
            while True:
                head = read_head(device)
                if not head:
                    return
                loss = ""
                if head[0].startswith(b"POST"):
                    posts += 1
                    loss = losses(posts)
                if loss == "request":
                    return
                service.sendall(head[0] + head[1])
                answer = read_head(service)
                if not answer or loss == "answer":
                    return
                device.sendall(answer[0] + answer[1])

    def accept() -> None:
        while True:
            try:
                device, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=forward, args=(device,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def read_head(line: socket.socket) -> tuple[bytes, bytes] | None:
    """Head and body of one HTTP message with Content-Length."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = line.recv(65536)
        if not part:
            return None
        content += part
    head, _, body = content.partition(b"\r\n\r\n")
    lengths = [row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += line.recv(65536)
    return head + b"\r\n\r\n", body


def test_lost_requests_and_lost_answers_enrol_once(
    served: Running, pipeline: DevicePipeline, orl_photos: Path, name: str
) -> None:
    def losses(number: int) -> str:
        return {1: "request", 2: "answer", 3: "answer"}.get(number, "")

    with (
        bad_line(served.port, losses) as url,
        Client(url, served.site.keys["a"], pipeline, patience=HASTY) as client,
    ):
        templates = client.enrol(name, shots(orl_photos, 25, 1, 2))
        assert [t.template_id for t in client.templates(name)] == [t.template_id for t in templates]


def test_nothing_that_crosses_the_line_is_a_picture(
    served: Running, pipeline: DevicePipeline, orl_photos: Path, name: str
) -> None:
    crossed: list[bytes] = []

    with bad_line(served.port, lambda _: "") as url:
        original = socket.socket.sendall

        def listen(self: socket.socket, data: bytes, *rest: int) -> None:
            crossed.append(bytes(data))
            original(self, data, *rest)

        socket.socket.sendall = listen  # type: ignore[method-assign]
        try:
            with Client(url, served.site.keys["a"], pipeline) as client:
                client.enrol(name, shots(orl_photos, 26, 1))
                client.search(*shots(orl_photos, 26, 2))
        finally:
            socket.socket.sendall = original  # type: ignore[method-assign]
    line = b"".join(crossed)
    crop = pipeline.capture(*shots(orl_photos, 26, 1)).crop
    photograph = shots(orl_photos, 26, 1)[0].read_bytes()
    assert line.count(b"XNNW") >= 2
    for magic in (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"P5\n"):
        assert magic not in line
    for pixels in (crop.tobytes(), photograph):
        assert not [i for i in range(0, len(pixels) - 12, 12) if pixels[i : i + 12] in line]


def test_another_bundle_is_noticed_before_anything_is_sent(
    served: Running, exported, orl_photos: Path, name: str, tmp_path: Path
) -> None:
    import copy
    import dataclasses

    from xnn.device.pipeline import open_pipeline

    pipeline = open_pipeline(exported.device)
    pipeline.bundle = copy.copy(pipeline.bundle)
    pipeline.bundle.card = dataclasses.replace(pipeline.bundle.card, front_id="ab" * 32)
    with (
        Client(served.url, served.site.keys["a"], pipeline) as client,
        pytest.raises(BundleMismatchError, match="this device has bundle abababababab"),
    ):
        client.enrol(name, shots(orl_photos, 27, 1))


def test_a_wrong_key_and_a_missing_role_are_told(
    served: Running, pipeline: DevicePipeline, orl_photos: Path, name: str
) -> None:
    key = served.site.keys["a"]
    wrong = key[:17] + ("B" if key[17] != "B" else "C") + key[18:]
    with (
        Client(served.url, wrong, pipeline) as client,
        pytest.raises(ServiceError, match="status 401") as e,
    ):
        client.search(*shots(orl_photos, 27, 1))
    assert wrong[17:] not in str(e.value)
    searcher = served.site.new_key("a", ["search"])
    with (
        Client(served.url, searcher, pipeline) as client,
        pytest.raises(ServiceError, match="status 403") as e,
    ):
        client.enrol(name, shots(orl_photos, 27, 1))
    assert e.value.problem == "missing-role"


def test_tenants_do_not_see_each_other(
    served: Running, pipeline: DevicePipeline, client: Client, orl_photos: Path, name: str
) -> None:
    client.enrol(name, shots(orl_photos, 28, 1))
    with (
        Client(served.url, served.site.keys["b"], pipeline) as other,
        pytest.raises(ServiceError, match="status 404"),
    ):
        other.verify(name, *shots(orl_photos, 28, 1))


@pytest.mark.parametrize(("skew_s", "told"), [(3600, "clock is ahead"), (-3600, "clock is behind")])
def test_a_wrong_clock_is_told(
    client: Client,
    orl_photos: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    skew_s: int,
    told: str,
) -> None:
    composing = importlib.import_module("xnn.wire.compose")  # hidden by the function of that name
    monkeypatch.setattr(composing, "now_ms", lambda: int(1000 * (time.time() + skew_s)))
    with pytest.raises(ServiceError, match=told) as e:
        client.enrol(name, shots(orl_photos, 29, 1))
    assert e.value.problem == "stale-message"


def test_no_face_reaches_nobody(client: Client, name: str) -> None:
    with pytest.raises(FacesError, match="shows no face"):
        client.enrol(name, [np.full((200, 200, 3), 90, np.uint8)])
    with pytest.raises(ServiceError, match="status 404"):
        client.templates(name)


def test_many_at_once_in_an_event_loop(
    served: Running, pipeline: DevicePipeline, orl_photos: Path, name: str
) -> None:
    async def run() -> list[bool]:
        async with AsyncClient(served.url, served.site.keys["a"], pipeline) as client:
            await client.enrol(name, shots(orl_photos, 30, 1, 2))
            verdicts = await asyncio.gather(
                *(client.verify(name, photo) for photo in shots(orl_photos, 30, 1, 2, 1, 2))
            )
            await client.delete_subject(name)
        return [verdict.match for verdict in verdicts]

    assert asyncio.run(run()) == [True] * 4
