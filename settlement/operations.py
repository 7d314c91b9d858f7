"""What may an operator do to a running exchange, and how does the log tell of it?

Every action is a command like any other, so a replay comes to the same, and beside it stands who
asked and why. An action that was carried out already does no harm when it is asked for again; one
that cannot be is refused with a reason. Use it from the event loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from engine.command_result import CommandResult
from engine.commands import Kind, MarketTerms, command, set_terms
from engine.events import EventKind
from engine.log_entries import EventRow
from engine.types import ALL_ACCOUNTS, ALL_MARKETS, Outcome, Phase
from settlement.chain.chain import CallRevertedError, Chain, ChainUnavailableError
from settlement.chain.deploy import TokenPlan
from settlement.exchange import Exchange
from settlement.halts import Phases
from settlement.orders.catalog import Market, Token
from settlement.orders.market_states import MarketStates
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import OperatorAction, TokenListing

REPEATS_MAX: Final = 4_096
"""How often a command that does a bounded amount of work is sent until nothing is left of it."""

NO_CHAIN: Final = CommandResult(
    Outcome.OVERLOADED, detail={"why": "the chain does not answer; nothing was done"}
)


class OnChain(NamedTuple):
    """What the contract, and the token itself, say of a listed token."""

    address: bytes
    unit_scale: int
    decimals: int


class Cancelled(NamedTuple):
    """What became of a cancel-all: its last command, and how many orders left the books."""

    result: CommandResult
    orders: int
    commands: int


def terms_of(market: Market) -> MarketTerms:
    """Return the terms that ``market`` has now."""
    return MarketTerms(*(getattr(market, name) for name in MarketTerms._fields))


def token_on_chain(chain: Chain, exchange: bytes, number: int) -> OnChain | None:
    """Return token ``number`` of the contract; None if it has none, or one that is no token.

    Raises ``ChainUnavailableError``.
    """
    try:
        answer = chain.call(exchange, encode_call("tokens", number))
        address = answer[12:32]
        decimals = chain.call(address, encode_call("decimals", contract="TestToken"))
    except CallRevertedError:
        return None
    if not any(address):
        return None
    scale = int.from_bytes(answer[32:64], "big", signed=True)
    return OnChain(address, scale, int.from_bytes(decimals, "big"))


class Operations:
    """Carries out what operators ask for."""

    def __init__(
        self,
        exchange: Exchange,
        phases: Phases,
        states: MarketStates,
        on_chain: Callable[[int], OnChain | None],
        listed: Callable[[Token], None],
    ) -> None:
        """``on_chain`` asks the contract for a token by its number, from another thread; it raises
        ``ChainUnavailableError``. ``listed`` is told of a token once it is."""
        self._exchange = exchange
        self._phases = phases
        self._states = states
        self._on_chain = on_chain
        self._listed = listed
        self._listing, self._terms = asyncio.Lock(), asyncio.Lock()
        self._log = structlog.get_logger("operator")

    @property
    def markets(self) -> list[tuple[Market, Phase, tuple[int, int]]]:
        """Return each market, its phase, and between which prices it may trade (0, 0: any)."""
        markets = self._exchange.catalog.markets
        states = [self._states.of(market) for market in markets]
        return [
            (market, state.phase, (state.band_low, state.band_high))
            for market, state in zip(markets, states, strict=True)
        ]

    def market(self, symbol: str) -> Market | None:
        """Return the market called ``symbol``."""
        return self._exchange.catalog.market(symbol)

    @property
    def tokens(self) -> Sequence[Token]:
        """Return the tokens by number."""
        return self._exchange.catalog.tokens

    # Markets

    async def set_phase(self, market: Market, phase: Phase, by: OperatorAction) -> CommandResult:
        """Put ``market`` into ``phase``; repeated until an auction that is to end is over.

        Refused as MARKET_HALTED where it would trade again, while what halted it stands.
        """
        for _ in range(REPEATS_MAX):
            result = await self._phases.put(market, phase, by)
            if not result.accepted or not _more_remains(result):
                break
        self._note("phase", by, result, market=market.symbol, phase=phase.name)
        return result

    async def set_band(
        self, market: Market, lowest: int, highest: int, by: OperatorAction
    ) -> CommandResult:
        """Let ``market`` trade at ``lowest`` to ``highest`` ticks only; both 0: at any price."""
        row = command(Kind.SET_BAND, market=market.number, price_ticks=lowest, amount=highest)
        result = await self._exchange.operate(row, by)
        self._note("band", by, result, market=market.symbol, lowest=lowest, highest=highest)
        return result

    async def set_terms(
        self, market: Market, changes: Mapping[str, int], by: OperatorAction
    ) -> CommandResult:
        """Give ``market`` other terms, by their names in ``MarketTerms``; the rest stays.

        Its orders are cancelled, and its band is lifted. What it has already changes nothing.
        """
        # One after the other: what the second leaves out is what the first has made of it.
        async with self._terms:
            now = terms_of(self._exchange.catalog.markets[market.number])
            terms = now._replace(**changes)
            if terms == now:
                return CommandResult(Outcome.ACCEPTED)
            row = set_terms(market.number, **terms._asdict())
            result = await self._exchange.operate(row, by)
        self._note("terms", by, result, market=market.symbol, **changes)
        return result

    async def delist(self, market: Market, by: OperatorAction) -> CommandResult:
        """Close ``market`` for good; its orders are cancelled."""
        result = await self._exchange.operate(command(Kind.DELIST, market=market.number), by)
        self._note("delisted", by, result, market=market.symbol)
        return result

    async def cancel_all(
        self, market: Market | None, account: bytes | None, by: OperatorAction
    ) -> Cancelled:
        """Cancel all orders of ``market``, or of all, and of ``account``, or of everybody."""
        number = ALL_ACCOUNTS
        if account is not None:
            found = self._exchange.catalog.account_number(account)
            if found is None:
                return Cancelled(CommandResult(Outcome.UNKNOWN_ACCOUNT), 0, 0)
            number = found
        place = ALL_MARKETS if market is None else market.number
        orders = commands = 0
        for _ in range(REPEATS_MAX):
            row = command(Kind.CANCEL_ALL, account=number, market=place)
            result = await self._exchange.operate(row, by)
            answer = _event(result, EventKind.CANCELLED_ALL)
            if answer is None:
                break
            orders, commands = orders + answer.amount, commands + 1
            if not answer.order_left:
                break
        owner = None if account is None else account.hex()
        symbol = None if market is None else market.symbol
        self._note("cancelled all", by, result, market=symbol, owner=owner, orders=orders)
        return Cancelled(result, orders, commands)

    # Listings

    async def list_token(
        self, symbol: str, address: bytes, decimals: int, by: OperatorAction
    ) -> CommandResult:
        """List the token that the contract has listed next. One that is listed just so already
        changes nothing."""
        unit_scale = TokenPlan(symbol, symbol, decimals).unit_scale
        async with self._listing:
            catalog = self._exchange.catalog
            known = catalog.token_by_address(address) or catalog.token(symbol)
            if known is not None:
                if known == Token(known.number, symbol, address, decimals, unit_scale):
                    return CommandResult(Outcome.ACCEPTED)
                return _bad_listing(f"token {known.number} is {known.symbol} already")
            number = len(catalog.tokens)
            try:
                found = await asyncio.to_thread(self._on_chain, number)
            except ChainUnavailableError:
                return NO_CHAIN
            wanted = OnChain(address, unit_scale, decimals)
            if found != wanted:
                return _bad_listing(_difference(number, found, wanted))
            listing = TokenListing(symbol, address, decimals, unit_scale)
            result = await self._exchange.list_token(listing, by)
            if result.accepted:
                self._listed(catalog.tokens[number])
        self._note("token listed", by, result, token=symbol, number=number)
        return result

    async def list_market(
        self, symbol: str, base: str, quote: str, terms: MarketTerms, by: OperatorAction
    ) -> CommandResult:
        """List the next market. One that is listed just so already changes nothing; of two tokens
        there is one market, for signed orders name tokens."""
        async with self._listing:
            catalog = self._exchange.catalog
            known = catalog.market(symbol)
            if known is not None:
                has = (known.base.symbol, known.quote.symbol, *terms_of(known))
                if has == (base, quote, *terms):
                    return CommandResult(Outcome.ACCEPTED)
                return _bad_listing(f"there is a {symbol} already, of other tokens or terms")
            for market in catalog.markets:
                is_gone = self._states.of(market).phase is Phase.DELISTED
                if (market.base.symbol, market.quote.symbol) == (base, quote) and not is_gone:
                    return _bad_listing(f"these tokens are traded in {market.symbol}")
            result = await self._exchange.list_market(symbol, base, quote, by=by, **terms._asdict())
        self._note("market listed", by, result, market=symbol)
        return result

    async def note(self, by: OperatorAction) -> CommandResult:
        """Write into the log what an operator does that no command does: ``by.action``."""
        result = await self._exchange.operate(command(Kind.CLOCK), by)
        self._note(by.action, by, result)
        return result

    def _note(
        self, what: str, by: OperatorAction, result: CommandResult, **about: str | int | None
    ) -> None:
        self._log.warning(
            what,
            operator=by.operator,
            reason=by.reason,
            outcome=result.outcome.name,
            sequence=result.sequence,
            **{name: value for name, value in about.items() if value is not None},
        )


def _event(result: CommandResult, kind: EventKind) -> EventRow | None:
    return next((event for event in result.events or () if event.kind == kind), None)


def _more_remains(result: CommandResult) -> bool:
    event = _event(result, EventKind.PHASE_SET)
    return event is not None and event.outcome == Outcome.MORE_REMAINS


def _bad_listing(why: str) -> CommandResult:
    return CommandResult(Outcome.BAD_LISTING, detail={"why": why})


def _difference(number: int, found: OnChain | None, wanted: OnChain) -> str:
    if found is None:
        return f"the contract has no token {number}: its admin lists it first"
    if found.address != wanted.address:
        return f"token {number} of the contract is 0x{found.address.hex()}"
    if found.decimals != wanted.decimals:
        return f"the token says that it has {found.decimals} decimals"
    return f"the contract counts {found.unit_scale} units, {wanted.unit_scale} were wanted"
