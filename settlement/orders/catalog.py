"""Which tokens, markets and accounts exist, by the names the outside world uses?

The engine knows dense numbers only. The catalog reads each batch before all consumers and gives it
the markets as they were then. It is rebuilt from the journal at every start, so number and address
can never drift apart.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.commands import Kind, market_terms, market_tokens
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from engine.types import PIPS_PER_TOKEN
from settlement.protocol.evidence import (
    AccountOpened,
    MarketListing,
    TokenListing,
    evidence_of,
    listing_of,
)

_LISTINGS: Final = tuple(map(int, (Kind.LIST_TOKEN, Kind.LIST_MARKET, Kind.OPEN_ACCOUNT)))
_LISTED: Final = frozenset(
    map(int, (EventKind.TOKEN_LISTED, EventKind.MARKET_LISTED, EventKind.ACCOUNT_OPENED))
)


class Token(NamedTuple):
    """A listed token; ``unit_scale`` as in ``TokenListing``."""

    number: int
    symbol: str
    address: bytes
    decimals: int
    unit_scale: int

    def raw_of(self, pips: int) -> int:
        """Return raw units on chain, rounded down where a pip is finer than a raw unit."""
        return pips * self.unit_scale if self.unit_scale > 0 else pips // -self.unit_scale

    def pips_of(self, raw: int) -> int:
        """Return whole pips in ``raw`` units, rounded down."""
        return raw // self.unit_scale if self.unit_scale > 0 else raw * -self.unit_scale


class Market(NamedTuple):
    """A listed market. One lot is ``lot_pips`` of base and costs ``tick_pips`` of quote a tick."""

    number: int
    symbol: str
    base: Token
    quote: Token
    lot_pips: int
    tick_pips: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    least_notional_pips: int = 0
    """No order may be worth less quote than this."""

    @property
    def tick_size_pips(self) -> int:
        """Return the price step: quote pips per whole base token."""
        return self.tick_pips * PIPS_PER_TOKEN // self.lot_pips

    def base_pips(self, lots: int) -> int:
        """Return base pips in ``lots``."""
        return lots * self.lot_pips

    def quote_pips(self, lots: int, price_ticks: int) -> int:
        """Return what ``lots`` cost at ``price_ticks``, in quote pips, exactly."""
        return lots * price_ticks * self.tick_pips


class _Memory(msgspec.Struct):
    tokens: list[Token]
    markets: tuple[Market, ...]
    accounts: list[bytes]


class Catalog:
    """All listings and accounts, in both directions, as they are now; an
    ``engine.log_entries.Directory``. Who translates what is past asks the batch for its markets."""

    checkpoint_name = "catalog/1"

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.markets: tuple[Market, ...] = ()
        """Never changed but replaced: batches keep what was."""

        self._token_by_address: dict[bytes, Token] = {}
        self._token_by_symbol: dict[str, Token] = {}
        self._market_by_symbol: dict[str, Market] = {}
        self._market_by_pair: dict[tuple[bytes, bytes], Market] = {}
        self._accounts: list[bytes] = []
        self._account_by_address: dict[bytes, int] = {}

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(_Memory(self.tokens, self.markets, self._accounts))

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        for token in saved.tokens:
            self._list_token(token)
        for market in saved.markets:
            self._list_market(market)
        for address in saved.accounts:
            self._open_account(address)

    def read(self, batch: Committed) -> Iterator[Committed]:
        """See ``engine.log_entries.Directory``."""
        for segment in batch.segments():
            self._take_listings(segment)
            known = segment.meant_in(self.markets)
            if segment.changes_terms and segment.events[-1]["kind"] == EventKind.TERMS_SET:
                self._change_terms(segment.commands[-1])
            yield known

    def _take_listings(self, batch: Committed) -> None:
        if not batch.has(_LISTINGS):
            return
        for entry in batch.entries:
            answer = entry.answer
            if len(answer) and answer[0].kind in _LISTED:
                self._take(entry)

    def _take(self, entry: LogEntry) -> None:
        row, attachment = entry.command, listing_of(evidence_of(entry))
        match attachment:
            case TokenListing():
                token = Token(len(self.tokens), *msgspec.structs.astuple(attachment))
                assert token.number == row.token, "listings are dense"
                self._list_token(token)
            case MarketListing():
                base, quote = market_tokens(entry.row)
                market = Market(
                    number=row.market,
                    symbol=attachment.symbol,
                    base=self.tokens[base],
                    quote=self.tokens[quote],
                    **market_terms(entry.row)._asdict(),
                )
                assert market.number == len(self.markets), "listings are dense"
                self._list_market(market)
            case AccountOpened():
                assert row.account == len(self._accounts), "accounts are dense"
                self._open_account(attachment.address)
            case _:
                raise AssertionError(f"listing {entry.sequence} has no evidence")

    def _change_terms(self, row: np.void) -> None:
        number = int(row["market"])
        market = self.markets[number]._replace(**market_terms(row)._asdict())
        self.markets = (*self.markets[:number], market, *self.markets[number + 1 :])
        self._market_by_symbol[market.symbol] = market
        self._market_by_pair[market.base.address, market.quote.address] = market

    def _list_token(self, token: Token) -> None:
        self.tokens.append(token)
        self._token_by_address[token.address] = token
        self._token_by_symbol[token.symbol] = token

    def _list_market(self, market: Market) -> None:
        self.markets = (*self.markets, market)
        self._market_by_symbol[market.symbol] = market
        self._market_by_pair[market.base.address, market.quote.address] = market

    def _open_account(self, address: bytes) -> None:
        self._account_by_address[address] = len(self._accounts)
        self._accounts.append(address)

    def market(self, symbol: str) -> Market | None:
        """Return the market called ``symbol``, for example ``TOKEN-USD``."""
        return self._market_by_symbol.get(symbol)

    def market_of_pair(self, base: bytes, quote: bytes) -> Market | None:
        """Return the market of two token addresses."""
        return self._market_by_pair.get((base, quote))

    def token(self, symbol: str) -> Token | None:
        """Return the token called ``symbol``."""
        return self._token_by_symbol.get(symbol)

    def token_by_address(self, address: bytes) -> Token | None:
        """Return the token at ``address``."""
        return self._token_by_address.get(address)

    def account_number(self, address: bytes) -> int | None:
        """Return the engine's number of a wallet; None before its first deposit."""
        return self._account_by_address.get(address)

    def address_of(self, account: int) -> bytes:
        """Return the wallet behind an engine account number; IndexError if there is none."""
        return self._accounts[account]

    @property
    def account_count(self) -> int:
        """Return how many accounts are open."""
        return len(self._accounts)
