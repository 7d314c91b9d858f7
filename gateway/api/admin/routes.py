"""What may an operator ask for?

Translate, call, translate: what is decided is decided in ``settlement.operations``, by commands.
"""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response

from engine.command_result import CommandResult
from engine.commands import MarketTerms
from engine.types import Outcome, Phase
from gateway.api.admin import schemas
from gateway.api.admin.documents import described, reply_of
from gateway.api.admin.services import AdminServices
from gateway.api.budget_headers import note
from gateway.http.body import body_of
from gateway.trading.rejection import Rejection
from settlement.orders.catalog import Market
from settlement.protocol.checksum import address_of_text
from settlement.protocol.evidence import OperatorAction

PREFIX: Final = "/admin/v1"
LOGGED: Final = "this very request stands in the log; the action itself did not happen"


def services_of(connection: HTTPConnection) -> AdminServices:
    """Return the services that the application was made with."""
    services = connection.app.state.services
    assert isinstance(services, AdminServices), "create_admin_app puts them there"
    return services


async def charged(request: Request) -> None:
    """Charge one request to the peer before anything costs us work."""
    services = services_of(request)
    note(request.scope, services.limits.request(services.clients.of(request)).left)


async def operator_of(request: Request) -> str:
    """Return the name of who asks; refused without a token that we know."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    name = services_of(request).tokens.name_of(token.strip() if scheme.lower() == "bearer" else "")
    if name is None:
        raise Rejection(Outcome.NOT_AUTHENTICATED, "an operator's token is needed")
    return name


async def _here(connection: HTTPConnection) -> AdminServices:
    return services_of(connection)


async def _market(
    request: Request, symbol: Annotated[str, Path(max_length=32, description="a market's symbol")]
) -> Market:
    return _known(services_of(request), symbol)


Here = Annotated[AdminServices, Depends(_here)]
By = Annotated[str, Depends(operator_of)]
Named = Annotated[Market, Depends(_market)]

open_router = APIRouter(dependencies=[Depends(charged)])
router = APIRouter(prefix=PREFIX, dependencies=[Depends(charged), Depends(operator_of)])


@open_router.get("/healthz", openapi_extra=described(schemas.Alive))
async def healthz() -> Response:
    """Say that the process is alive."""
    return reply_of(schemas.Alive())


@open_router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the OpenAPI document, written once."""
    return Response(request.app.state.document, media_type="application/json")


@router.get("/state", openapi_extra=described(schemas.State))
async def state(services: Here) -> Response:
    """Say how the process is."""
    return reply_of(_state(services))


@router.get("/markets", openapi_extra=described(schemas.Markets))
async def markets(services: Here) -> Response:
    """List the markets, with their phases and bands."""
    rows = [
        schemas.MarketRow(
            number=market.number,
            symbol=market.symbol,
            base=market.base.symbol,
            quote=market.quote.symbol,
            phase=phase.name,
            lowest_ticks=lowest,
            highest_ticks=highest,
            lot_pips=market.lot_pips,
            tick_pips=market.tick_pips,
            maker_fee_ppm=market.maker_fee_ppm,
            taker_fee_ppm=market.taker_fee_ppm,
            least_notional_pips=market.least_notional_pips,
        )
        for market, phase, (lowest, highest) in services.operations.markets
    ]
    return reply_of(schemas.Markets(markets=rows))


@router.get("/tokens", openapi_extra=described(schemas.Tokens))
async def tokens(services: Here) -> Response:
    """List the tokens."""
    rows = [
        schemas.TokenRow(
            number=token.number,
            symbol=token.symbol,
            address=f"0x{token.address.hex()}",
            decimals=token.decimals,
            unit_scale=token.unit_scale,
        )
        for token in services.operations.tokens
    ]
    return reply_of(schemas.Tokens(tokens=rows))


@router.post("/tokens", openapi_extra=described(schemas.Done, schemas.ListToken))
async def list_token(
    services: Here,
    by: By,
    body: Annotated[schemas.ListToken, Depends(body_of(schemas.ListToken))],
) -> Response:
    """List the token that the contract's admin has listed next."""
    address = _address(body.address)
    asked = _asked(by, body.reason)
    return _done(await services.operations.list_token(body.symbol, address, body.decimals, asked))


@router.post("/markets", openapi_extra=described(schemas.Done, schemas.ListMarket))
async def list_market(
    services: Here,
    by: By,
    body: Annotated[schemas.ListMarket, Depends(body_of(schemas.ListMarket))],
) -> Response:
    """List a market; it takes orders at once."""
    terms = MarketTerms(*(getattr(body, name) for name in MarketTerms._fields))
    asked = _asked(by, body.reason)
    return _done(
        await services.operations.list_market(body.symbol, body.base, body.quote, terms, asked)
    )


@router.post("/markets/{symbol}/phase", openapi_extra=described(schemas.Done, schemas.SetPhase))
async def set_phase(
    services: Here,
    by: By,
    market: Named,
    body: Annotated[schemas.SetPhase, Depends(body_of(schemas.SetPhase))],
) -> Response:
    """Say what a market takes on. What lets orders in is refused as MARKET_HALTED, with the reason,
    while a token of it is paused on chain, or vault and ledger differ or were not compared yet."""
    asked = _asked(by, body.reason)
    return _done(await services.operations.set_phase(market, Phase[body.phase], asked))


@router.post("/markets/{symbol}/band", openapi_extra=described(schemas.Done, schemas.SetBand))
async def set_band(
    services: Here,
    by: By,
    market: Named,
    body: Annotated[schemas.SetBand, Depends(body_of(schemas.SetBand))],
) -> Response:
    """Say between which prices a market may trade; orders outside are cancelled."""
    asked = _asked(by, body.reason)
    return _done(
        await services.operations.set_band(market, body.lowest_ticks, body.highest_ticks, asked)
    )


@router.post("/markets/{symbol}/terms", openapi_extra=described(schemas.Done, schemas.SetTerms))
async def set_terms(
    services: Here,
    by: By,
    market: Named,
    body: Annotated[schemas.SetTerms, Depends(body_of(schemas.SetTerms))],
) -> Response:
    """Change lots, ticks, fees or the least notional. The market's orders are cancelled; refused as
    TOO_MANY_ORDERS if they are too many for one command: cancel them first."""
    given = {name: getattr(body, name) for name in MarketTerms._fields}
    changes = {name: value for name, value in given.items() if value is not msgspec.UNSET}
    return _done(await services.operations.set_terms(market, changes, _asked(by, body.reason)))


@router.post("/markets/{symbol}/delist", openapi_extra=described(schemas.Done, schemas.Asked))
async def delist(
    services: Here,
    by: By,
    market: Named,
    body: Annotated[schemas.Asked, Depends(body_of(schemas.Asked))],
) -> Response:
    """Close a market for good; its orders are cancelled, as with other terms."""
    return _done(await services.operations.delist(market, _asked(by, body.reason)))


@router.post("/cancel-all", openapi_extra=described(schemas.Cancelled, schemas.CancelAll))
async def cancel_all(
    services: Here,
    by: By,
    body: Annotated[schemas.CancelAll, Depends(body_of(schemas.CancelAll))],
) -> Response:
    """Cancel the orders of a market, of an account, or both; repeated until none is left."""
    if body.market is None and body.account is None and not body.everything:
        raise Rejection(Outcome.MALFORMED, "name a market or an account, or say everything: true")
    market = None if body.market is None else _known(services, body.market)
    account = None if body.account is None else _address(body.account)
    became = await services.operations.cancel_all(market, account, _asked(by, body.reason))
    _require(became.result)
    return reply_of(
        schemas.Cancelled(
            sequence=became.result.sequence, orders=became.orders, commands=became.commands
        )
    )


@router.post("/snapshot", openapi_extra=described(schemas.State, schemas.Asked, 202))
async def snapshot(
    services: Here, by: By, body: Annotated[schemas.Asked, Depends(body_of(schemas.Asked))]
) -> Response:
    """Begin a snapshot of now; the state says when it is done."""
    _require(await services.operations.note(_asked(by, body.reason, "snapshot")))
    if not services.take_snapshot():
        raise Rejection(Outcome.OVERLOADED, f"one is under way; {LOGGED}", retry_after=1)
    return reply_of(_state(services), 202)


@router.post("/drain", openapi_extra=described(schemas.State, schemas.Drain))
async def drain(
    services: Here, by: By, body: Annotated[schemas.Drain, Depends(body_of(schemas.Drain))]
) -> Response:
    """Be not ready, say so on the channel `status`, take no new orders; cancels are taken."""
    _require(await services.operations.note(_asked(by, body.reason, "drain")))
    services.draining.begin(body.stop_after_seconds)
    return reply_of(_state(services))


@router.post("/undrain", openapi_extra=described(schemas.State, schemas.Asked))
async def undrain(
    services: Here, by: By, body: Annotated[schemas.Asked, Depends(body_of(schemas.Asked))]
) -> Response:
    """Take orders again; refused as SHUTTING_DOWN once the process is ending."""
    _require(await services.operations.note(_asked(by, body.reason, "undrain")))
    if not services.draining.end():
        raise Rejection(Outcome.SHUTTING_DOWN, f"the process is ending; {LOGGED}")
    return reply_of(_state(services))


def _asked(operator: str, reason: str, action: str = "") -> OperatorAction:
    return OperatorAction(operator, reason, action)


def _address(text: str) -> bytes:
    address = address_of_text(text)
    if address is None:
        raise Rejection(Outcome.MALFORMED, f"{text} is no address, or its checksum is wrong")
    return address


def _known(services: AdminServices, symbol: str) -> Market:
    market = services.operations.market(symbol)
    if market is None:
        raise Rejection(Outcome.UNKNOWN_MARKET, f"there is no market called {symbol[:32]!r}")
    return market


def _require(result: CommandResult) -> None:
    if not result.accepted:
        raise Rejection(result.outcome, result.detail.get("why", ""), result.detail)


def _done(result: CommandResult) -> Response:
    _require(result)
    return reply_of(schemas.Done(sequence=result.sequence))


def _state(services: AdminServices) -> schemas.State:
    newest, is_busy = services.snapshots()
    return schemas.State(
        draining=services.draining.is_on,
        stops_in_seconds=services.draining.stops_in_seconds,
        sequence=services.sequence(),
        snapshot_sequence=newest,
        snapshot_under_way=is_busy,
        websockets=services.draining.websockets,
        not_ready=services.not_ready(),
        restrictions=services.restrictions(),
    )
