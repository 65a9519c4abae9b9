"""The application: routes, what stands around them, and how errors are answered."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from xnn.errors import XnnError
from xnn.server.asgi.door import Door
from xnn.server.asgi.headers import SecureHeaders
from xnn.server.asgi.observe import NOTES, Observe
from xnn.server.logs import log
from xnn.server.problems import (
    BAD_REQUEST,
    BY_STATUS,
    INTERNAL,
    INVALID_REQUEST,
    answer_error,
    answer_problem,
    problem_of,
)
from xnn.server.routes import administration, bundle, console, health, recognition, subjects
from xnn.server.routes import templates as template_routes
from xnn.server.service import Service

_DESCRIPTION = """\
Recognition from protected records: a device sends what its bundle makes of a face, never a face.

Messages are those of WIRE_FORMAT.md. Every error is a `problem+json`; `type` names its kind.
"""


def create_app(service: Service) -> FastAPI:
    """Return the ASGI application of a service; its end closes the service."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        log(logging.INFO, "ready", bundle_id=service.card.front_id, scheme=service.scheme)
        try:
            yield
        finally:
            await service.in_thread(service.close)
            log(logging.INFO, "stopped")

    app = FastAPI(
        title="XNN service",
        version="1",
        summary="Enrol, verify and search without a photograph.",
        description=_DESCRIPTION,
        docs_url=None,  # both pages load scripts from other hosts
        redoc_url=None,
        openapi_url="/openapi.json",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    for part in (bundle, subjects, template_routes, recognition, administration, health, console):
        app.include_router(part.router)
    app.add_route("/console", _to_console, include_in_schema=False)
    app.mount("/console", console.ConsolePages(), name="console")
    _answer_errors(app)
    settings = service.settings
    # The last added stands outermost.
    app.add_middleware(
        Door,
        max_in_flight=settings.max_in_flight,
        max_body_bytes=service.wire_limits.max_bytes,
        body_timeout_s=settings.body_timeout_s,
    )
    app.add_middleware(Observe, telemetry=service.telemetry, log_subjects=settings.log_subjects)
    app.add_middleware(SecureHeaders)
    return app


async def _to_console(_request: Request) -> Response:
    return RedirectResponse("/console/", 307)


def _answer_errors(app: FastAPI) -> None:
    def refuse(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        _note(request, problem.name)
        if problem.status >= 500:
            log(logging.ERROR, "error", error=error, problem=problem.name)
        return answer_error(error)

    def invalid(request: Request, error: Exception) -> Response:
        _note(request, INVALID_REQUEST.name)
        found = error.errors() if isinstance(error, RequestValidationError) else []
        # The input itself stays out: it may be a name.
        errors = [{"at": ".".join(map(str, e["loc"])), "problem": e["msg"]} for e in found]
        detail = "; ".join(f"{e['at']}: {e['problem']}" for e in errors[:5])
        return answer_problem(INVALID_REQUEST, detail, more={"errors": errors[:20]})

    def of_framework(request: Request, error: Exception) -> Response:
        if isinstance(error.__cause__, XnnError):  # swallowed while a body was read
            return refuse(request, error.__cause__)
        status = error.status_code if isinstance(error, HTTPException) else 500
        problem = BY_STATUS.get(status, BAD_REQUEST if status < 500 else INTERNAL)
        _note(request, problem.name)
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return answer_problem(problem, "see GET /openapi.json for what there is", headers=headers)

    app.add_exception_handler(XnnError, refuse)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, of_framework)


def _note(request: Request, problem: str) -> None:
    request.scope[NOTES]["problem"] = problem
