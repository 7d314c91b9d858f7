"""Which order sells tokens under a grant?"""

from merchants.records.grants import Grant
from merchants.records.pots import pot_ref
from merchants.records.tables import Conversion
from settlement.orders.catalog import Market
from settlement.protocol.evidence import OrderBits, SignedOrder


def unsigned_order(
    conversion: Conversion,
    grant: Grant,
    market: Market,
    lots: int,
    ticks: int,
    *,
    nonce: int,
    expiry: int,
) -> SignedOrder:
    """Return a limit order for ``lots`` of a sale at ``ticks`` or better, good until ``expiry``
    (Unix seconds); digest and signature are empty."""
    invoice = conversion.invoice
    return SignedOrder(
        account=grant.wallet,
        nonce=nonce,
        flags=OrderBits.SELL | OrderBits.SINGLE_SHOT,
        lane=0,
        base=market.base.address,
        quote=market.quote.address,
        base_amount=market.base_pips(lots),
        quote_amount=market.quote_pips(lots, ticks),
        trigger_or_display=0,
        expiry=expiry,
        max_fee_ppm=market.taker_fee_ppm,
        ref=pot_ref(conversion.store_id) if conversion.from_pot else invoice.ref,
        signature=b"",
        signer=grant.key_address,
        digest=b"",
    )
