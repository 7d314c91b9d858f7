"""How do orders, cancels and withdrawals look in the native JSON, and their answers?

Shared by REST and WebSocket: check shape and bounds, hand on to order entry, translate the result.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct, to_builtins

from engine.command_result import CommandResult
from engine.events import EventKind
from engine.log_entries import EventRow
from engine.types import Outcome
from gateway.api.services import Services
from gateway.api.v1.encoding import (
    UINT32_MAX,
    Address,
    Digits,
    Signature,
    Uint32,
    address,
    decimal_text,
    hexed,
    pips,
    price_text,
    quantity_text,
    uint64,
    unhex,
)
from gateway.api.v1.order_texts import (
    DIGITS,
    DIGITS_MAX,
    AddressText,
    AmountText,
    ClientIdText,
    SignatureText,
    client_id_in,
    hex_of,
    octets_in,
    pips_in,
    shown_as,
    uint64_in,
)
from gateway.api.v1.schemas import (
    AcknowledgementRow,
    Cancelled,
    Digest,
    DomainRow,
    OwnTrade,
    Placed,
    Withdrawing,
)
from gateway.trading.order_entry import OrderEntry
from gateway.trading.recv_window import WINDOW_MS, WINDOW_MS_MAX, RecvWindow, window_of
from gateway.trading.rejection import Rejection
from gateway.views.order_history import FILLED
from settlement.batches.acknowledgements import Acknowledgement
from settlement.orders.catalog import Market
from settlement.orders.nonces import LANE_FIRST, LANE_LAST
from settlement.protocol.eip712 import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    HASH_SIZE,
    ORDER_TYPE,
    SIGNATURE_SIZE,
    WITHDRAWAL_TYPE,
    Domain,
)
from settlement.protocol.evidence import KNOWN_BITS, OrderBits, SignedOrder, SignedWithdrawal

SINGLE_SHOT: Final = int(OrderBits.SINGLE_SHOT)
FEE_CAP_MAX: Final = 2**16 - 1

# As plain numbers: reading a member of an enum costs Python 3.11 more than all else there.
_ACCEPTED: Final = Outcome.ACCEPTED
_WRONG_SIGNER: Final = (Outcome.BAD_SIGNATURE, Outcome.UNKNOWN_KEY)
_TRADE: Final = int(EventKind.TRADE)
_ACCEPTED_EVENT: Final = int(EventKind.ACCEPTED)
_STANDS: Final = frozenset({int(EventKind.RESTED), int(EventKind.ARMED)})
_ARMED: Final = int(EventKind.ARMED)
_AMENDED: Final = int(EventKind.AMENDED)
_ENDS: Final = frozenset({int(EventKind.UNFILLED), int(EventKind.CANCELLED)})

_RENAMED: Final = {
    "base_amount": "baseAmount",
    "quote_amount": "quoteAmount",
    "trigger_or_display": "triggerOrDisplay",
    "max_fee_ppm": "maxFeePpm",
}


Nonce = Annotated[
    str,
    shown_as(
        DIGITS,
        DIGITS_MAX,
        "used once; which one is free says /v1/nonces. Single shot: above 0 and below "
        "2**40, not used in the window of 24; else above the last of its half of the lane",
    ),
]
Reference = Annotated[
    str, hex_of(32, "what the trader or a shop knows the order by, signed with it; zeros for none")
]


class UnsignedOrder(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, rename=_RENAMED):
    """The EIP-712 ``Order`` under the names that the wallet signs; amounts in pips."""

    account: AddressText
    nonce: Nonce
    flags: Annotated[
        int,
        Meta(
            ge=0,
            le=KNOWN_BITS,
            description="sum of 1 sell (else buy), 2 single shot (immediate or cancel), 4 upper "
            "half of the lane, 8 post only, 16 fill or kill (with 2 or 64), 32 re-price (with 8), "
            "64 stop, 128 iceberg, 1024 immediate (with 64), and for its own orders that it meets "
            "0 (the incoming leaves), 256 (the resting), 512 (both) or 768 (both lose the "
            "smaller). 4, 8, 64 and 128 only without 2; 64 neither with 8 nor with 128",
        ),
    ]
    lane: Annotated[
        int,
        Meta(
            ge=0,
            le=LANE_LAST,
            description="0 for a single shot, else 32768 to 65535: each half carries one order",
        ),
    ]
    base: AddressText
    quote: AddressText
    base_amount: AmountText
    quote_amount: AmountText
    trigger_or_display: Annotated[
        str,
        shown_as(
            DIGITS,
            DIGITS_MAX,
            "of a stop the quote pips that baseAmount costs at the price that triggers "
            "it, of an iceberg the base pips that it shows; 0 of any other order",
        ),
    ] = "0"
    expiry: Annotated[
        int,
        Meta(
            ge=0,
            le=UINT32_MAX,
            description="unix seconds: from then on it trades no more; at most 30 days ahead",
        ),
    ]
    max_fee_ppm: Annotated[
        int,
        Meta(
            ge=0, le=FEE_CAP_MAX, description="the highest fee that the order pays, in millionths"
        ),
    ]
    ref: Reference


SentMs = (
    Annotated[
        int,
        Meta(
            ge=0,
            le=2**53,
            description="when it was sent, unix milliseconds; refused (DEADLINE_PASSED) where it "
            "is carried out later than recv_window_ms behind that, or comes a second before it",
        ),
    ]
    | None
)
RecvWindowMs = (
    Annotated[
        int, Meta(ge=1, le=WINDOW_MS_MAX, description=f"with sent_ms; {WINDOW_MS} if left out")
    ]
    | None
)


class PlaceOrder(UnsignedOrder, frozen=True, kw_only=True, rename=_RENAMED):
    """A signed order, exactly as the wallet showed it, and the signature."""

    signature: SignatureText
    client_id: ClientIdText = ""
    sent_ms: SentMs = None
    recv_window_ms: RecvWindowMs = None


class DryRun(UnsignedOrder, frozen=True, kw_only=True, rename=_RENAMED):
    """An order whose digest somebody wants to compare; the signature may be left out."""

    signature: SignatureText | None = None
    client_id: ClientIdText = ""


class Withdraw(Struct, forbid_unknown_fields=True, frozen=True):
    """The EIP-712 ``Withdrawal`` and the owner's signature; ``amount`` in pips."""

    account: Address
    token: Address
    amount: Digits
    to: Address
    nonce: Digits
    expiry: Uint32
    signature: Signature


def checked_order(order: PlaceOrder | DryRun) -> SignedOrder:
    """Return the order in the house's own form, all bounds checked, signer and digest empty."""
    single_shot = bool(order.flags & SINGLE_SHOT)
    if single_shot != (order.lane == 0) or 0 < order.lane < LANE_FIRST:
        raise Rejection(
            Outcome.BAD_LANE,
            "lane is 0 for a single-shot order and 32768 to 65535 for any other",
            {"lane": str(order.lane), "single_shot": single_shot},
        )
    return SignedOrder(
        address(order.account, "account"),
        uint64_in(order.nonce, "nonce"),
        order.flags,
        order.lane,
        address(order.base, "base"),
        address(order.quote, "quote"),
        pips_in(order.base_amount, "baseAmount"),
        pips_in(order.quote_amount, "quoteAmount"),
        uint64_in(order.trigger_or_display, "triggerOrDisplay"),
        order.expiry,
        order.max_fee_ppm,
        octets_in(order.ref, HASH_SIZE, "ref"),
        b"" if order.signature is None else octets_in(order.signature, SIGNATURE_SIZE, "signature"),
        signer=b"",
        digest=b"",
        client_id=client_id_in(order.client_id),
    )


def timely(services: Services, sent_ms: int | None, lasts_ms: int | None) -> RecvWindow | None:
    """Return the window that a request states; refused if it has passed already."""
    window = window_of(sent_ms, lasts_ms)
    if window is not None:
        window.require(services.exchange.now_ns())
    return window


async def submit_order(
    services: Services, entry: OrderEntry, order: SignedOrder, window: RecvWindow | None
) -> Placed:
    """Place a verified order; the answer comes after the journal has it."""
    return placed_answer(services, order, await entry.place(order, window))


def placed_answer(services: Services, order: SignedOrder, result: CommandResult) -> Placed:
    """Return what the client is told about ``order``; raises ``Rejection`` if it was rejected."""
    if result.outcome in _WRONG_SIGNER:
        raise bad_signature(result.outcome, services.exchange.domain, order)
    require(result)
    market = services.exchange.catalog.market_of_pair(order.base, order.quote)
    assert market is not None, "an accepted order has a market"
    return placed(order, result, market, services.acknowledge(result.sequence))


def cancelled(order_id: int, result: CommandResult) -> Cancelled:
    """Return what the client is told about a cancel; raises ``Rejection`` if it was rejected."""
    require(result)
    return Cancelled(
        order_id=str(order_id),
        sequence=result.sequence,
        time_ns=str(result.time_ns),
    )


async def submit_withdrawal(domain: Domain, entry: OrderEntry, asked: Withdraw) -> Withdrawing:
    """Debit what the owner's own wallet signed."""
    unsigned = SignedWithdrawal(
        address(asked.account, "account"),
        address(asked.token, "token"),
        address(asked.to, "to"),
        pips(asked.amount, "amount"),
        uint64(asked.nonce, "nonce"),
        asked.expiry,
        unhex(asked.signature),
        digest=b"",
    )
    digest, signer, result = await entry.withdraw(unsigned)
    if signer != unsigned.account:
        raise wrong_signer(result.outcome, domain, digest, WITHDRAWAL_TYPE, signer)
    require(result)
    return Withdrawing(
        sequence=result.sequence,
        time_ns=str(result.time_ns),
        digest=hexed(digest),
    )


def require(result: CommandResult) -> None:
    """Raise ``Rejection`` unless it happened."""
    if result.outcome is not _ACCEPTED:
        figures: dict[str, object] = dict(result.detail)
        if result.sequence:
            figures["sequence"] = result.sequence
        raise Rejection(result.outcome, result.detail.get("why", ""), figures)


def placed(
    order: SignedOrder, result: CommandResult, market: Market, word: Acknowledgement | None
) -> Placed:
    """Return what the client is told about an accepted order."""
    fate = None if result.events is None else _fate(result.order_id, result.events, market)
    stand = None if fate is None else fate.stand
    return Placed(
        order_id=str(result.order_id),
        sequence=result.sequence,
        time_ns=str(result.time_ns),
        digest=hexed(order.digest),
        client_id=order.client_id,
        fills=None if fate is None else fate.fills,
        resting_lots=None if fate is None else fate.resting_lots,
        ended=None if fate is None else fate.ended,
        removed_lots=None if fate is None else fate.removed_lots,
        armed=None if fate is None else fate.stand is not None and fate.stand.kind == _ARMED,
        price=None if stand is None else price_text(market, stand.price_ticks),
        price_ticks=None if stand is None else stand.price_ticks,
        acknowledgement=None if word is None else acknowledgement_row(word),
        acknowledgement_missing="TOO_OLD" if word is None else None,
    )


class _Fate(NamedTuple):
    """What became of an order as it came in."""

    fills: list[OwnTrade]
    resting_lots: int
    ended: str | None
    removed_lots: int
    stand: EventRow | None
    """What says that it rests or waits for its trigger, and at which limit; None if it is over."""


def _fate(order_id: int, events: Sequence[EventRow], market: Market) -> _Fate:
    fills: list[OwnTrade] = []
    resting, removed, lots_open, ended = 0, 0, 0, None
    stand: EventRow | None = None
    for event in events:
        kind, lots = event.kind, event.amount
        left = lots + event.maker_left
        # The stops that an order wakes trade in the same breath: those are not its fills.
        if kind == _TRADE and event.maker_id == order_id:
            resting, ended = event.maker_left, None if event.maker_left else FILLED
            lots_open = event.maker_left
        elif event.order_id != order_id:
            continue
        elif kind == _TRADE:
            fill = OwnTrade(
                trade_id=event.trade_id,
                price=price_text(market, event.price_ticks),
                quantity=quantity_text(market, lots),
                price_ticks=event.price_ticks,
                lots=lots,
                fee=decimal_text(event.fee_pips),
            )
            fills.append(fill)
            lots_open, ended = event.order_left, None if event.order_left else FILLED
        elif kind == _ACCEPTED_EVENT:
            lots_open = lots
        elif kind == _AMENDED:  # It met an order of its own account: both became smaller.
            removed, lots_open = removed + lots_open - left, left
            resting = min(resting, left)
        elif kind in _STANDS:
            stand, resting = event, 0 if kind == _ARMED else left
        elif kind in _ENDS:
            resting, removed, ended = 0, removed + left, Outcome(event.outcome).name
    return _Fate(fills, resting, ended, removed, None if ended else stand)


def acknowledgement_row(word: Acknowledgement) -> AcknowledgementRow:
    """Return the operator's word with its path and signature, as it is answered."""
    return AcknowledgementRow(
        sequence=word.sequence,
        item=hexed(word.item),
        head=hexed(word.head),
        signer=hexed(word.signer),
        index=word.leaf_index,
        count=word.leaf_count,
        siblings=[hexed(sibling) for sibling in word.siblings],
        signature=hexed(word.signature),
    )


def domain_row(domain: Domain) -> DomainRow:
    """Return the EIP-712 domain as wallets want it."""
    return DomainRow(
        name=DOMAIN_NAME,
        version=DOMAIN_VERSION,
        chain_id=domain.chain_id,
        verifying_contract=hexed(domain.contract),
    )


def digest_row(domain: Domain, order: SignedOrder) -> Digest:
    """Return what a signature over ``order`` is checked against."""
    return Digest(
        digest=hexed(order.digest),
        domain=domain_row(domain),
        type_string=ORDER_TYPE,
        recovered=hexed(order.signer) if order.signer else None,
        signed_by_account=order.signer == order.account,
    )


def bad_signature(outcome: Outcome, domain: Domain, order: SignedOrder) -> Rejection:
    """Return the rejection of an order's signature."""
    return wrong_signer(outcome, domain, order.digest, ORDER_TYPE, order.signer or None)


def wrong_signer(
    outcome: Outcome, domain: Domain, digest: bytes, type_text: str, signer: bytes | None
) -> Rejection:
    """Return a rejection that shows all a trader needs to find the mistake alone."""
    reason = (
        "no key can have made this signature (65 bytes r, s, v; low s; v 27 or 28)"
        if signer is None
        else f"the signature is by {hexed(signer)}: not the account, nor a live session key of it"
    )
    figures = {
        "digest": hexed(digest),
        "domain": to_builtins(domain_row(domain)),
        "type_string": type_text,
        "recovered": None if signer is None else hexed(signer),
    }
    return Rejection(outcome, reason, figures)
