"""What the service answers, read strictly: anything else is no answer of ours."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from xnn.device.exchange import Answer, read_object
from xnn.errors import ServiceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """What the service says of itself before anything is sent."""

    bundle_id: str
    scheme: str
    m: int
    e: int
    dtypes: tuple[str, ...]
    """That its student survives."""
    wire_version: int
    max_records: int
    """In one message."""
    default_far: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFacts:
    """A template without its vector, which never leaves the service."""

    template_id: str
    subject_id: str
    bundle_id: str
    key_id: str | None
    created_ms: int
    """Milliseconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A photograph against one subject."""

    match: bool
    score: float | None
    """Cosine in [-1, 1]; None where the operator hides scores."""
    threshold: float
    far: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A subject that a search found."""

    subject_id: str
    template_id: str
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Who is on a photograph, best first; empty where nobody is above the threshold."""

    candidates: tuple[Found, ...]
    threshold: float
    far: float
    gallery_size: int
    """Templates that were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectPage:
    """Some subjects in order of their names."""

    subjects: tuple[str, ...]
    next: str | None
    """To be given as `after` for more; None at the end."""


def read_facts(answer: Answer) -> ServiceFacts:
    """Read the answer of `GET /v1/bundle`.

    Raises:
        ServiceError: It is not one; so also of the other functions.
    """

    def read(content: dict[str, Any]) -> ServiceFacts:
        far = content["default_far"]
        return ServiceFacts(
            bundle_id=_text(content["bundle_id"]),
            scheme=_text(content["scheme"]),
            m=_whole(content["m"]),
            e=_whole(content["e"]),
            dtypes=tuple(_text(dtype) for dtype in content["dtypes"]),
            wire_version=_whole(content["wire_version"]),
            max_records=_whole(content["max_records"]),
            default_far=None if far is None else _number(far),
        )

    return _read(answer, read)


def read_templates(answer: Answer) -> tuple[TemplateFacts, ...]:
    """Read a list of templates."""

    def read(content: dict[str, Any]) -> tuple[TemplateFacts, ...]:
        return tuple(
            TemplateFacts(
                template_id=_text(row["template_id"]),
                subject_id=_text(row["subject_id"]),
                bundle_id=_text(row["bundle_id"]),
                key_id=None if row["key_id"] is None else _text(row["key_id"]),
                created_ms=_whole(row["created_ms"]),
            )
            for row in content["templates"]
        )

    return _read(answer, read)


def read_verdict(answer: Answer) -> Verdict:
    """Read the verdict on one record."""

    def read(content: dict[str, Any]) -> Verdict:
        (result,) = content["results"]
        if not isinstance(result["match"], bool):
            raise TypeError("match")
        return Verdict(
            match=result["match"],
            score=_score(result["score"]),
            threshold=_number(content["threshold"]),
            far=_number(content["far"]),
        )

    return _read(answer, read)


def read_search(answer: Answer) -> SearchResult:
    """Read who was found for one record."""

    def read(content: dict[str, Any]) -> SearchResult:
        (result,) = content["results"]
        return SearchResult(
            candidates=tuple(
                Found(
                    subject_id=_text(row["subject_id"]),
                    template_id=_text(row["template_id"]),
                    score=_score(row["score"]),
                )
                for row in result["candidates"]
            ),
            threshold=_number(content["threshold"]),
            far=_number(content["far"]),
            gallery_size=_whole(content["gallery_size"]),
        )

    return _read(answer, read)


def read_subjects(answer: Answer) -> SubjectPage:
    """Read a page of subjects."""

    def read(content: dict[str, Any]) -> SubjectPage:
        after = content.get("next")
        return SubjectPage(
            subjects=tuple(_text(name) for name in content["subjects"]),
            next=None if after is None else _text(after),
        )

    return _read(answer, read)


def _read(answer: Answer, read: Callable[[dict[str, Any]], T]) -> T:
    content = read_object(answer)
    try:
        return read(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ServiceError(
            "the service answered JSON that this program does not understand "
            f"({type(error).__name__}); use versions of both that fit each other",
            status=answer.status,
        ) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("whole number")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("number")
    return float(value)


def _score(value: Any) -> float | None:
    return None if value is None else _number(value)
