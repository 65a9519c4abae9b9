"""API keys, retirement and the audit log: role `admin`, for the caller's own tenant."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from xnn.accounts import ApiKey
from xnn.errors import ConfigError
from xnn.server.dependencies import Admin, ServiceOf
from xnn.server.routes.documented import problems
from xnn.server.schemas import (
    AuditEntryOut,
    AuditOut,
    KeyIn,
    KeyNamePath,
    KeyOut,
    KeysOut,
    NewKeyOut,
    RetiredOut,
    RetireIn,
)
from xnn.types import KeyId

router = APIRouter(tags=["administration"])
AfterNumber = Annotated[int, Query(ge=0, le=2**62, description="The last number of before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Entries on a page.")]


@router.post("/v1/keys", status_code=201, responses=problems(403))
async def create_key(service: ServiceOf, caller: Admin, body: KeyIn) -> NewKeyOut:
    """Make an API key for the caller's tenant. It is shown this once and kept nowhere."""
    key, text = await service.audited(
        caller.key,
        "key.create",
        None,
        lambda: service.accounts.create(caller.tenant, body.roles, label=body.label),
        roles=",".join(sorted(set(body.roles))),
    )
    return NewKeyOut(**_fields(key), api_key=text)


@router.get("/v1/keys", responses=problems(403))
async def list_keys(service: ServiceOf, caller: Admin) -> KeysOut:
    """List the tenant's API keys, revoked ones too, without secrets."""
    keys = await service.in_thread(lambda: service.accounts.all_keys(caller.tenant))
    return KeysOut(keys=[KeyOut(**_fields(key)) for key in keys])


@router.delete("/v1/keys/{key_name}", responses=problems(403, 404))
async def revoke_key(service: ServiceOf, caller: Admin, key_name: KeyNamePath) -> KeyOut:
    """Revoke an API key, at once and for good."""
    key = await service.audited(
        caller.key,
        "key.revoke",
        None,
        lambda: service.accounts.revoke(key_name, tenant=caller.tenant),
        key_name=key_name,
    )
    return KeyOut(**_fields(key))


@router.post("/v1/retire", responses=problems(403, 404))
async def retire(service: ServiceOf, caller: Admin, body: RetireIn) -> RetiredOut:
    """Retire a bundle or an owner's key: its templates are erased and new ones refused.

    The answer lists who must be enrolled again.
    """
    if (body.bundle_id is None) == (body.key_id is None):
        raise ConfigError("give either bundle_id or key_id, and just one of them")
    key_id = None if body.key_id is None else KeyId(body.key_id)
    subjects = await service.audited(
        caller.key,
        "retire",
        None,
        lambda: service.gallery.retire(caller.tenant, bundle_id=body.bundle_id, key_id=key_id),
        bundle_id=body.bundle_id,
        key_id=body.key_id,
    )
    return RetiredOut(subjects=[str(subject) for subject in subjects])


@router.get("/v1/audit", responses=problems(403))
async def read_audit(
    service: ServiceOf, caller: Admin, after: AfterNumber = 0, limit: Limit = 100
) -> AuditOut:
    """Read the audit log of the caller's tenant, oldest first.

    Numbers have gaps where other tenants' entries stand in the same chain.
    """
    found = await service.in_thread(
        lambda: service.audit.entries(caller.tenant, after=after, limit=limit + 1)
    )
    page = [
        AuditEntryOut(
            number=entry.number,
            at_ms=entry.at_ms,
            actor=entry.event.actor,
            action=entry.event.action,
            subject=entry.event.subject,
            outcome=entry.event.outcome,
            facts=dict(entry.event.facts),
            digest=entry.digest,
        )
        for entry in found[:limit]
    ]
    return AuditOut(entries=page, next=page[-1].number if len(found) > limit else None)


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "key_name": key.name,
        "tenant": key.tenant,
        "roles": sorted(key.roles),
        "label": key.label,
        "created_ms": key.created_ms,
        "revoked_ms": key.revoked_ms,
    }
