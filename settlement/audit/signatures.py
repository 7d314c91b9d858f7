"""Does a command say what its owner signed?

The engine reads 64 bytes; what the owner signed stands beside them. An auditor holds the two
together for every order and every withdrawal, so that nothing can be put into anybody's mouth.
"""

from collections.abc import Iterator

from engine.log_entries import CommandRow
from engine.types import MoneyFlag, OrderFlag, Side, TimeInForce
from settlement.orders.catalog import Catalog, Market
from settlement.protocol.eip712 import Domain, order_digest, recover, withdrawal_digest
from settlement.protocol.evidence import OrderBits, SignedOrder, SignedWithdrawal

NS = 10**9


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
    wanted = _terms(market, order)
    for name, value in wanted.items():
        if getattr(row, name) != value:
            yield f"{name} is {getattr(row, name)}, signed was {value}"


def _terms(market: Market, order: SignedOrder) -> dict[str, int]:
    """Return the columns that the signature decides."""
    lots = order.base_amount // market.lot_pips
    single_shot = bool(order.flags & OrderBits.SINGLE_SHOT)
    flags = OrderFlag.SINGLE_SHOT if single_shot else OrderFlag.NONE
    if order.flags & OrderBits.POST_ONLY:
        flags |= OrderFlag.POST_ONLY
    return {
        "market": market.number,
        "side": Side.SELL if order.flags & OrderBits.SELL else Side.BUY,
        "tif": TimeInForce.IOC if single_shot else TimeInForce.GTC,
        "flags": flags,
        "amount": lots,
        "price_ticks": order.quote_amount // (lots * market.tick_pips) if lots else 0,
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
