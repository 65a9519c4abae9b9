"""Templates: enrolled from messages, listed without their vectors, erased."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from xnn.gallery.base import TemplateInfo
from xnn.server.asgi.observe import NOTES, SUBJECT_NOTE
from xnn.server.dependencies import Enroller, Keeper, ServiceOf, read_message
from xnn.server.routes.documented import MESSAGE_BODY, problems
from xnn.server.schemas import ErasedOut, SubjectPath, TemplateOut, TemplatePath, TemplatesOut
from xnn.types import SubjectId

router = APIRouter(tags=["templates"])
Create = Annotated[bool, Query(description="Make the subject if it is missing.")]


@router.post(
    "/v1/subjects/{subject_id}/templates",
    status_code=201,
    responses=problems(400, 403, 404, 409),
    openapi_extra=MESSAGE_BODY,
)
async def enrol(
    request: Request,
    service: ServiceOf,
    caller: Enroller,
    subject_id: SubjectPath,
    create: Create = False,
) -> TemplatesOut:
    """Store a template for each record of the message, all or none. Role `enrol`.

    A message with the `request_id` of an earlier one gets the earlier answer and adds nothing.
    """
    request.scope[NOTES][SUBJECT_NOTE] = subject_id
    message = await read_message(request, service, caller)
    vectors = await service.embed(message.records)
    made = await service.audited(
        caller.key,
        "enrol",
        SubjectId(subject_id),
        lambda: service.gallery.enrol(
            caller.tenant,
            SubjectId(subject_id),
            vectors,
            bundle_id=message.bundle_id,
            key_id=message.key_id,
            request_id=message.request_id,
            create=create,
        ),
        records=len(vectors),
    )
    service.telemetry.took("enrol", len(vectors))
    return TemplatesOut(templates=[_describe(template) for template in made])


@router.get("/v1/subjects/{subject_id}/templates", responses=problems(403, 404))
async def list_templates(
    request: Request, service: ServiceOf, caller: Keeper, subject_id: SubjectPath
) -> TemplatesOut:
    """List a person's templates, oldest first. Role `enrol` or `admin`."""
    request.scope[NOTES][SUBJECT_NOTE] = subject_id
    found = await service.in_thread(
        lambda: service.gallery.templates(caller.tenant, SubjectId(subject_id))
    )
    return TemplatesOut(templates=[_describe(template) for template in found])


@router.delete("/v1/templates/{template_id}", responses=problems(403, 404))
async def erase_template(
    service: ServiceOf, caller: Keeper, template_id: TemplatePath
) -> ErasedOut:
    """Erase one template, for good. Role `enrol` or `admin`."""
    await service.audited(
        caller.key,
        "template.erase",
        None,
        lambda: service.gallery.erase_template(caller.tenant, template_id),
        template_id=template_id,
    )
    return ErasedOut(templates=1)


def _describe(template: TemplateInfo) -> TemplateOut:
    return TemplateOut(
        template_id=template.template_id,
        subject_id=template.subject_id,
        bundle_id=template.bundle_id,
        key_id=template.key_id,
        created_ms=template.created_ms,
    )
