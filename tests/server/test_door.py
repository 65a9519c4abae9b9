"""The door alone, with bodies that come as slowly, as late or as large as they like."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from xnn.server.asgi.door import Door, picture_kind
from xnn.server.asgi.observe import Observe
from xnn.server.telemetry import Telemetry
from xnn.wire.message import MEDIA_TYPE


async def read_all(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body, read to its end."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message.get("more_body", False)
    await answer_now(scope, receive, send, str(length).encode())


async def answer_now(_scope: Any, _receive: Any, send: Any, body: bytes = b"early") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Exchange:
    """One request through the door, by hand."""

    def __init__(self, app: Any, **settings: Any) -> None:
        wanted = {"max_in_flight": 2, "max_body_bytes": 1000, "body_timeout_s": 0.2} | settings
        self.telemetry = Telemetry()
        door = Door(app, **wanted)
        self.app = Observe(door, telemetry=self.telemetry, log_subjects=False)

    async def __call__(
        self,
        parts: Iterable[bytes] | AsyncIterator[bytes],
        headers: dict[str, str] | None = None,
        path: str = "/x",
    ) -> tuple[int, dict[str, str], bytes, int]:
        """Return status, headers, body and how many bytes of the request were taken."""
        taken, sent = 0, []
        whole: Any = parts
        if not hasattr(parts, "__aiter__"):

            async def from_list() -> AsyncIterator[bytes]:
                for part in parts:  # type: ignore[union-attr]
                    yield part

            whole = from_list()
        given = {"content-type": MEDIA_TYPE, "transfer-encoding": "chunked"} | (headers or {})
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        }

        async def receive() -> dict[str, Any]:
            nonlocal taken
            try:
                part = await anext(whole)
            except StopAsyncIteration:
                return {"type": "http.request", "body": b"", "more_body": False}
            taken += len(part)
            return {"type": "http.request", "body": part, "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *bodies = sent
        found = {k.decode(): v.decode() for k, v in start["headers"]}
        return start["status"], found, b"".join(b["body"] for b in bodies), taken


def play(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def test_a_body_within_the_limit_passes() -> None:
    status, headers, body, _ = play(Exchange(read_all)([b"a" * 400, b"b" * 600]))
    assert (status, body) == (200, b"1000")
    assert "connection" not in headers


def test_one_byte_more_is_refused_without_reading_on() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    exchange = Exchange(read_all)
    status, headers, body, taken = play(exchange([b"a" * 400, b"b" * 601]))
    assert status == 413
    assert json.loads(body)["type"] == "urn:xnn:problem:too-large"
    status, headers, _, taken = play(exchange(endless()))
    assert status == 413
    assert headers["connection"] == "close"
    assert taken <= 18 << 20, "one part, and what is discarded so that the answer arrives"
    assert b'problem="too-large"} 2.0' in exchange.telemetry.text()


def test_a_stated_length_is_enough() -> None:
    status, _, _, taken = play(Exchange(read_all)([], {"content-length": "1001"}))
    assert (status, taken) == (413, 0)
    for odd in ("-1", "x", "9" * 400, "\u0661"):
        assert play(Exchange(read_all)([b"x"], {"content-length": odd.encode().decode("latin-1")}))


def test_another_kind_of_body_may_be_small_only() -> None:
    exchange = Exchange(read_all, max_body_bytes=1 << 20)
    headers = {"content-type": "application/json"}
    assert play(exchange([bytes([65]) * 65536], headers))[0] == 200
    assert play(exchange([bytes([65]) * 65537], headers))[0] == 413
    assert play(exchange([bytes([65]) * 65537]))[0] == 200


def test_a_slow_body_is_given_up() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a"
            await asyncio.sleep(0.05)

    status, headers, body, _ = play(Exchange(read_all)(slow()))
    assert status == 408
    assert json.loads(body)["type"] == "urn:xnn:problem:too-slow"
    assert headers["connection"] == "close"


def test_a_signature_in_parts_is_seen() -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    for size in (1, 2, 3, 100):
        parts = [picture[i : i + size] for i in range(0, len(picture), size)]
        status, _, body, _ = play(Exchange(read_all)(parts))
        assert status == 415
        assert "PNG" in json.loads(body)["detail"]


@pytest.mark.parametrize("start", [b"", b"XNN1", b"{", b"\x00\x00\x00\x18mdat", b"RIFF0000WAVE"])
def test_other_bytes_are_no_picture(start: bytes) -> None:
    assert picture_kind(start) is None


def test_too_many_at_once_are_refused_and_health_is_not() -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] != "/healthz":
                await release.wait()
            await answer_now(scope, receive, send)

        exchange = Exchange(waits)
        first = [asyncio.create_task(exchange([])) for _ in range(2)]
        await asyncio.sleep(0.01)
        status, headers, body, _ = await exchange([])
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert json.loads(body)["type"] == "urn:xnn:problem:busy"
        assert (await exchange([], path="/healthz"))[0] == 200
        release.set()
        assert [(await task)[0] for task in first] == [200, 200]
        assert (await exchange([]))[0] == 200

    play(run())


def test_an_answer_before_the_end_of_the_body_ends_the_connection() -> None:
    status, headers, body, taken = play(Exchange(answer_now)([b"a" * 100] * 5))
    assert (status, body, headers["connection"]) == (200, b"early", "close")
    assert taken == 500
    _, headers, _, _ = play(Exchange(answer_now)([], {"transfer-encoding": ""}))
    assert headers.get("connection") in (None, "close")


def test_a_fault_of_ours_is_one_plain_answer() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("0.123456")

    status, _, body, _ = play(Exchange(broken)([]))
    assert status == 500
    assert json.loads(body)["type"] == "urn:xnn:problem:internal"
    assert b"0.123" not in body
