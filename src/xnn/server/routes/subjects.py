"""People: made, listed, erased."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from xnn.server.asgi.observe import NOTES, SUBJECT_NOTE
from xnn.server.dependencies import Enroller, Keeper, ServiceOf
from xnn.server.routes.documented import problems
from xnn.server.schemas import ErasedOut, SubjectIn, SubjectOut, SubjectPath, SubjectsOut
from xnn.types import SubjectId

router = APIRouter(tags=["subjects"])
After = Annotated[str, Query(max_length=128, description="The last name of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Names on a page.")]


@router.post("/v1/subjects", status_code=201, responses=problems(403, 409))
async def create_subject(
    request: Request, service: ServiceOf, caller: Enroller, body: SubjectIn
) -> SubjectOut:
    """Make a person without templates. Role `enrol`."""
    request.scope[NOTES][SUBJECT_NOTE] = body.subject_id
    subject_id = SubjectId(body.subject_id)
    await service.audited(
        caller.key,
        "subject.create",
        subject_id,
        lambda: service.gallery.create_subject(caller.tenant, subject_id),
    )
    return SubjectOut(subject_id=body.subject_id, templates=0)


@router.get("/v1/subjects", responses=problems(403))
async def list_subjects(
    service: ServiceOf, caller: Keeper, after: After = "", limit: Limit = 100
) -> SubjectsOut:
    """List people by name, a page at a time. Role `enrol` or `admin`."""
    found = await service.in_thread(
        lambda: service.gallery.subjects(caller.tenant, after=after, limit=limit + 1)
    )
    page = [str(subject) for subject in found[:limit]]
    return SubjectsOut(subjects=page, next=page[-1] if len(found) > limit else None)


@router.get("/v1/subjects/{subject_id}", responses=problems(403, 404))
async def read_subject(
    request: Request, service: ServiceOf, caller: Keeper, subject_id: SubjectPath
) -> SubjectOut:
    """Say whether there is such a person, and with how many templates. Role `enrol` or `admin`."""
    request.scope[NOTES][SUBJECT_NOTE] = subject_id
    templates = await service.in_thread(
        lambda: service.gallery.templates(caller.tenant, SubjectId(subject_id))
    )
    return SubjectOut(subject_id=subject_id, templates=len(templates))


@router.delete("/v1/subjects/{subject_id}", responses=problems(403, 404))
async def delete_subject(
    request: Request, service: ServiceOf, caller: Keeper, subject_id: SubjectPath
) -> ErasedOut:
    """Erase a person and all templates, for good. Role `enrol` or `admin`."""
    request.scope[NOTES][SUBJECT_NOTE] = subject_id
    erased = await service.audited(
        caller.key,
        "subject.delete",
        SubjectId(subject_id),
        lambda: service.gallery.delete_subject(caller.tenant, SubjectId(subject_id)),
    )
    return ErasedOut(templates=erased)
