"""May this grant of a session key be relayed at the operator's cost?

Everything the contract would refuse and that is known here is refused here; what only the chain
knows (the last nonce, what a sealed batch may still carry) is tried by a call before gas is spent.
So what can be had for nothing is a grant that works: only by an account that has money here, a few
a day, and not more a day for all of them than the operator has set.
"""

from typing import Final

from engine.types import Outcome
from gateway.trading.rejection import Rejection
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.ports import ExchangePort
from settlement.protocol.eip712 import KeyGrant

LASTS_MIN_S: Final = 300
"""What ends sooner would be over before its transaction is deep enough."""


def require_grantable(exchange: ExchangePort, grant: KeyGrant) -> None:
    """Raise ``Rejection`` for a grant that cannot work, whoever has signed it."""
    now_s = exchange.now_ns() // 10**9
    if exchange.catalog.market_of_pair(grant.base, grant.quote) is None:
        raise Rejection(Outcome.UNKNOWN_MARKET, "no market trades base for quote")
    if grant.expiry < now_s + LASTS_MIN_S:
        figures = {"expiry": str(grant.expiry), "earliest": str(now_s + LASTS_MIN_S)}
        raise Rejection(Outcome.ORDER_EXPIRED, "the key would end before it could be used", figures)
    if not 0 < grant.sides <= MAY_BUY | MAY_SELL:
        raise Rejection(Outcome.KEY_SCOPE, "sides are 1 (buy), 2 (sell) or 3 (both)")
    if grant.sides & MAY_SELL and not grant.floor_price:
        raise Rejection(Outcome.FLOOR_MISSING, "a key that may sell needs a floor price")
    if not grant.notional_cap:
        raise Rejection(Outcome.KEY_SCOPE, "a cap of 0 lets the key trade nothing")
    if grant.key == grant.account or exchange.is_lost(grant.key):
        raise Rejection(Outcome.KEY_SCOPE, "the key is the account itself, or nobody can hold it")
    has_money = any(
        sum(exchange.balance(grant.account, token.address)) > 0 for token in exchange.catalog.tokens
    )
    if not has_money:
        raise Rejection(
            Outcome.INSUFFICIENT_BALANCE, "the account has no money here: deposit first"
        )
