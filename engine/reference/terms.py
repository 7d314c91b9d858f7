"""Which orders make sense, and which does a market take in its present phase?"""

from engine.types import OrderFlag, Outcome, Phase, Side, TimeInForce

# Plain integers: in the oracle an operation on an IntFlag costs as much as a whole dict access.
POST_ONLY, SINGLE_SHOT = int(OrderFlag.POST_ONLY), int(OrderFlag.SINGLE_SHOT)
EXPIRE_TAKER, EXPIRE_MAKER = 0, int(OrderFlag.SELF_EXPIRE_MAKER)
EXPIRE_BOTH, DECREMENT = int(OrderFlag.SELF_EXPIRE_BOTH), int(OrderFlag.SELF_DECREMENT)
STOP, ICEBERG, REPRICE = int(OrderFlag.STOP), int(OrderFlag.ICEBERG), int(OrderFlag.REPRICE)
KNOWN_FLAGS = POST_ONLY | SINGLE_SHOT | DECREMENT | STOP | ICEBERG | REPRICE
REFUSALS = {
    Phase.POST_ONLY: Outcome.MARKET_POST_ONLY,
    Phase.CANCEL_ONLY: Outcome.MARKET_CANCEL_ONLY,
    Phase.HALTED: Outcome.MARKET_HALTED,
    Phase.AUCTION: Outcome.MARKET_IN_AUCTION,
    Phase.DELISTED: Outcome.MARKET_DELISTED,
}


def phase_refuses(phase: int, tif: int, flags: int) -> Outcome:
    """Return ACCEPTED if a market in ``phase`` takes such an order, or why it does not."""
    if phase == Phase.OPEN:
        return Outcome.ACCEPTED
    if phase == Phase.POST_ONLY and flags & POST_ONLY:
        return Outcome.ACCEPTED
    if phase == Phase.AUCTION:
        # What waits for the auction must be able to wait: it rests, or it is armed.
        rests = tif == TimeInForce.GTC and not flags & POST_ONLY
        if rests or flags & STOP:
            return Outcome.ACCEPTED
    return REFUSALS[Phase(phase)]


def terms_agree(side: int, tif: int, flags: int) -> bool:
    """Return whether side, time in force and flags are known and do not contradict each other."""
    if side not in (Side.BUY, Side.SELL) or flags & ~KNOWN_FLAGS:
        return False
    if flags & REPRICE and not flags & POST_ONLY:
        return False
    if flags & STOP and flags & (POST_ONLY | ICEBERG):
        return False
    if tif == TimeInForce.GTC:
        return not flags & SINGLE_SHOT
    return tif in (TimeInForce.IOC, TimeInForce.FOK) and not flags & (POST_ONLY | ICEBERG)
