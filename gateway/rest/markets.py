"""What may everybody read: configuration, markets, books, trades?"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query

from engine.types import FEE_MAX_PPM, PIPS_PER_TOKEN
from gateway import replies
from gateway.answers import Answer, documented
from gateway.orders import domain_row
from gateway.rest.depends import Here, NamedMarket, charged
from gateway.services import Services
from gateway.wire import address, decimal_text, hexed, places_of
from settlement.catalog import Market, Token
from settlement.eip712 import (
    ACKNOWLEDGEMENT_TYPE,
    DOMAIN_TYPE,
    GRANT_TYPE,
    LOGIN_TYPE,
    ORDER_TYPE,
    WITHDRAWAL_TYPE,
)

LEVELS_MAX: Final = 500
TRADES_LIMIT_MAX: Final = 500

router = APIRouter(prefix="/v1", tags=["market"], dependencies=[Depends(charged)])


@router.get("/config", openapi_extra=documented(replies.Config))
async def read_config(services: Here) -> Answer:
    """Return what a client must know before it signs: chain, contract, types, tokens, fees."""
    exchange = services.exchange
    config: replies.Config = {
        "chain_id": exchange.domain.chain_id,
        "contract": hexed(exchange.domain.contract),
        "contracts": {name: hexed(address) for name, address in services.contracts.items()},
        "domain": domain_row(exchange.domain),
        "types": {
            "EIP712Domain": DOMAIN_TYPE,
            "Order": ORDER_TYPE,
            "Withdrawal": WITHDRAWAL_TYPE,
            "KeyGrant": GRANT_TYPE,
            "Login": LOGIN_TYPE,
            "Acknowledgement": ACKNOWLEDGEMENT_TYPE,
        },
        "tokens": [token_row(token) for token in exchange.catalog.tokens],
        "fees": {
            market.symbol: {
                "maker_fee_ppm": market.maker_fee_ppm,
                "taker_fee_ppm": market.taker_fee_ppm,
            }
            for market in exchange.catalog.markets
        },
        "fee_max_ppm": FEE_MAX_PPM,
        "pips_per_token": str(PIPS_PER_TOKEN),
        "time_ns": str(exchange.now_ns()),
        "version": services.version,
    }
    return Answer(config)


@router.get("/markets", openapi_extra=documented(replies.Markets))
async def list_markets(services: Here) -> Answer:
    """Return all markets with their steps, fees and day."""
    markets = services.exchange.catalog.markets
    return Answer({"markets": [market_row(services, market) for market in markets]})


@router.get("/markets/{symbol}/book", openapi_extra=documented(replies.BookSnapshot))
async def read_book(
    services: Here,
    market: NamedMarket,
    levels: Annotated[int, Query(ge=1, le=LEVELS_MAX)] = 20,
) -> Answer:
    """Return the aggregated book, best prices first."""
    return Answer(services.market_data.snapshot(market, levels))


@router.get("/markets/{symbol}/trades", openapi_extra=documented(replies.Trades))
async def read_trades(
    services: Here,
    market: NamedMarket,
    limit: Annotated[int, Query(ge=1, le=TRADES_LIMIT_MAX)] = 50,
) -> Answer:
    """Return the last trades, newest first, each with its settlement state."""
    return Answer({"market": market.symbol, "trades": services.market_data.trades(market, limit)})


@router.get("/nonces/{account}", openapi_extra=documented(replies.Nonce))
async def read_nonce(
    services: Here,
    account: Annotated[str, Path(pattern="^0x[0-9a-fA-F]{40}$", max_length=42)],
) -> Answer:
    """Return a nonce that ``account`` may use now for a single-shot order."""
    nonce = services.exchange.next_nonce(address(account, "account"))
    return Answer({"account": account.lower(), "single_shot": str(nonce)})


def token_row(token: Token) -> replies.TokenRow:
    """Return a token as JSON fields."""
    return {
        "number": token.number,
        "symbol": token.symbol,
        "address": hexed(token.address),
        "decimals": token.decimals,
    }


def market_row(services: Services, market: Market) -> replies.MarketRow:
    """Return a market as JSON fields."""
    step = market.tick_size_pips
    return {
        "symbol": market.symbol,
        "base": token_row(market.base),
        "quote": token_row(market.quote),
        "lot_size": decimal_text(market.lot_pips, places_of(market.lot_pips)),
        "tick_size": decimal_text(step, places_of(step)),
        "lot_pips": str(market.lot_pips),
        "tick_pips": str(market.tick_pips),
        "maker_fee_ppm": market.maker_fee_ppm,
        "taker_fee_ppm": market.taker_fee_ppm,
        "ticker": services.market_data.ticker(market, services.exchange.now_ns()),
    }
