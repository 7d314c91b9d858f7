"""Which orders make sense, and which does a market take in its present phase?"""

from engine.types import OrderFlag, Outcome, Phase, Side, TimeInForce

# Plain integers: in the oracle an operation on an IntFlag costs as much as a whole dict access.
POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
EXPIRE_TAKER, EXPIRE_MAKER = 0, int(OrderFlag.SELF_EXPIRE_MAKER)
EXPIRE_BOTH, DECREMENT = int(OrderFlag.SELF_EXPIRE_BOTH), int(OrderFlag.SELF_DECREMENT)
KNOWN_FLAGS = POST_ONLY | SINGLE_SHOT | EXPIRE_MAKER | EXPIRE_BOTH
REFUSALS = {
    Phase.POST_ONLY: Outcome.MARKET_POST_ONLY,
    Phase.CANCEL_ONLY: Outcome.MARKET_CANCEL_ONLY,
    Phase.HALTED: Outcome.MARKET_HALTED,
}


def takes_orders(phase: int, flags: int) -> bool:
    """Return whether a market in ``phase`` takes an order with these flags."""
    return phase == Phase.OPEN or (phase == Phase.POST_ONLY and bool(flags & POST_ONLY))


def terms_agree(side: int, tif: int, flags: int) -> bool:
    """Return whether side, time in force and flags are known and do not contradict each other."""
    if side not in (Side.BUY, Side.SELL) or flags & ~KNOWN_FLAGS:
        return False
    if tif == TimeInForce.GTC:
        return not flags & SINGLE_SHOT
    return tif in (TimeInForce.IOC, TimeInForce.FOK) and not flags & POST_ONLY
