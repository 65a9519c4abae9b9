"""What is said to the service and what counts as an answer, whoever carries the bytes.

An operation is a generator of steps. It yields what is to be sent, waited for or computed and is
given the outcome; `client.py` and `async_client.py` each carry the steps out in their own way.
"""

import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from xnn.errors import ConfigError, ServiceError

PROBLEM_PREFIX = "urn:xnn:problem:"
_STALE = "stale-message"
_PASSING = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may well succeed."""
_LONGEST_DETAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, as it leaves but for the API key."""

    method: str
    path: str
    """Below the service's address, with the first slash, already quoted."""
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """No answer came."""

    reason: str
    may_pass: bool
    """Whether it is worth trying again."""


@dataclass(frozen=True, slots=True)
class Pause:
    """To be slept."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """To be computed: takes long enough that an event loop should not wait for it."""

    job: Callable[[], Any]


Step = Request | Pause | Work
T = TypeVar("T")
Steps = Generator[Step, Any, T]
"""Gets an `Answer` or a `Fault` for a `Request`, nothing for a `Pause`, the value of a `Work`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a device waits and how often it tries again."""

    connect_s: float = 5.0
    answer_s: float = 30.0
    """Of each attempt: between two arriving bytes, and to send."""
    attempts: int = 4
    first_pause_s: float = 0.25
    """Doubled after each attempt, and shortened by chance so that devices do not come together."""
    longest_pause_s: float = 8.0
    total_s: float = 90.0
    """No attempt begins later than this after the first."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "answer_s", "attempts", "total_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name):g} must be above 0")
        if self.first_pause_s < 0 or self.longest_pause_s < self.first_pause_s:
            raise ConfigError(
                f"first_pause_s={self.first_pause_s:g}, longest_pause_s={self.longest_pause_s:g}; "
                "use 0 or more, the second not below the first"
            )

    def pause_s(self, attempt: int) -> float:
        """Return how long to wait after an attempt, counted from 1."""
        longest = min(self.longest_pause_s, self.first_pause_s * 2.0 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - chance, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the last attempt gave."""

    answer: Answer
    attempts: int


def attempt(
    make: Callable[[int], Request], patience: Patience, *, settled_by: str = ""
) -> Steps[Outcome]:
    """Send a request until it is answered for good.

    Args:
        make: Given the number of the attempt, from 1; makes every request anew, since the bytes of
            a message count once.
        patience: How often, how long.
        settled_by: A refusal that means success where an earlier attempt got no answer: it was
            carried out all the same, as with a deletion that finds nothing left.

    Returns:
        The answer; a refusal only in that case.

    Raises:
        ServiceError: Refused, or not answered; names the last reason.
    """
    begun, lost, stale = time.monotonic(), False, 0
    for number in range(1, patience.attempts + 1):
        result = yield make(number)
        if isinstance(result, Answer) and result.status < 300:
            return Outcome(answer=result, attempts=number)
        if isinstance(result, Fault):
            error = ServiceError(f"the service did not answer: {result.reason}")
            again, wait_s = result.may_pass, None
            lost = True
        else:
            error = refusal(result)
            stale += error.problem == _STALE
            # A proxy that sends twice makes a replay of the first: made anew it is fresh.
            again = result.status in _PASSING or (error.problem == _STALE and stale == 1)
            wait_s = _retry_after_s(result)
            if lost and settled_by and error.problem == settled_by:
                return Outcome(answer=result, attempts=number)
        pause_s = patience.pause_s(number) if wait_s is None else wait_s
        late = time.monotonic() - begun + pause_s > patience.total_s
        if not again or number == patience.attempts or late:
            raise _told(error, number)
        yield Pause(pause_s)
    raise ServiceError("no attempt was made")  # attempts is at least 1


def refusal(answer: Answer) -> ServiceError:
    """Return the error that an answer of 300 or more stands for."""
    if answer.status < 400:
        return ServiceError(
            f"the service points elsewhere (status {answer.status}); an API key is not carried "
            "along: give the address that it points to",
            status=answer.status,
        )
    problem = _json_object(answer.content) or {}
    kind, title, detail = (_text_of(problem, name) for name in ("type", "title", "detail"))
    told = ": ".join(part for part in (title, detail) if part) or "no reason was given"
    return ServiceError(
        f"the service refused (status {answer.status}): {told}",
        status=answer.status,
        problem=kind.removeprefix(PROBLEM_PREFIX) if kind.startswith(PROBLEM_PREFIX) else "",
    )


def read_object(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        ServiceError: It holds something else.
    """
    content = _json_object(answer.content)
    if content is None:
        raise ServiceError(
            f"the service answered {len(answer.content)} bytes that are no JSON object; "
            "is this the address of an XNN service?",
            status=answer.status,
        )
    return content


def _told(error: ServiceError, attempts: int) -> ServiceError:
    if attempts == 1:
        return error
    return ServiceError(
        f"{error} (after {attempts} attempts)", status=error.status, problem=error.problem
    )


def _retry_after_s(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:  # a date, or nothing: our own pause will do
        return None


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text_of(problem: dict[str, Any], name: str) -> str:
    """Return a text of a stranger: one line, printable, not long."""
    value = problem.get(name)
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[:_LONGEST_DETAIL])
