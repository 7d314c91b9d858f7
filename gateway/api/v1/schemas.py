"""What shape has each answer?

Structs: mypy holds the code to them, msgspec writes them, the OpenAPI document is generated from
them and a test holds real answers against it, so none can drift.
"""

from typing import Any

import msgspec


class SettlementState(msgspec.Struct, frozen=True):
    """How far a trade is: matched, batched, submitted, mined or final; or busted: the chain refused
    it and it was undone, so it has moved no money and counts in no figure of the market."""

    state: str
    batch: int | None
    tx_hash: str | None


class Level(msgspec.Struct, frozen=True):
    """One price of a book."""

    price: str
    quantity: str
    price_ticks: int
    lots: int


class BookSnapshot(msgspec.Struct, frozen=True):
    """A book after engine event ``u``."""

    market: str
    u: int
    checksum: int
    bids: list[Level]
    asks: list[Level]


class L3Order(msgspec.Struct, frozen=True):
    """One order in the book, with the lots of it that are in sight."""

    order_id: str
    price_ticks: int
    lots: int


class L3Snapshot(msgspec.Struct, frozen=True):
    """A book order by order after engine event ``u``: best price first, the oldest order of a price
    first, up to 400 of a side. All orders up to ``bids_known_to`` and ``asks_known_to`` ticks are
    here; null if these are all there are. A quantity is ``lots`` times the market's ``lot_size``, a
    price ``price_ticks`` times its ``tick_size``."""

    market: str
    u: int
    checksum: int
    bids: list[L3Order]
    asks: list[L3Order]
    bids_known_to: int | None
    asks_known_to: int | None


class PublicTrade(msgspec.Struct, frozen=True):
    """One trade; ``side`` is the taker's."""

    trade_id: int
    side: str
    price: str
    quantity: str
    price_ticks: int
    lots: int
    time_ns: str
    settlement: SettlementState


class Trades(msgspec.Struct, frozen=True):
    """The last trades of a market, newest first."""

    market: str
    trades: list[PublicTrade]


class Ticker(msgspec.Struct, frozen=True):
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


class MarketTicker(msgspec.Struct, frozen=True):
    """The ticker of a market after engine event ``u``, at ``time_ns``."""

    market: str
    u: int
    time_ns: str
    ticker: Ticker


class Candle(msgspec.Struct, frozen=True):
    """What was traded in the interval that begins at ``start``, in seconds since 1970."""

    start: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trades: int


class Candles(msgspec.Struct, frozen=True):
    """Candles of a market, oldest first; the last may be under way. An interval without trades has
    none. Of each interval the last 1,000 are kept."""

    market: str
    interval: str
    candles: list[Candle]


class Band(msgspec.Struct, frozen=True):
    """The lowest and the highest price at which a market trades now."""

    low: str
    high: str


class MarketStatus(msgspec.Struct, frozen=True):
    """Whether a market takes orders. ``phase`` is ``open``, ``post_only``, ``cancel_only``,
    ``halted``, ``auction`` (orders rest, and trade at one price when it ends) or ``delisted``."""

    market: str
    phase: str
    band: Band | None


class Status(msgspec.Struct, frozen=True):
    """``status`` is ``ready``, ``restricted`` (see ``restrictions``; cancels are taken),
    ``not ready`` (``missing`` says why) or ``draining``: about to close."""

    status: str
    missing: list[str]
    restrictions: list[str]
    time_ns: str
    markets: list[MarketStatus]


class Time(msgspec.Struct, frozen=True):
    """The exchange's clock."""

    time_ns: str


class TokenRow(msgspec.Struct, frozen=True):
    """A listed token. One pip is 10**-8 token."""

    number: int
    symbol: str
    address: str
    decimals: int


class MarketRow(msgspec.Struct, frozen=True):
    """A listed market: a lot is ``lot_pips`` of base and costs ``tick_pips`` of quote a tick.

    No order may be worth less quote than ``least_notional``.

    A negative ``maker_fee_ppm`` is a rebate; in an auction a maker then pays and gets nothing.
    Orders are taken as ``phase`` says (``/v1/status``), from ``min_quantity`` and ``min_price`` to
    ``max_quantity`` and ``max_price``; while there is a ``band``, only prices inside it trade.
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
    phase: str
    band: Band | None
    min_quantity: str
    max_quantity: str
    min_price: str
    max_price: str
    ticker: Ticker


class Markets(msgspec.Struct, frozen=True):
    """All markets."""

    markets: list[MarketRow]


class DomainRow(
    msgspec.Struct,
    frozen=True,
    rename={"chain_id": "chainId", "verifying_contract": "verifyingContract"},
):
    """The EIP-712 domain, as wallets want it."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str


class Config(msgspec.Struct, frozen=True):
    """What a client must know before it signs anything.

    ``contract`` is the exchange; ``contracts`` names all: ``exchange``, ``custodian``,
    ``invoice_deposits`` and, where they are deployed, ``collector`` (deposits by signature) and
    ``bond`` (what the operator stakes on its acknowledgements). ``budgets`` are so many of each
    in ``window_seconds``; ``limits`` bound an order: see ``docs/PROTOCOL.md``.
    """

    chain_id: int
    contract: str
    contracts: dict[str, str]
    domain: DomainRow
    types: dict[str, str]
    tokens: list[TokenRow]
    least_withdrawal: dict[str, str]
    fees: dict[str, dict[str, int]]
    fee_max_ppm: int
    pips_per_token: str
    time_ns: str
    version: str
    budgets: dict[str, int]
    shop_budgets: dict[str, int]
    """Of shops, through all dialects together: so many in a minute, and of ``kept_per_store`` in a
    day."""

    limits: dict[str, int]


class Contract(msgspec.Struct, frozen=True):
    """A contract that the exchange stands on: what its source calls it, where it is, and its ABI
    as the Solidity compiler writes it."""

    name: str
    contract: str
    address: str
    abi: list[dict[str, Any]]


class LaneRow(msgspec.Struct, frozen=True):
    """One half of a lane: a nonce that it takes next, and the order that stands there, or null."""

    lane: int
    upper_half: bool
    nonce: str
    order_id: str | None


class Nonces(msgspec.Struct, frozen=True):
    """Nonces that the account may use now: for a single-shot order (null: it has used up all 40
    bits), for a withdrawal, and on each half of the lanes that were asked for."""

    account: str
    single_shot: str | None
    withdrawal: str
    lanes: list[LaneRow]


class OwnFill(msgspec.Struct, frozen=True):
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


class Fills(msgspec.Struct, frozen=True):
    """The account's last fills, newest first. ``next``, if not null, is the ``before`` of the next
    page; of an account the last 500 are kept."""

    fills: list[OwnFill]
    next: int | None


class OwnOrder(msgspec.Struct, frozen=True):
    """One of the account's orders.

    ``sequence`` is that of the command that placed it. ``ended`` is null while it stands, else
    ``FILLED`` or why it left (``CANCELLED_BY_OWNER``, ``EXPIRED``, ``SELF_TRADE``, ...), with event
    and time. ``lots_filled`` counts lots of trades that were undone later too: see the fills.
    """

    order_id: str
    sequence: int
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
    lots_filled: int
    ended: str | None
    ended_event: int | None
    ended_ns: str | None


class OpenOrders(msgspec.Struct, frozen=True):
    """Resting orders of the account, oldest first. ``next``, if not null, is the ``after`` of the
    next page."""

    orders: list[OwnOrder]
    next: int | None


class EndedOrders(msgspec.Struct, frozen=True):
    """The last orders of the account that ended, first ended first. ``next`` as in open orders.

    ``complete`` says whether all that ended behind ``after`` are here or on the next pages: of an
    account the last 500 are kept.
    """

    orders: list[OwnOrder]
    next: int | None
    complete: bool


class BalanceRow(msgspec.Struct, frozen=True):
    """What the account has of one token."""

    symbol: str
    token: str
    available: str
    held: str
    available_pips: str
    held_pips: str


class Balances(msgspec.Struct, frozen=True):
    """The account's balances, one row a token."""

    account: str
    balances: list[BalanceRow]


class OwnTrade(msgspec.Struct, frozen=True):
    """A fill that an order met when it arrived."""

    trade_id: int
    price: str
    quantity: str
    price_ticks: int
    lots: int
    fee: str


class AcknowledgementRow(msgspec.Struct, frozen=True):
    """The operator's signed word: ``item`` is command ``sequence`` of its log, ``head`` the log's
    hash with it. The EIP-712 struct ``Acknowledgement`` of these is leaf ``index`` of ``count`` of
    a tree, ``siblings`` are its path, bottom up, and ``signature`` is over the struct
    ``Acknowledgements`` of its root; ``signer`` is the key that the bond names. The same order sent
    again gets the same word, perhaps signed in another tree."""

    sequence: int
    item: str
    head: str
    signer: str
    index: int
    count: int
    siblings: list[str]
    signature: str


class Placed(msgspec.Struct, frozen=True):
    """An order was taken. It is on disk; ``resting_lots`` of it stood in the book then, those that
    an iceberg hides too, at ``price``: not the signed one if it was priced again. A stop that waits
    is ``armed`` and rests nowhere yet; ``price`` is its limit.

    ``ended`` is null if any of it rests or waits, else ``FILLED`` or why the rest did not:
    ``IMMEDIATE_REMAINDER`` (nothing more to take at its price), ``SELF_TRADE`` (it met an order of
    its own account), ``NOT_FILLABLE_WHOLE`` (fill or kill), ``FILLS_EXHAUSTED`` (64 fills), ...
    ``removed_lots`` left without a trade: those, and what a self-trade mode of decrement took off
    before. The same order again gets the same answer
    for as long as it is remembered. The ``acknowledgement`` is null, and then
    ``acknowledgement_missing`` is ``TOO_OLD``, when so many orders were accepted since that it is
    no longer kept.
    """

    order_id: str
    sequence: int
    time_ns: str
    digest: str
    client_id: str
    fills: list[OwnTrade] | None
    resting_lots: int | None
    ended: str | None
    removed_lots: int | None
    armed: bool | None
    price: str | None
    price_ticks: int | None
    acknowledgement: AcknowledgementRow | None
    acknowledgement_missing: str | None


class Cancelled(msgspec.Struct, frozen=True):
    """An order was taken off the book."""

    order_id: str
    sequence: int
    time_ns: str


class Digest(msgspec.Struct, frozen=True):
    """What we would check a signature against, and whom the given one points to."""

    digest: str
    domain: DomainRow
    type_string: str
    recovered: str | None
    signed_by_account: bool


class Opened(msgspec.Struct, frozen=True):
    """A session: send ``token`` as ``Authorization: Bearer``."""

    token: str
    account: str
    expires_at: int


class LogonNonce(msgspec.Struct, frozen=True):
    """A nonce for one EIP-4361 message, good until ``expires_at`` (unix seconds), and what else the
    message has to say: ``domain``, ``uri``, ``version``, ``chain_id``, and ``resource`` among its
    resources, so that what is signed for another site opens no session here."""

    nonce: str
    expires_at: int
    domain: str
    uri: str
    version: str
    chain_id: int
    resource: str


class Withdrawing(msgspec.Struct, frozen=True):
    """A withdrawal was debited; the chain pays after all earlier trades."""

    sequence: int
    time_ns: str
    digest: str


class BatchRow(msgspec.Struct, frozen=True):
    """One settlement batch."""

    batch: int
    state: str
    first_trade: int
    last_trade: int
    tx_hash: str | None


class Batches(msgspec.Struct, frozen=True):
    """The last batches, newest first."""

    batches: list[BatchRow]


class TradeProgress(msgspec.Struct, frozen=True):
    """How far one trade is."""

    trade_id: int
    settlement: SettlementState


class Health(msgspec.Struct, frozen=True):
    """Whether the process may be given work, and what is missing if not."""

    status: str
    missing: list[str]


class Version(msgspec.Struct, frozen=True):
    """Which program answers."""

    name: str
    version: str
