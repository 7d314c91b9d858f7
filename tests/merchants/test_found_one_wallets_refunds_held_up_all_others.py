"""Found: the withdrawals that are sent next were the 25 of the lowest nonces, whosever they were:
a wallet with so many behind one that waits held up every shop that had paid more refunds before."""

import asyncio

import msgspec

from merchants.records.refunds import RefundVariant
from merchants.sales.refund_payouts import ROWS_MAX
from settlement.protocol.eip712 import address_of_secret, sign, withdrawal_digest
from settlement.protocol.evidence import SignedWithdrawal
from tests.merchants.fixtures import (
    DOLLAR,
    DOMAIN,
    MERCHANT_SECRET,
    NS,
    TOKEN,
    USD,
    World,
)
from tests.merchants.refunding import claimed, look, opened, paid, wallet_signs

OTHER_SECRET = b"\x09" * 32
OTHER = address_of_secret(OTHER_SECRET)


def takes_out(world, secret, nonce):
    """Let an owner take a little out of his account by himself."""
    account = address_of_secret(secret)
    world.venue.fund(account, TOKEN, DOLLAR)
    expiry = world.now_ns // NS + 600
    unsigned = SignedWithdrawal(account, TOKEN, b"\x77" * 20, 5, nonce, expiry, b"", b"")
    digest = withdrawal_digest(DOMAIN, unsigned)
    signed = msgspec.structs.replace(unsigned, digest=digest, signature=sign(digest, secret))
    assert asyncio.run(world.venue.exchange.withdraw(signed)).accepted


def test_each_wallets_refunds_wait_for_its_own_alone(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    invoice = paid(world, store, "100", token="USD")
    for nonce in range(ROWS_MAX + 1):
        refund = opened(world, store, invoice, RefundVariant.CUSTOM, custom_pips=DOLLAR)
        claimed(world, refund)
        wallet_signs(world, store, refund)
        if nonce == 0:
            takes_out(world, MERCHANT_SECRET, 1)  # So the first waits, and all behind it.
    other = world.venue.open_store(wallet=OTHER)
    takes_out(world, OTHER_SECRET, 50)
    refund = opened(world, other, paid(world, other, "5", token="USD"))
    claimed(world, refund)
    wallet_signs(world, other, refund, OTHER_SECRET)
    world.venue.tick()
    world.venue.tick()
    assert world.venue.exchange.balance(OTHER, USD).available == 0, "it was debited"
    assert look(world, other, refund).status == "in_progress"
