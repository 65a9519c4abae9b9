"""What a device must know before it sends."""

from fastapi import APIRouter

from xnn.server.dependencies import AnyCaller, ServiceOf
from xnn.server.routes.documented import problems
from xnn.server.schemas import BundleOut, ThresholdOut
from xnn.wire.layout import VERSION

router = APIRouter(tags=["bundle"])


@router.get("/v1/bundle", responses=problems())
async def read_bundle(service: ServiceOf, caller: AnyCaller) -> BundleOut:
    """Name the device bundle, dtypes and thresholds of this service. Any role."""
    card = service.card
    return BundleOut(
        bundle_id=card.front_id,
        scheme=service.scheme,
        m=card.m,
        e=card.e,
        dtypes=list(service.dtypes),
        embedding_dim=card.tail.output_dim,
        wire_version=VERSION,
        max_records=service.wire_limits.max_records,
        thresholds=[
            ThresholdOut(
                far=row.far,
                threshold=row.threshold,
                far_low=row.far_low,
                far_high=row.far_high,
            )
            for row in service.thresholds.rows
        ],
        default_far=service.thresholds.default_far,
    )
