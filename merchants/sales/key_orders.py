"""Which order does a key of ours sign, to sell a shop's tokens or to buy what a refund pays?"""

from typing import NamedTuple

import msgspec

from merchants.stores.keyring import Keyring
from settlement.orders.catalog import Market
from settlement.ports import ExchangePort
from settlement.protocol.eip712 import order_digest, sign
from settlement.protocol.evidence import OrderBits, SignedOrder


class KeyTerms(NamedTuple):
    """For whose account which key signs, how, for what, at what fee at most."""

    account: bytes
    key: bytes
    flags: OrderBits
    ref: bytes
    max_fee_ppm: int


def signed_order(
    exchange: ExchangePort,
    keyring: Keyring,
    terms: KeyTerms,
    market: Market,
    lots: int,
    ticks: int,
    expiry: int,
) -> SignedOrder:
    """Return an order for ``lots`` at ``ticks`` or better, good until ``expiry`` (Unix seconds),
    under the account's next nonce."""
    unsigned = SignedOrder(
        account=terms.account,
        nonce=exchange.next_nonce(terms.account),
        flags=terms.flags,
        lane=0,
        base=market.base.address,
        quote=market.quote.address,
        base_amount=market.base_pips(lots),
        quote_amount=market.quote_pips(lots, ticks),
        trigger_or_display=0,
        expiry=expiry,
        max_fee_ppm=terms.max_fee_ppm,
        ref=terms.ref,
        signature=b"",
        signer=terms.key,
        digest=b"",
    )
    digest = order_digest(exchange.domain, unsigned)
    signature = sign(digest, keyring.get(terms.key))
    return msgspec.structs.replace(unsigned, digest=digest, signature=signature)
