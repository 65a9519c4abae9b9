"""How routes describe themselves in the OpenAPI document."""

from typing import Any

from xnn.server.problems import INVALID_REQUEST, MEDIA_TYPE, PROBLEMS, Problem
from xnn.server.schemas import ProblemOut
from xnn.wire.message import MEDIA_TYPE as MESSAGE_TYPE

_ALL = [*PROBLEMS.values(), INVALID_REQUEST]
_DETAILS = {
    "stale-message": "the message was received before: a replay; to try again, make it anew",
    "raw-picture": "got a picture (JPEG): this service never takes photographs, ...",
    "unknown-name": "there is no subject 'badge-0042'; list them with GET /v1/subjects",
}
ANYWHERE = (401, 413, 415, 422, 429, 500, 503)
"""Statuses that every route with an API key may answer."""

MESSAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A message of WIRE_FORMAT.md, made for this service with this API key.",
        "content": {MESSAGE_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""`openapi_extra` of routes that take a message."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses` of a route: these statuses and those of `ANYWHERE`."""
    return {status: _response(status) for status in sorted({*statuses, *ANYWHERE})}


def _response(status: int) -> dict[str, Any]:
    rows = [row for row in _ALL if row.status == status]
    title = "; or: ".join(row.title for row in rows) or "An error of the service's own"
    examples = {row.name: {"value": _example(row)} for row in rows}
    content: dict[str, Any] = {"schema": ProblemOut.model_json_schema()}
    if examples:
        content["examples"] = examples
    response: dict[str, Any] = {"description": title, "content": {MEDIA_TYPE: content}}
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        }
    return response


def _example(row: Problem) -> dict[str, Any]:
    return {
        "type": row.type,
        "title": row.title,
        "status": row.status,
        "detail": _DETAILS.get(row.name, "what was found; what was expected; what to do"),
    }
