"""The door: how many requests are served at once, how much is read of each, and no pictures."""

import asyncio
import contextlib
import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xnn.errors import (
    BusyError,
    LimitError,
    MediaTypeError,
    PhotographError,
    TooLargeError,
    TooSlowError,
    XnnError,
)
from xnn.server.asgi.observe import NOTES
from xnn.server.problems import answer_error, problem_of
from xnn.wire.message import MEDIA_TYPE

_ALWAYS_OPEN = ("/healthz", "/readyz")
_JSON_BYTES = 64 << 10
"""Enough for every body that is no message."""
_PICTURE_TYPES = re.compile(r"^(image|video)/|^multipart/form-data", re.IGNORECASE)
_SIGNATURES: Final = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"data:image": "data URL",
}
_BASE64_STARTS: Final = {b"/9j/": "JPEG", b"iVBORw0KGgo": "PNG", b"R0lGOD": "GIF"}
_SNIFFED_BYTES = 16
_DISCARDED_BYTES = 16 << 20
_DISCARD_S = 2.0


def picture_kind(start: bytes) -> str | None:
    """Return what kind of picture begins with these bytes, or None.

    A guard against mistakes, not against malice: a picture under a disguise is refused later, since
    it is no authentic message.
    """
    for signature, kind in (_SIGNATURES | _BASE64_STARTS).items():
        if start.startswith(signature):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[4:8] == b"ftyp":
        return "HEIC or AVIF"
    return None


def refuse_picture(kind: str) -> PhotographError:
    """Return the error that explains why there are no pictures here."""
    return PhotographError(
        f"got a picture ({kind}): this service never takes photographs, and reads no further; the "
        "device makes protected records of them itself, with the device bundle that belongs to "
        "this service (`xnn device enrol`, xnn.device.client.Client, or the console in a browser)"
    )


class Door:
    """Lets in what is small, quick and no picture.

    Args:
        app: What stands behind.
        max_in_flight: Requests served at once; health is always answered.
        max_body_bytes: Of a message; other bodies may have 64 KiB.
        body_timeout_s: From the head to the end of the body.
    """

    def __init__(
        self, app: ASGIApp, *, max_in_flight: int, max_body_bytes: int, body_timeout_s: float
    ) -> None:
        self._app = app
        self._max_in_flight, self._in_flight = max_in_flight, 0
        self._max_body_bytes, self._body_timeout_s = max_body_bytes, body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a problem."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS_OPEN:
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._max_in_flight:
            error = BusyError(
                f"{self._in_flight} requests are being served, no more are taken; try again soon"
            )
            await _answer(error, scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._let_in(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        limit_bytes = self._limit(headers)
        body = _Body(receive, limit_bytes=limit_bytes, timeout_s=self._body_timeout_s)
        answer = _Answer(send, body, has_body=_has_body(headers))
        try:
            _check_head(headers, limit_bytes)
            await self._app(scope, body.receive, answer.send)
        except (LimitError, MediaTypeError) as error:
            if answer.started:
                raise
            await _answer(error, scope, body.receive, answer.send)

    def _limit(self, headers: Headers) -> int:
        is_message = headers.get("content-type", "").partition(";")[0].strip() == MEDIA_TYPE
        return self._max_body_bytes if is_message else _JSON_BYTES


async def _answer(error: XnnError, scope: Scope, receive: Receive, send: Send) -> None:
    scope[NOTES]["problem"] = problem_of(error).name
    await answer_error(error)(scope, receive, send)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _check_head(headers: Headers, limit_bytes: int) -> None:
    content_type = headers.get("content-type", "")
    if _PICTURE_TYPES.match(content_type):
        raise refuse_picture(content_type.partition(";")[0].strip().lower())
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > limit_bytes:
        raise _too_large(limit_bytes)


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {limit_bytes} bytes; send fewer records in one message"
    )


class _Answer:
    """Hangs up after an answer that came before the end of the body.

    A server would otherwise read that body to its end, however long, to find the next request. A
    little of it is read all the same: a caller who is hung up on while he sends may lose the
    answer.
    """

    def __init__(self, send: Send, body: "_Body", *, has_body: bool) -> None:
        self._send, self._body, self._has_body = send, body, has_body
        self.started = False
        self._hangs_up = False

    async def send(self, message: Message) -> None:
        """Pass a part on."""
        if message["type"] == "http.response.start":
            self.started = True
            self._hangs_up = self._has_body and not self._body.ended
            if self._hangs_up:
                MutableHeaders(scope=message)["Connection"] = "close"
        elif self._hangs_up and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._body.discard()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


class _Body:
    """Counts a body while it arrives; it is never held beyond its limit."""

    def __init__(self, receive: Receive, *, limit_bytes: int, timeout_s: float) -> None:
        self._receive, self._timeout_s = receive, timeout_s
        self._until = asyncio.get_running_loop().time() + timeout_s
        self._limit_bytes = limit_bytes
        self._num_bytes = 0
        self._start = b""
        self.ended = False
        self._refusal: XnnError | None = None

    async def receive(self) -> Message:
        """Return the next part."""
        if self._refusal is not None:  # asked again by a framework that swallowed the first one
            raise self._refusal
        if self.ended:  # then this waits for the caller to hang up
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self._refusal = TooSlowError(
                f"the body took longer than {self._timeout_s:g} s to arrive; send fewer records "
                "in one message"
            )
            raise self._refusal from None
        if message["type"] == "http.request":
            self._look_at(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Read on without keeping anything, for a moment and a few MB at most."""
        left = _DISCARDED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while left > 0 and not self.ended:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self.ended = not message.get("more_body", False)

    def _look_at(self, part: bytes) -> None:
        if self._num_bytes < _SNIFFED_BYTES:
            self._start += part[:_SNIFFED_BYTES]
            kind = picture_kind(self._start)
            if kind is not None:
                self._refusal = refuse_picture(kind)
                raise self._refusal
        self._num_bytes += len(part)
        if self._num_bytes > self._limit_bytes:
            self._refusal = _too_large(self._limit_bytes)
            raise self._refusal
