"""How is a trade undone that the contract will never accept?

By a command like everything else, so that ledger, journal and auditors agree on it: the money goes
back between the two accounts and the fees, and the trade's number is in the attachment. Open lots
do not come back.
"""

import numpy as np

from engine import commands
from engine.commands import BustTerms
from settlement.batches.encode import Bust, MatchedTrade, signed_fee_pips
from settlement.orders.catalog import Catalog
from settlement.protocol.evidence import KeyUse, TradeBusted


def bust_command(catalog: Catalog, trade: MatchedTrade) -> np.void:
    """Return the command that undoes ``trade``, whatever its parties have left."""
    market = catalog.market_of_pair(trade.buy.base, trade.buy.quote)
    buyer = catalog.account_number(trade.buy.account)
    seller = catalog.account_number(trade.sell.account)
    assert market is not None and buyer is not None and seller is not None, "they have traded"
    return commands.bust(
        BustTerms(
            market=market.number,
            buyer=buyer,
            seller=seller,
            base_pips=trade.base_pips,
            quote_pips=trade.quote_pips,
            buyer_fee_pips=signed_fee_pips(trade.quote_pips, trade.buy_fee_ppm),
            seller_fee_pips=signed_fee_pips(trade.quote_pips, trade.sell_fee_ppm),
        )
    )


def bust_evidence(bust: Bust) -> TradeBusted:
    """Return what stands beside the command that undoes a trade."""
    trade = bust.trade
    keys = tuple(
        # At the order's own limit, as the contract would have counted it and admission has.
        KeyUse(
            order.account,
            order.signer,
            trade.base_pips * order.quote_amount // order.base_amount,
        )
        for order in (trade.buy, trade.sell)
        if order.signer != order.account
    )
    return TradeBusted(trade.trade_id, bust.reason, keys)
