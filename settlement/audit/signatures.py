"""Does a command say what its owner signed?

The engine reads 64 bytes; what the owner signed stands beside them. An auditor holds the two
together for every order and every withdrawal, so that nothing can be put into anybody's mouth.
What a signature means is said here once more, and not asked of the code that made the command: an
order that was to trigger elsewhere, to show less or to be all or nothing is found by it.
"""

from collections.abc import Iterator

from engine.commands import Kind
from engine.log_entries import CommandRow
from engine.types import MoneyFlag, OrderFlag, Side, TimeInForce
from settlement.orders.catalog import Catalog, Market
from settlement.protocol.eip712 import Domain, order_digest, recover, withdrawal_digest
from settlement.protocol.evidence import OrderBits, SignedOrder, SignedWithdrawal

NS = 10**9

OLD_ORDERS = ("market", "side", "order_id")
"""Columns of a REPLACE that say which order gives way: a wallet signs no such thing."""

INSTRUCTIONS = {
    OrderBits.SINGLE_SHOT: OrderFlag.SINGLE_SHOT,
    OrderBits.POST_ONLY: OrderFlag.POST_ONLY,
    OrderBits.REPRICE: OrderFlag.REPRICE,
    OrderBits.STOP: OrderFlag.STOP,
    OrderBits.ICEBERG: OrderFlag.ICEBERG,
}
SELF_TRADE_MODES = {
    0: OrderFlag.NONE,
    256: OrderFlag.SELF_EXPIRE_MAKER,
    512: OrderFlag.SELF_EXPIRE_BOTH,
    768: OrderFlag.SELF_DECREMENT,
}
"""By the two signed bits."""

SELF_TRADE_BITS = 768
FLAGS_END = 2048
ALONE = (
    (OrderBits.SINGLE_SHOT, (4, 8, 32, 64, 128, 1024)),
    (OrderBits.STOP, (8, 128)),
    (OrderBits.IMMEDIATE, (16,)),
)
"""Signed bits, and those that none of them goes with."""

ONLY_WITH = (
    (OrderBits.FILL_OR_KILL, 2 | 64),
    (OrderBits.REPRICE, 8),
    (OrderBits.IMMEDIATE, 64),
)
"""Signed bits, and those of which each needs one."""


def order_faults(
    catalog: Catalog, domain: Domain, row: CommandRow, order: SignedOrder
) -> Iterator[str]:
    """Yield what is wrong between the command of an order and its signature."""
    if order_digest(domain, order) != order.digest:
        yield "the digest is not the order's"
    if recover(order.digest, order.signature) != order.signer:
        yield "the signature is not the signer's"
    if row.account >= catalog.account_count:
        yield "the account was never opened"
    elif catalog.address_of(row.account) != order.account:
        yield "the order is another account's"
    market = catalog.market_of_pair(order.base, order.quote)
    if market is None:
        yield "there is no such market"
        return
    if row.kind == Kind.REPLACE:
        yield f"it takes order {row.order_id} off the book, and no signature names that"
    yield from _contradictions(order)
    yield from _remainders(market, order)
    for name, value in _terms(market, order).items():
        if row.kind == Kind.REPLACE and name in OLD_ORDERS:
            continue
        if getattr(row, name) != value:
            yield f"{name} is {getattr(row, name)}, signed was {value}"


def _contradictions(order: SignedOrder) -> Iterator[str]:
    """Yield why no order can have these flags."""
    bits = order.flags
    if bits >= FLAGS_END:
        yield f"the flags {bits} that were signed have no meaning"
    for bit, others in ALONE:
        if bits & bit and any(bits & other for other in others):
            yield f"the flags {bits} that were signed contradict {bit.name}"
    for bit, needed in ONLY_WITH:
        if bits & bit and not bits & needed:
            yield f"the flags {bits} that were signed leave {bit.name} without meaning"
    if order.trigger_or_display and not bits & (OrderBits.STOP | OrderBits.ICEBERG):
        yield "a trigger or display was signed for an order that has none"


def _remainders(market: Market, order: SignedOrder) -> Iterator[str]:
    """Yield which signed amounts no whole lots and ticks say."""
    lots, rest = divmod(order.base_amount, market.lot_pips)
    step = max(lots, 1) * market.tick_pips
    if rest:
        yield f"{order.base_amount} signed pips are no whole lots"
    if order.quote_amount % step:
        yield f"{order.quote_amount} signed pips are no whole ticks"
    special = market.lot_pips if order.flags & OrderBits.ICEBERG else step
    if order.trigger_or_display % special:
        yield f"{order.trigger_or_display} signed pips of trigger or display are no whole steps"


def _terms(market: Market, order: SignedOrder) -> dict[str, int]:
    """Return the columns that the signature decides."""
    bits, lots = order.flags, order.base_amount // market.lot_pips
    step = max(lots, 1) * market.tick_pips
    flags = SELF_TRADE_MODES[bits & SELF_TRADE_BITS]
    for bit, flag in INSTRUCTIONS.items():
        if bits & bit:
            flags |= flag
    tif = TimeInForce.GTC
    if bits & (OrderBits.SINGLE_SHOT | OrderBits.IMMEDIATE):
        tif = TimeInForce.IOC
    if bits & OrderBits.FILL_OR_KILL:
        tif = TimeInForce.FOK
    special = 0
    if bits & OrderBits.ICEBERG:
        special = order.trigger_or_display // market.lot_pips
    elif bits & OrderBits.STOP:
        special = order.trigger_or_display // step
    return {
        "market": market.number,
        "side": Side.SELL if bits & OrderBits.SELL else Side.BUY,
        "tif": tif,
        "flags": flags,
        "order_id": special,
        "amount": lots,
        "price_ticks": order.quote_amount // step,
        "fee_cap_ppm": order.max_fee_ppm,
        "expiry_ns": order.expiry * NS,
    }


def withdrawal_faults(
    catalog: Catalog, domain: Domain, row: CommandRow, withdrawal: SignedWithdrawal
) -> Iterator[str]:
    """Yield what is wrong between the command of a withdrawal and its signature."""
    digest = withdrawal_digest(domain, withdrawal)
    if digest != withdrawal.digest or recover(digest, withdrawal.signature) != withdrawal.account:
        yield "the withdrawal is not signed by its account"
    token = catalog.token_by_address(withdrawal.token)
    if token is None or token.number != row.token:
        yield "the withdrawal is of another token"
    if row.amount != withdrawal.amount:
        yield f"{row.amount} pips are debited, signed were {withdrawal.amount}"
    if row.flags != MoneyFlag.NONE:
        yield "the withdrawal is forced, as only what was paid is"
    if row.account >= catalog.account_count:
        yield "the account was never opened"
    elif catalog.address_of(row.account) != withdrawal.account:
        yield "the withdrawal is another account's"
