"""How does a shop say which lots a trade has sold, and that it will not say otherwise?"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from engine.types import MONEY_MAX
from gateway.api.v1.lot_schemas import ChosenLot, LotChoiceBody, LotClosingBody
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import FIND, MAKE, Here, accepted, amount_of, having_own
from gateway.http.body import body_of
from merchants.records.amounts import decimal_of_pips, hex_of
from merchants.records.tables import Store
from merchants.reports.lots import NS, NamedLot
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_REPORTS

router = APIRouter(prefix="/v1/stores/{store_id}", tags=["merchants"])

Reading = Annotated[Store, Depends(having_own(VIEW_REPORTS))]
Changing = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]
Trade = Annotated[int, Path(ge=1, le=MONEY_MAX)]


@router.get(
    "/lot-choices/{trade}",
    openapi_extra=documented(LotChoiceBody, rejections=FIND, proof="store", scope=VIEW_REPORTS),
)
async def read_lots(shops: Here, store: Reading, trade: Trade) -> Response:
    """Return the lots that the store has named for one of its trades."""
    return Answer(
        _body(accepted(await shops.readers.ask(shops.merchants.lots.of, store.id, trade)))
    )


@router.put(
    "/lot-choices/{trade}",
    openapi_extra=documented(
        LotChoiceBody,
        body=LotChoiceBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def choose_lots(
    shops: Here,
    store: Changing,
    trade: Trade,
    body: Annotated[LotChoiceBody, Depends(body_of(LotChoiceBody))],
) -> Response:
    """Let a trade have sold these lots, which came before it, until its period is closed."""
    lots = [
        NamedLot(bytes.fromhex(lot.tx_hash[2:]), lot.log_index, amount_of(lot.amount, "amount"))
        for lot in body.lots
    ]
    return Answer(_body(accepted(shops.merchants.lots.choose(store.id, trade, lots))))


@router.get(
    "/lot-closing",
    openapi_extra=documented(LotClosingBody, rejections=FIND, proof="store", scope=VIEW_REPORTS),
)
async def read_closing(shops: Here, store: Reading) -> Response:
    """Return up to when the store's lots are chosen no more."""
    until_ns = await shops.readers.ask(shops.merchants.lots.closed_until, store.id)
    return Answer(LotClosingBody(until_ns // NS))


@router.put(
    "/lot-closing",
    openapi_extra=documented(
        LotClosingBody,
        body=LotClosingBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def close_lots(
    shops: Here,
    store: Changing,
    body: Annotated[LotClosingBody, Depends(body_of(LotClosingBody))],
) -> Response:
    """Close the books of a period: what its trades have sold of which lot stands for good."""
    until_ns = accepted(shops.merchants.lots.close(store.id, body.until * NS))
    return Answer(LotClosingBody(until_ns // NS))


def _body(lots: Sequence[NamedLot]) -> LotChoiceBody:
    return LotChoiceBody(
        [ChosenLot(hex_of(lot.tx_hash), lot.log_index, decimal_of_pips(lot.pips)) for lot in lots]
    )
