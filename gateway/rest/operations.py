"""What do operators and their machines ask?"""

from fastapi import APIRouter
from starlette.responses import Response

from gateway import replies
from gateway.answers import Answer, documented
from gateway.metrics import METRICS_MEDIA_TYPE
from gateway.rest.depends import Here, Life

router = APIRouter(tags=["operations"])


@router.get("/healthz", openapi_extra=documented(replies.Health, refusals=()))
async def healthz() -> Answer:
    """Say that the process is alive; it may still not be ready."""
    return Answer({"status": "alive", "missing": []})


@router.get("/readyz", openapi_extra=documented(replies.Health, refusals=(503,)))
async def readyz(services: Here, life: Life) -> Answer:
    """Say whether work may be sent here, and what is missing if not.

    ``restricted`` is ready too: ``missing`` names what is not taken, cancels are.
    """
    missing = [*services.not_ready(), *(["closing"] if life.draining else [])]
    if missing:
        return Answer({"status": "not ready", "missing": missing}, 503)
    restrictions = services.restrictions()
    status = "restricted" if restrictions else "ready"
    return Answer({"status": status, "missing": restrictions})


@router.get("/version", openapi_extra=documented(replies.Version, refusals=()))
async def version(services: Here) -> Answer:
    """Say which program answers."""
    return Answer({"name": "tillbook", "version": services.version})


@router.get("/metrics", include_in_schema=False)
async def metrics(services: Here, life: Life) -> Response:
    """Return the counters in Prometheus' text format."""
    services.metrics.sequence.set(services.market_data.sequence)
    services.metrics.trades.set(services.market_data.last_trade_id)
    services.metrics.connections.set(life.connection_count)
    return Response(services.metrics.render(), media_type=METRICS_MEDIA_TYPE)
