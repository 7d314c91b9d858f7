"""What do operators and their machines ask?"""

from typing import Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from engine.types import Side
from gateway.api.dependencies import Here, Life, charged, charged_probe
from gateway.api.services import Services
from gateway.api.v1 import schemas
from gateway.api.v1.login import require_operator
from gateway.api.v1.openapi import Answer, documented
from gateway.http.lifecycle import Lifecycle
from gateway.http.metrics import METRICS_MEDIA_TYPE

DEPTH_LEVELS: Final = 10

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


@router.get("/asyncapi.json", include_in_schema=False, dependencies=[Depends(charged)])
async def asyncapi(request: Request) -> Response:
    """Return the AsyncAPI document of the stream, written once."""
    return Response(request.app.state.asyncapi(), media_type="application/json")


@router.get("/metrics", include_in_schema=False, dependencies=[Depends(charged)])
async def metrics(request: Request, services: Here, life: Life) -> Response:
    """Return the counters in Prometheus' text format, to the operator alone: they tell how trade
    goes, and cost more to write than anything a stranger may ask for."""
    require_operator(request, services.operator_token)
    _look(services, life)
    return Response(services.metrics.render(), media_type=METRICS_MEDIA_TYPE)


def _look(services: Services, life: Lifecycle) -> None:
    """Set what costs nothing until somebody asks."""
    shown, exchange = services.metrics, services.exchange
    shown.sequence.set(services.market_data.sequence)
    shown.trades.set(services.market_data.last_trade_id)
    shown.connections.set(life.connection_count)
    shown.outbox_bytes.set(life.waiting_bytes)
    shown.machine.draining.set(life.draining)
    shown.machine.ready.set(not life.draining and not services.not_ready())
    shown.machine.restrictions.set(len(services.restrictions()))
    for market in exchange.catalog.markets:
        sides = (exchange.depth(market, side, DEPTH_LEVELS) for side in (Side.BUY, Side.SELL))
        shown.books.show(market, *sides)
