"""What do operators and their machines ask?"""

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from gateway.api.dependencies import Here, Life, charged, charged_probe
from gateway.api.v1 import schemas
from gateway.api.v1.login import require_operator
from gateway.api.v1.openapi import Answer, documented
from gateway.http.metrics import METRICS_MEDIA_TYPE

router = APIRouter(tags=["operations"])
Probed = Depends(charged_probe)


@router.head("/healthz", include_in_schema=False, dependencies=[Probed])
@router.get(
    "/healthz",
    openapi_extra=documented(schemas.Health, rejections=(429,)),
    dependencies=[Probed],
)
async def healthz() -> Answer:
    """Say that the process is alive; it may still not be ready."""
    return Answer(schemas.Health("alive", []))


@router.get(
    "/readyz",
    openapi_extra=documented(schemas.Health, rejections=(429, 503)),
    dependencies=[Probed],
)
async def readyz(services: Here, life: Life) -> Answer:
    """Say whether work may be sent here, and what is missing if not.

    ``restricted`` is ready too: ``missing`` names what is not taken, cancels are.
    """
    missing = [*services.not_ready(), *(["draining"] if life.draining else [])]
    if missing:
        return Answer(schemas.Health("not ready", missing), 503)
    restrictions = services.restrictions()
    status = "restricted" if restrictions else "ready"
    return Answer(schemas.Health(status, restrictions))


@router.get(
    "/version",
    openapi_extra=documented(schemas.Version, rejections=(429,)),
    dependencies=[Probed],
)
async def version(services: Here) -> Answer:
    """Say which program answers."""
    return Answer(schemas.Version("tillbook", services.version))


@router.get("/openapi.json", include_in_schema=False, dependencies=[Depends(charged)])
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document, written once."""
    return Response(request.app.state.openapi(), media_type="application/json")


@router.get("/metrics", include_in_schema=False, dependencies=[Depends(charged)])
async def metrics(request: Request, services: Here, life: Life) -> Response:
    """Return the counters in Prometheus' text format, to the operator alone: they tell how trade
    goes, and cost more to write than anything a stranger may ask for."""
    require_operator(request, services.operator_token)
    services.metrics.sequence.set(services.market_data.sequence)
    services.metrics.trades.set(services.market_data.last_trade_id)
    services.metrics.connections.set(life.connection_count)
    return Response(services.metrics.render(), media_type=METRICS_MEDIA_TYPE)
