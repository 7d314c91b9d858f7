"""From which price on does a shop want a payment to be deeper before it is settled?"""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from engine.types import Outcome
from gateway.api.v1.confirmation_schemas import StepBody, StepsBody
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.shop_doors import FIND, MAKE, Here, accepted, having_own
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.records.amounts import decimal_of_pips, pips_of_decimal
from merchants.records.tables import Store
from merchants.sales.confirmations import Step
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS

router = APIRouter(prefix="/v1/stores/{store_id}/confirmations", tags=["merchants"])

Reading = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
Changing = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]


@router.get(
    "",
    openapi_extra=documented(StepsBody, rejections=FIND, proof="store", scope=VIEW_SETTINGS),
)
async def read_confirmations(shops: Here, store: Reading) -> Response:
    """Return from which price on how many confirmations are wanted."""
    return Answer(_body(await shops.readers.ask(shops.merchants.confirmations.of, store.id)))


@router.put(
    "",
    openapi_extra=documented(
        StepsBody,
        body=StepsBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def change_confirmations(
    shops: Here, store: Changing, body: Annotated[StepsBody, Depends(body_of(StepsBody))]
) -> Response:
    """Let invoices that are made from now on wait for so many confirmations. Never fewer than the
    exchange waits for: it books nothing before."""
    steps = [Step(_pips(step.from_amount), step.confirmations) for step in body.steps]
    return Answer(_body(accepted(shops.merchants.confirmations.change(store.id, steps))))


def _pips(amount: str) -> int:
    pips = pips_of_decimal(amount)
    if pips is None:
        raise Rejection(Outcome.MALFORMED, figures={"from_amount": amount})
    return pips


def _body(steps: Iterable[Step]) -> StepsBody:
    return StepsBody(
        [StepBody(decimal_of_pips(step.from_pips), step.confirmations) for step in steps]
    )
