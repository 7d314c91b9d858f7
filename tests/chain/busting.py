"""What will the engine do with a BUST? The reference, with the one command that it lacks yet.

As docs of ``settlement.busts`` say: the money of one trade goes back between two accounts and the
fees; refused as a value when it is not there any more.
"""

from typing import Any

from engine.reference import Engine
from engine.types import Limits, Outcome
from settlement.busts import BUST, TRADE_BUSTED


class BustingEngine(Engine):
    """The reference engine that knows BUST."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._carry_out[BUST] = self.bust  # type: ignore[index]

    def bust(self, row: dict[str, int]) -> Outcome:
        market, ledger = self.state.markets[row["market"]], self.state.ledger
        buyer, seller = row["account"], row["fee_cap_ppm"]
        base, quote = row["price_ticks"], row["amount"]
        buy_fee, sell_fee = row["order_id"], row["expiry_ns"]
        if (
            ledger.available[buyer, market.base] < base
            or ledger.available[seller, market.quote] < quote - sell_fee
        ):
            return Outcome.INSUFFICIENT_BALANCE
        ledger.add(buyer, market.base, -base)
        ledger.add(seller, market.base, base)
        ledger.add(seller, market.quote, sell_fee - quote)
        ledger.add(buyer, market.quote, quote + buy_fee)
        ledger.fees[market.quote] -= buy_fee + sell_fee
        kind: Any = TRADE_BUSTED
        self.state.emit(
            kind,
            market=row["market"],
            account=buyer,
            maker_account=seller,
            price_ticks=base,
            amount=quote,
            fee=buy_fee,
            maker_fee=sell_fee,
        )
        return Outcome.ACCEPTED
