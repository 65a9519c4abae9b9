"""For those who run the service: is it alive, is it ready, how does it do."""

from fastapi import APIRouter, Request, Response
from fastapi.security.utils import get_authorization_scheme_param

from xnn.errors import AccessError, BusyError
from xnn.server.dependencies import ServiceOf
from xnn.server.routes.documented import problems
from xnn.server.schemas import HealthOut
from xnn.server.telemetry import CONTENT_TYPE

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def read_health() -> HealthOut:
    """Say that the process runs. Restart it when this fails."""
    return HealthOut(status="ok")


@router.get("/readyz", responses={503: problems()[503]})
async def read_readiness(service: ServiceOf) -> HealthOut:
    """Say whether requests should be sent here: bundle loaded, gallery reachable, not stopping."""
    if service.draining:
        raise BusyError("the service is stopping; send new requests to another one")
    await service.in_thread(service.check_ready)
    return HealthOut(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus' text format."},
        401: problems()[401],
        503: problems()[503],
    },
)
async def read_metrics(request: Request, service: ServiceOf) -> Response:
    """Give counts and times. Any API key, unless the operator opened it."""
    if service.settings.metrics == "key":
        scheme, api_key = get_authorization_scheme_param(request.headers.get("authorization"))
        if scheme.lower() != "bearer":
            raise AccessError("metrics need an API key: send it as `Authorization: Bearer xnn_...`")
        await service.identify(api_key)
    return Response(service.telemetry.text(), media_type=CONTENT_TYPE)
