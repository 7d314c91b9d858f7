"""How is a trade undone that the contract will never accept?

By a command like everything else, so that ledger, journal and auditors agree on it: the money goes
back between the two accounts and the fees, and the trade's number is in the attachment. Open lots
do not come back.
"""

from typing import NamedTuple

import numpy as np

from engine.commands import Kind, command
from engine.events import EventKind
from engine.frames import Committed, Frame
from engine.types import MoneyFlag
from settlement.batches.encode import SettledTrade, signed_fee_pips
from settlement.orders.catalog import Catalog
from settlement.protocol.evidence import KeyUse, TradeBusted, decode


class Bust(NamedTuple):
    """A trade that has to be undone, and what the contract said about it."""

    trade: SettledTrade
    reason: str

    def words(self) -> dict[str, int | str]:
        """Return what a log line says about it."""
        return {"trade": self.trade.trade_id, "reason": self.reason}


def bust_command(catalog: Catalog, trade: SettledTrade) -> np.void:
    """Return the command that undoes ``trade``, whatever its parties have left."""
    market = catalog.market_of_pair(trade.buy.base, trade.buy.quote)
    buyer = catalog.account_number(trade.buy.account)
    seller = catalog.account_number(trade.sell.account)
    assert market is not None and buyer is not None and seller is not None, "they have traded"
    return command(
        Kind.BUST,
        flags=MoneyFlag.ALWAYS,
        market=market.number,
        account=buyer,
        fee_cap_ppm=seller,
        price_ticks=trade.base_pips,
        amount=trade.quote_pips,
        order_id=signed_fee_pips(trade.quote_pips, trade.buy_fee_ppm),
        expiry_ns=signed_fee_pips(trade.quote_pips, trade.sell_fee_ppm),
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


def busted_by(frame: Frame) -> TradeBusted | None:
    """Return which trade ``frame`` has undone; None for any other command."""
    if frame.command["kind"] != Kind.BUST or not len(frame.events):
        return None
    if frame.answer[0]["kind"] != EventKind.TRADE_BUSTED:
        return None
    return _named(frame.attachment)


def busted_at(batch: Committed, sequence: int) -> TradeBusted:
    """Return which trade command ``sequence`` of ``batch``, a BUST, has undone."""
    return _named(batch.attachments[sequence - batch.first_sequence])


def _named(raw: bytes) -> TradeBusted:
    attachment = decode(raw)
    assert isinstance(attachment, TradeBusted), "a bust names its trade"
    return attachment
