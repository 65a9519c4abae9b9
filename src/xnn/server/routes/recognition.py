"""Recognition: one person verified, or all searched."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from xnn.errors import ConfigError
from xnn.gallery.base import Candidate
from xnn.server.asgi.observe import NOTES, SUBJECT_NOTE
from xnn.server.dependencies import Searcher, ServiceOf, read_message
from xnn.server.routes.documented import MESSAGE_BODY, problems
from xnn.server.schemas import (
    CandidateOut,
    FoundOut,
    SearchOut,
    SubjectPath,
    VerdictOut,
    VerifyOut,
)
from xnn.server.settings import ScorePolicy
from xnn.types import SubjectId

router = APIRouter(tags=["recognition"])
Far = Annotated[
    float | None,
    Query(
        gt=0,
        le=1,
        description="False accept rate that decides what a match is; one of GET /v1/bundle.",
        examples=[0.001],
    ),
]
TopK = Annotated[int, Query(ge=1, le=1000, description="Candidates for each probe, at most.")]
_SHOWN_DIGITS = 2


def shown(score: float, policy: ScorePolicy) -> float | None:
    """Return what a caller sees of a score.

    Exact scores let a caller climb towards a template by many small changes of a probe; two digits
    make each step worth far less, none leaves him the bit that he must have.
    """
    if policy == "hidden":
        return None
    return score if policy == "exact" else round(score, _SHOWN_DIGITS)


@router.post(
    "/v1/subjects/{subject_id}/verify",
    responses=problems(400, 403, 404, 409),
    openapi_extra=MESSAGE_BODY,
)
async def verify(
    request: Request,
    service: ServiceOf,
    caller: Searcher,
    subject_id: SubjectPath,
    far: Far = None,
) -> VerifyOut:
    """Compare each record with one person. Role `search`."""
    request.scope[NOTES][SUBJECT_NOTE] = subject_id
    limit = service.thresholds.find(far)
    message = await read_message(request, service, caller)
    service.limits.probes(caller.name, len(message.records))
    scores, _ = await service.recognised(
        caller.key,
        "verify",
        SubjectId(subject_id),
        message,
        lambda opened, probes: opened.verify(SubjectId(subject_id), probes),
        far=limit.far,
    )
    service.telemetry.took("verify", len(scores))
    policy = service.settings.scores
    return VerifyOut(
        results=[
            VerdictOut(score=shown(score, policy), match=score >= limit.threshold)
            for score in scores.tolist()
        ],
        threshold=limit.threshold,
        far=limit.far,
    )


@router.post("/v1/search", responses=problems(400, 403, 409), openapi_extra=MESSAGE_BODY)
async def search(
    request: Request, service: ServiceOf, caller: Searcher, top_k: TopK = 5, far: Far = None
) -> SearchOut:
    """Find the people of the tenant's gallery that match each record. Role `search`."""
    if top_k > service.settings.max_top_k:
        raise ConfigError(f"top_k={top_k}; this service gives at most {service.settings.max_top_k}")
    limit = service.thresholds.find(far)
    message = await read_message(request, service, caller)
    service.limits.probes(caller.name, len(message.records))
    found, opened = await service.recognised(
        caller.key,
        "search",
        None,
        message,
        lambda opened, probes: opened.search(probes, top_k=top_k, threshold=limit.threshold),
        far=limit.far,
    )
    service.telemetry.took("search", len(found))
    policy = service.settings.scores
    return SearchOut(
        results=[FoundOut(candidates=[_describe(c, policy) for c in list_]) for list_ in found],
        threshold=limit.threshold,
        far=limit.far,
        gallery_size=opened.tenant_templates,
    )


def _describe(candidate: Candidate, policy: ScorePolicy) -> CandidateOut:
    return CandidateOut(
        subject_id=candidate.subject_id,
        template_id=candidate.template_id,
        score=shown(candidate.score, policy),
    )
