"""When is what a shop was paid sold, and what would another policy have brought?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from engine.types import PPM, Outcome
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.policy_schemas import ConversionPolicyBody, PolicyOutcome, SimulationReply
from gateway.api.v1.shop_doors import FIND, MAKE, Here, accepted, amount_of, having_own
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from merchants.records.amounts import decimal_of_pips
from merchants.records.policies import SLICES_MAX, ConversionPolicy, PolicyKind
from merchants.records.tables import Store
from merchants.sales.backtest import Outcome as Replayed
from merchants.sales.policies import PERIOD_MAX_S, PolicyRequest, Simulation
from merchants.stores.scopes import MODIFY_SETTINGS, VIEW_SETTINGS

router = APIRouter(prefix="/v1/stores/{store_id}/conversion-policy", tags=["merchants"])

Reading = Annotated[Store, Depends(having_own(VIEW_SETTINGS))]
Changing = Annotated[Store, Depends(having_own(MODIFY_SETTINGS))]
Seconds = Annotated[int, Query(ge=0, le=PERIOD_MAX_S)]


@router.get(
    "",
    openapi_extra=documented(
        ConversionPolicyBody, rejections=FIND, proof="store", scope=VIEW_SETTINGS
    ),
)
async def read_policy(shops: Here, store: Reading) -> Response:
    """Return when the store's payments are sold."""
    return Answer(policy_body(await shops.readers.ask(shops.merchants.policies.of, store.id)))


@router.put(
    "",
    openapi_extra=documented(
        ConversionPolicyBody,
        body=ConversionPolicyBody,
        rejections=(404, *MAKE),
        proof="store",
        scope=MODIFY_SETTINGS,
    ),
)
async def change_policy(
    shops: Here,
    store: Changing,
    body: Annotated[ConversionPolicyBody, Depends(body_of(ConversionPolicyBody))],
) -> Response:
    """Sell otherwise from now on, what is gathered already too."""
    wanted = PolicyRequest(
        kind=body.kind,
        worth_pips=amount_of(body.worth, "worth"),
        age_s=body.age_s,
        slices=body.slices,
        period_s=body.period_s,
        keep_ppm=body.keep_ppm,
    )
    return Answer(policy_body(accepted(shops.merchants.policies.change(store.id, wanted))))


@router.get(
    "/simulation",
    openapi_extra=documented(SimulationReply, rejections=FIND, proof="store", scope=VIEW_SETTINGS),
)
async def simulate(
    shops: Here,
    store: Reading,
    kind: PolicyKind,
    token: Annotated[str, Query(min_length=1, max_length=16)],
    worth: Annotated[str, Query(max_length=32)] = "0",
    age_s: Seconds = 0,
    slices: Annotated[int, Query(ge=0, le=SLICES_MAX)] = 0,
    period_s: Seconds = 0,
    keep_ppm: Annotated[int, Query(ge=0, le=PPM)] = 0,
) -> Response:
    """Try a policy on the payments that the store had in ``token``, against the prices that this
    server holds."""
    policies = shops.merchants.policies
    market = shops.merchants.market_of(token, store.settle)
    if market is None:
        raise Rejection(Outcome.UNKNOWN_TOKEN, figures={"token": token})
    wanted = PolicyRequest(kind, amount_of(worth, "worth"), age_s, slices, period_s, keep_ppm)
    tape = policies.tape(market)
    found = await shops.readers.ask(policies.simulate, store.id, market, tape, wanted)
    return Answer(_reply(accepted(found)))


def policy_body(policy: ConversionPolicy) -> ConversionPolicyBody:
    """Return a policy as shops read it."""
    return ConversionPolicyBody(
        kind=PolicyKind(policy.kind),
        worth=decimal_of_pips(policy.worth_pips),
        age_s=policy.age_s,
        slices=policy.slices,
        period_s=policy.period_s,
        keep_ppm=policy.keep_ppm,
    )


def _reply(found: Simulation) -> SimulationReply:
    note = "all payments are in it"
    if found.since_ns is None:
        note = "this server holds no trades of the market: nothing can be said"
    elif found.passed_over:
        note = "the history held is too short: older payments are in neither policy"
    elif not found.payments:
        note = "the store has no payments in this token"
    return SimulationReply(
        market=found.market,
        payments=found.payments,
        passed_over=found.passed_over,
        held_since=None if found.since_ns is None else found.since_ns // 10**9,
        note=note,
        policies=[_outcome(row) for row in found.outcomes],
    )


def _outcome(row: Replayed) -> PolicyOutcome:
    return PolicyOutcome(
        kind=PolicyKind(row.kind),
        sales=row.sales,
        sold=decimal_of_pips(row.sold_pips),
        brought=decimal_of_pips(row.brought_pips),
        worth=decimal_of_pips(row.worth_pips),
        slippage_ppm=row.slippage_ppm,
        variance=row.variance,
        left=decimal_of_pips(row.left_pips),
        left_worth=decimal_of_pips(row.left_worth_pips),
    )
