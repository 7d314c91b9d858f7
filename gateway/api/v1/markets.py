"""What may everybody read: configuration, markets, books, trades?"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from engine.types import FEE_MAX_PPM, FILLS_MAX, PIPS_PER_TOKEN
from gateway.api.dependencies import Feeds, Here, NamedMarket, Written, charged
from gateway.api.v1 import schemas
from gateway.api.v1.encoding import ADDRESS_PATTERN, address, decimal_text, hexed
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.orders import domain_row
from gateway.api.v1.written_feeds import token_row
from gateway.trading.budgets import SHOP_BUDGETS
from gateway.views.order_history import ENDED_MAX
from settlement.orders.admission import EXPIRY_MAX_S
from settlement.orders.first_answers import AGAIN_NS, ANSWERS_MAX
from settlement.orders.nonces import LANE_FIRST, LANE_LAST, NS, SINGLE_SHOT_STEP_MAX, WINDOW_SIZE
from settlement.protocol.eip712 import (
    ACKNOWLEDGEMENT_TYPE,
    ACKNOWLEDGEMENTS_TYPE,
    DOMAIN_TYPE,
    GRANT_TYPE,
    LOGIN_TYPE,
    ORDER_TYPE,
    REVOCATION_TYPE,
    WITHDRAWAL_TYPE,
)

LEVELS_MAX: Final = 500
TRADES_LIMIT_MAX: Final = 500
LANES_MAX: Final = 64
MARKETS_AT_ONCE: Final = 32
"""Written before others have a turn: in half a millisecond, if all of them are others now."""

LaneNumber = Annotated[int, Query(ge=LANE_FIRST, le=LANE_LAST)]

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[Depends(charged)])


@router.get("/config", openapi_extra=documented(schemas.Config))
async def read_config(services: Here) -> Answer:
    """Return what a client must know before it signs: chain, contract, types, tokens, fees."""
    exchange = services.exchange
    config: schemas.Config = schemas.Config(
        chain_id=exchange.domain.chain_id,
        contract=hexed(exchange.domain.contract),
        contracts={name: hexed(address) for name, address in services.contracts.items()},
        domain=domain_row(exchange.domain),
        types={
            "EIP712Domain": DOMAIN_TYPE,
            "Order": ORDER_TYPE,
            "Withdrawal": WITHDRAWAL_TYPE,
            "KeyGrant": GRANT_TYPE,
            "KeyRevocation": REVOCATION_TYPE,
            "Login": LOGIN_TYPE,
            "Acknowledgement": ACKNOWLEDGEMENT_TYPE,
            "Acknowledgements": ACKNOWLEDGEMENTS_TYPE,
        },
        tokens=[token_row(token) for token in exchange.catalog.tokens],
        least_withdrawal={
            token.symbol: decimal_text(exchange.least_withdrawal(token))
            for token in exchange.catalog.tokens
        },
        fees={
            market.symbol: {
                "maker_fee_ppm": market.maker_fee_ppm,
                "taker_fee_ppm": market.taker_fee_ppm,
            }
            for market in exchange.catalog.markets
        },
        fee_max_ppm=FEE_MAX_PPM,
        pips_per_token=str(PIPS_PER_TOKEN),
        time_ns=str(exchange.now_ns()),
        version=services.version,
        budgets=services.limits.budgets._asdict(),
        shop_budgets=SHOP_BUDGETS._asdict(),
        limits={
            "expiry_max_seconds": EXPIRY_MAX_S,
            "fills_max": FILLS_MAX,
            "single_shot_nonce_step": SINGLE_SHOT_STEP_MAX,
            "single_shot_window": WINDOW_SIZE,
            "try_again_seconds": AGAIN_NS // NS,
            "answers_kept": ANSWERS_MAX,
            "ended_orders_kept": ENDED_MAX,
        },
    )
    return Answer(config)


@router.get("/markets", openapi_extra=documented(schemas.Markets))
async def list_markets(services: Here, feeds: Feeds) -> Answer:
    """Return all markets with their phase, steps, bounds, fees and day."""
    now_ns = services.exchange.now_ns()
    rows = []
    for market in services.exchange.catalog.markets:
        rows.append(feeds.market(market, now_ns))
        if len(rows) % MARKETS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return Answer({"markets": rows})


@router.get(
    "/markets/{symbol}/book", openapi_extra=documented(schemas.BookSnapshot, rejections=(404, 429))
)
async def read_book(
    written: Written,
    market: NamedMarket,
    levels: Annotated[int, Query(ge=1, le=LEVELS_MAX)] = 20,
) -> Answer:
    """Return the aggregated book, best prices first."""
    return Answer(written.book(market, levels))


@router.get(
    "/markets/{symbol}/trades", openapi_extra=documented(schemas.Trades, rejections=(404, 429))
)
async def read_trades(
    written: Written,
    market: NamedMarket,
    limit: Annotated[int, Query(ge=1, le=TRADES_LIMIT_MAX)] = 50,
) -> Answer:
    """Return the last trades, newest first, each with its settlement state."""
    return Answer({"market": market.symbol, "trades": written.trades(market, limit)})


@router.get("/nonces/{account}", openapi_extra=documented(schemas.Nonces))
async def read_nonces(
    services: Here,
    account: Annotated[str, Path(pattern=ADDRESS_PATTERN, max_length=42)],
    lane: Annotated[list[LaneNumber], Query(max_length=LANES_MAX)] = [],  # noqa: B006 - FastAPI's
) -> Answer:
    """Return nonces that ``account`` may use now: single shot, withdrawal, and ``lane`` by lane.

    They come from the journal, so they are right as soon as the exchange answers at all.
    """
    nonces = services.exchange.nonces(address(account, "account"), lane)
    lanes: list[schemas.LaneRow] = [
        schemas.LaneRow(
            lane=half.lane,
            upper_half=half.upper_half,
            nonce=str(half.nonce),
            order_id=str(half.order_id) if half.order_id else None,
        )
        for half in nonces.lanes
    ]
    reply: schemas.Nonces = schemas.Nonces(
        account=account.lower(),
        single_shot=str(nonces.single_shot) if nonces.single_shot else None,
        withdrawal=str(nonces.withdrawal),
        lanes=lanes,
    )
    return Answer(reply)
