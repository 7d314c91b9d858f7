"""How far is what was traded on its way to the chain?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from engine.types import Outcome
from gateway.api.dependencies import Here, charged
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import hexed
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.rows import settlement_row
from gateway.trading.rejection import Rejection
from gateway.views.trade_states import BatchView

BATCHES_LIMIT_MAX: Final = 200

router = APIRouter(prefix="/v1/settlement", tags=["settlement"], dependencies=[Depends(charged)])


@router.get("/batches", openapi_extra=documented(schemas.Batches))
async def list_batches(
    services: Here, limit: Annotated[int, Query(ge=1, le=BATCHES_LIMIT_MAX)] = 20
) -> Answer:
    """Return the last batches, newest first."""
    rows = [batch_row(view) for view in services.settlement.batches(limit)]
    return Answer(schemas.Batches(rows))


@router.get(
    "/trades/{trade_id}", openapi_extra=documented(schemas.TradeProgress, rejections=(404, 429))
)
async def read_trade(services: Here, trade_id: Annotated[int, Path(ge=1, lt=2**63)]) -> Answer:
    """Return how far one trade is."""
    if trade_id > services.market_data.last_trade_id:
        raise Rejection(Outcome.NOT_FOUND, f"there is no trade {trade_id} yet")
    state = settlement_row(services.settlement.trade_state(trade_id))
    return Answer(schemas.TradeProgress(trade_id, state))


def batch_row(view: BatchView) -> schemas.BatchRow:
    """Return a batch as JSON fields."""
    return schemas.BatchRow(
        batch=view.batch,
        state=view.state,
        first_trade=view.first_trade,
        last_trade=view.last_trade,
        tx_hash=None if view.tx_hash is None else hexed(view.tx_hash),
    )
