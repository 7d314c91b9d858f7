"""How does the operator halt a market and open it again?

With the token of the data directory; each is a command in the log like every other.
"""

from collections.abc import Awaitable
from typing import Protocol

import msgspec
from fastapi import APIRouter, Depends, Request

from engine.command_result import CommandResult
from gateway.api.dependencies import NamedMarket
from gateway.api.v1.login import require_operator
from gateway.api.v1.openapi import Answer, documented
from gateway.api.v1.orders import require
from settlement.orders.catalog import Market


class MarketPhases(Protocol):
    """Who carries it out: ``settlement.halts.Phases``."""

    def halt(self, market: Market) -> Awaitable[CommandResult]:
        """Take no more orders in ``market``."""

    def open(self, market: Market) -> Awaitable[CommandResult]:
        """Take orders in ``market`` again, unless what halted it stands."""


class PhaseSet(msgspec.Struct, frozen=True):
    """A market was halted or opened, by command ``sequence``."""

    market: str
    sequence: int


def operator_router(phases: MarketPhases, operator_token: str) -> APIRouter:
    """Return the operator's routes, for whoever has ``operator_token``."""

    async def operator(request: Request) -> None:
        require_operator(request, operator_token)

    router = APIRouter(prefix="/v1/markets", tags=["operations"], dependencies=[Depends(operator)])
    described = documented(PhaseSet, rejections=(401, 404, 409, 429, 503))

    @router.post("/{symbol}/halt", openapi_extra=described)
    async def halt_market(market: NamedMarket) -> Answer:
        """Take no more orders in a market until it is opened; what rests can be cancelled."""
        result = await phases.halt(market)
        require(result)
        return Answer(PhaseSet(market.symbol, result.sequence))

    @router.post("/{symbol}/open", openapi_extra=described)
    async def open_market(market: NamedMarket) -> Answer:
        """Take orders again. Refused as MARKET_HALTED, with the reason, while a token of it is
        paused on chain, or vault and ledger differ or were not compared yet."""
        result = await phases.open(market)
        require(result)
        return Answer(PhaseSet(market.symbol, result.sequence))

    return router
