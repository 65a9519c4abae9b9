"""One log line and one count for each request, whatever became of it."""

import logging
import re
import secrets
import time
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xnn.server.logs import log
from xnn.server.problems import INTERNAL, answer_problem
from xnn.server.telemetry import Telemetry

NOTES: Final = "xnn.notes"
"""Name in the scope under which routes leave fields for the log line."""
SUBJECT_NOTE: Final = "subject_id"
"""Dropped from the line unless the operator wants subjects in the log."""
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_HUNG_UP = 499
"""Of callers who left before their answer, as nginx counts them."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observe:
    """Counts, times and logs requests; gives each an id that the answer carries back.

    Args:
        app: What stands behind.
        telemetry: What counts.
        log_subjects: Whether a route's note of the subject is written.
    """

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry, log_subjects: bool) -> None:
        self._app, self._telemetry, self._log_subjects = app, telemetry, log_subjects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        notes: dict[str, Any] = {}
        scope[NOTES] = notes

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        self._telemetry.began()
        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            status = status or _HUNG_UP
        except Exception as error:
            log(logging.ERROR, "error", error=error, request_id=request_id)
            if status:  # an answer has begun: the connection can only be cut
                raise
            notes["problem"] = INTERNAL.name
            answer = answer_problem(INTERNAL, "see the log of the service")
            await answer(scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - start
            self._note_end(scope, notes, request_id, status or _HUNG_UP, seconds)

    def _note_end(
        self, scope: Scope, notes: dict[str, Any], request_id: str, status: int, seconds: float
    ) -> None:
        route, method = route_of(scope), scope["method"]
        method = method if method in _METHODS else "other"
        self._telemetry.ended(route, method, status, seconds)
        if "problem" in notes:
            self._telemetry.refused(str(notes["problem"]))
        if not self._log_subjects:
            notes.pop(SUBJECT_NOTE, None)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        log(
            logging.WARNING if status >= 500 else level,
            "request",
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            ms=round(1000 * seconds, 2),
            **notes,
        )


def route_of(scope: Scope) -> str:
    """Return the pattern of the route: a path itself would name subjects, and be endless."""
    route = scope.get("route")
    pattern = getattr(route, "path", None)
    if isinstance(pattern, str) and pattern:
        return pattern
    return "/console" if scope["path"].startswith("/console") else "other"
