"""The one table from an error to what HTTP says of it: `application/problem+json` (RFC 9457)."""

import math
from dataclasses import dataclass

from starlette.responses import JSONResponse

from xnn.errors import (
    AccessError,
    BundleMismatchError,
    BusyError,
    ConfigError,
    DuplicateError,
    LimitError,
    MediaTypeError,
    PhotographError,
    RateError,
    RoleError,
    ShapeError,
    StaleMessageError,
    StorageError,
    TooLargeError,
    TooSlowError,
    UnknownNameError,
    WireError,
)

MEDIA_TYPE = "application/problem+json"
_BUSY_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What one kind of error is in HTTP."""

    status: int
    name: str
    """Last part of `type`: `urn:xnn:problem:NAME`. Programs decide by this."""
    title: str
    tells: bool = True
    """Whether the error's own text is for the caller; else it stays in the log."""

    @property
    def type(self) -> str:
        """Return the URI of the kind."""
        return f"urn:xnn:problem:{self.name}"


PROBLEMS: dict[type[Exception], Problem] = {
    ConfigError: Problem(422, "invalid-parameter", "A parameter is outside its range"),
    ShapeError: Problem(422, "unusable-records", "The records cannot be used"),
    WireError: Problem(400, "invalid-message", "Not a message of ours, or not authentic"),
    StaleMessageError: Problem(409, "stale-message", "Replayed, too old, or from the future"),
    BundleMismatchError: Problem(409, "bundle-mismatch", "Made for another or a retired bundle"),
    AccessError: Problem(401, "no-access", "A valid API key is needed"),
    RoleError: Problem(403, "missing-role", "The API key lacks the role"),
    UnknownNameError: Problem(404, "unknown-name", "No such subject, template, key or bundle"),
    DuplicateError: Problem(409, "duplicate", "It exists already"),
    LimitError: Problem(409, "over-limit", "More than the service allows"),
    TooLargeError: Problem(413, "too-large", "More bytes than the service reads"),
    TooSlowError: Problem(408, "too-slow", "The body took too long to arrive"),
    RateError: Problem(429, "too-many-requests", "The API key's rate or budget is used up"),
    MediaTypeError: Problem(415, "media-type", "Another content type is needed"),
    PhotographError: Problem(415, "raw-picture", "This service takes no pictures"),
    BusyError: Problem(503, "busy", "Cannot be served now; try again later"),
    StorageError: Problem(503, "storage", "The store refused", tells=False),
}
"""Of several that fit, the class nearest to the error counts."""

INTERNAL = Problem(500, "internal", "An error of the service's own", tells=False)
INVALID_REQUEST = Problem(422, "invalid-request", "The request is not of the documented form")
NO_SUCH_PAGE = Problem(404, "no-such-page", "There is nothing at this address")
WRONG_METHOD = Problem(405, "wrong-method", "This address does not take this method")
BAD_REQUEST = Problem(400, "bad-request", "The request cannot be read")
BY_STATUS = {problem.status: problem for problem in (NO_SUCH_PAGE, WRONG_METHOD, BAD_REQUEST)}


def problem_of(error: BaseException) -> Problem:
    """Return the row of an error; what is in no row is an error of our own."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return INTERNAL


def answer_error(error: BaseException) -> JSONResponse:
    """Return the answer to an error. Texts that are not for the caller are left out."""
    problem = problem_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, RateError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif problem.status == 503:
        headers["Retry-After"] = str(_BUSY_RETRY_S)
    elif problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="xnn"'
    detail = str(error) if problem.tells else "see the log of the service"
    return answer_problem(problem, detail, headers=headers)


def answer_problem(
    problem: Problem,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    more: dict[str, object] | None = None,
) -> JSONResponse:
    """Return an answer of a kind that no error of ours stands for."""
    content = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        **(more or {}),
    }
    return JSONResponse(content, problem.status, headers=headers, media_type=MEDIA_TYPE)
