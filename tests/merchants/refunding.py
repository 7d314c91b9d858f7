"""What people do about a refund, over the fixtures' world."""

from merchants.records.refunds import RefundVariant
from merchants.records.rejection import Rejection
from merchants.sales.refunds import RefundRequest
from settlement.protocol.eip712 import sign
from settlement.protocol.evidence import SignedWithdrawal, decode
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    MERCHANT_SECRET,
    address_bytes,
    due_raw,
    option,
)

CUSTOMER_WALLET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ELSEWHERE = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def paid(world, store, amount="50", token="TOKEN", raw=None):
    """Return an invoice that was paid, swept and settled, or paid ``raw``."""
    invoice = world.venue.invoice(store, amount=amount, token=token)
    return pay(world, invoice, raw)


def pay(world, invoice, raw=None):
    """Let the customer pay an invoice; return it as it is when all is swept and settled."""
    address = world.venue.catalog.token(option(invoice).token).address
    world.transfer(address_bytes(invoice.deposit_address), raw or due_raw(invoice), address)
    world.confirm(CONFIRMATIONS)
    for _ in range(2):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
    world.venue.tick()
    return world.venue.merchants.reader.invoice(invoice.id)


def opened(world, store, invoice, variant=RefundVariant.RATE_THEN, **fields):
    """Return a refund, or why there is none."""
    request = RefundRequest(variant, **fields)
    return world.venue.merchants.refunding.refunds.create(store.store_id, invoice.id, request)


def claimed(world, refund, address=CUSTOMER_WALLET):
    """Let the customer follow his link."""
    refunds = world.venue.merchants.refunding.refunds
    return refunds.claim(refund.id, refunds.claim_key(refund.id), address)


def part_claimed(world, refund, pips, address=CUSTOMER_WALLET):
    """Let the customer claim a part by his link."""
    refunds = world.venue.merchants.refunding.refunds
    return refunds.claim(refund.id, refunds.claim_key(refund.id), address, pips)


def wallet_signs(world, store, refund, secret=MERCHANT_SECRET):
    """Let the store's wallet sign what pays a refund; return what it is told, or why not."""
    payouts = world.venue.merchants.refunding.payouts
    asked = payouts.compose(store.store_id, refund.id)
    if isinstance(asked, Rejection):
        return asked
    return payouts.sign(store.store_id, refund.id, sign(asked.digest, secret))


def chain_pays(world):
    """Let the chain have paid all that was debited, for good."""
    world.withdrawal_words = {None: "final"}
    world.pass_time(10)
    world.venue.tick()


def withdrawals(world):
    """Return what the journal has of withdrawals that were debited."""
    found = [decode(attachment) for _, attachment in world.entries]
    return [one for one in found if isinstance(one, SignedWithdrawal)]


def look(world, store, refund):
    """Return a refund as the shop sees it now."""
    return world.venue.merchants.reader.refund(store.store_id, refund.id)
