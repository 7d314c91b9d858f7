"""What shape has each answer?

Typed dictionaries: mypy holds the code to them, orjson writes them as they are and the OpenAPI
document is generated from them, so none of the three can drift.
"""

from typing import TypedDict


class SettlementState(TypedDict):
    """How far a trade is: matched, batched, submitted, mined or final; or busted: the chain refused
    it and it was undone, so it has moved no money and counts in no figure of the market."""

    state: str
    batch: int | None
    tx_hash: str | None


class Level(TypedDict):
    """One price of a book."""

    price: str
    quantity: str
    price_ticks: int
    lots: int


class BookSnapshot(TypedDict):
    """A book after engine event ``u``."""

    market: str
    u: int
    checksum: int
    bids: list[Level]
    asks: list[Level]


class PublicTrade(TypedDict):
    """One trade; ``side`` is the taker's."""

    trade_id: int
    side: str
    price: str
    quantity: str
    price_ticks: int
    lots: int
    time_ns: str
    settlement: SettlementState


class Trades(TypedDict):
    """The last trades of a market, newest first."""

    market: str
    trades: list[PublicTrade]


class Ticker(TypedDict):
    """Best prices, last price and 24 hours; null where there is none."""

    best_bid: str | None
    best_ask: str | None
    spread: str | None
    last: str | None
    open_24h: str | None
    high_24h: str | None
    low_24h: str | None
    volume_24h: str
    quote_volume_24h: str


class TokenRow(TypedDict):
    """A listed token. One pip is 10**-8 token."""

    number: int
    symbol: str
    address: str
    decimals: int


class MarketRow(TypedDict):
    """A listed market: a lot is ``lot_pips`` of base and costs ``tick_pips`` of quote a tick.

    No order may be worth less quote than ``least_notional``.

    A negative ``maker_fee_ppm`` is a rebate; in an auction a maker then pays and gets nothing.
    """

    symbol: str
    base: TokenRow
    quote: TokenRow
    lot_size: str
    tick_size: str
    least_notional: str
    lot_pips: str
    tick_pips: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    ticker: Ticker


class Markets(TypedDict):
    """All markets."""

    markets: list[MarketRow]


class DomainRow(TypedDict):
    """The EIP-712 domain, as wallets want it."""

    name: str
    version: str
    chainId: int
    verifyingContract: str


class Config(TypedDict):
    """What a client must know before it signs anything.

    ``contract`` is the exchange; ``contracts`` names all: ``exchange``, ``custodian``,
    ``invoice_deposits`` and, where they are deployed, ``collector`` (deposits by signature) and
    ``bond`` (what the operator stakes on its acknowledgements).
    """

    chain_id: int
    contract: str
    contracts: dict[str, str]
    domain: DomainRow
    types: dict[str, str]
    tokens: list[TokenRow]
    fees: dict[str, dict[str, int]]
    fee_max_ppm: int
    pips_per_token: str
    time_ns: str
    version: str


class Nonce(TypedDict):
    """A nonce that the account may use now for a single-shot order."""

    account: str
    single_shot: str


class OwnFill(TypedDict):
    """One of the account's fills."""

    trade_id: int
    order_id: str
    client_id: str
    role: str
    time_ns: str
    market: str
    side: str
    price: str
    quantity: str
    price_ticks: int
    lots: int
    lots_left: int
    fee: str
    fee_pips: str
    settlement: SettlementState


class Fills(TypedDict):
    """The account's last fills, newest first."""

    fills: list[OwnFill]


class OwnOrder(TypedDict):
    """One of the account's orders."""

    order_id: str
    client_id: str
    digest: str
    time_ns: str
    market: str
    side: str
    price: str
    quantity: str
    price_ticks: int
    lots: int
    open: str
    lots_open: int


class OpenOrders(TypedDict):
    """The account's resting orders, oldest first."""

    orders: list[OwnOrder]


class BalanceRow(TypedDict):
    """What the account has of one token."""

    symbol: str
    token: str
    available: str
    held: str
    available_pips: str
    held_pips: str


class Balances(TypedDict):
    """The account's balances, one row a token."""

    account: str
    balances: list[BalanceRow]


class OwnTrade(TypedDict):
    """A fill that an order met when it arrived."""

    trade_id: int
    price: str
    quantity: str
    price_ticks: int
    lots: int
    fee: str


class AcknowledgementRow(TypedDict):
    """The operator's signed word: ``item`` is command ``sequence`` of its log, ``head`` the log's
    hash with it. EIP-712 struct ``Acknowledgement``; ``signer`` is the key that the bond names."""

    sequence: int
    item: str
    head: str
    signer: str
    signature: str


class Placed(TypedDict):
    """An order was taken. It is on disk; ``resting_lots`` of it stand in the book now.

    ``fills`` and ``resting_lots`` are null when the same order had been taken before; the
    ``acknowledgement`` is the first one again, unless so many orders were accepted since that it is
    no longer kept: then it is null and ``acknowledgement_missing`` is ``TOO_OLD``, else null.
    """

    order_id: str
    sequence: int
    time_ns: str
    digest: str
    client_id: str
    fills: list[OwnTrade] | None
    resting_lots: int | None
    acknowledgement: AcknowledgementRow | None
    acknowledgement_missing: str | None


class Cancelled(TypedDict):
    """An order was taken off the book."""

    order_id: str
    sequence: int
    time_ns: str


class Digest(TypedDict):
    """What we would check a signature against, and whom the given one points to."""

    digest: str
    domain: DomainRow
    type_string: str
    recovered: str | None
    signed_by_account: bool


class Opened(TypedDict):
    """A session: send ``token`` as ``Authorization: Bearer``."""

    token: str
    account: str
    expires_at: int


class Withdrawing(TypedDict):
    """A withdrawal was debited; the chain pays after all earlier trades."""

    sequence: int
    time_ns: str
    digest: str


class BatchRow(TypedDict):
    """One settlement batch."""

    batch: int
    state: str
    first_trade: int
    last_trade: int
    tx_hash: str | None


class Batches(TypedDict):
    """The last batches, newest first."""

    batches: list[BatchRow]


class TradeProgress(TypedDict):
    """How far one trade is."""

    trade_id: int
    settlement: SettlementState


class Health(TypedDict):
    """Whether the process may be given work, and what is missing if not."""

    status: str
    missing: list[str]


class Version(TypedDict):
    """Which program answers."""

    name: str
    version: str
