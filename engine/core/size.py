"""Do the numbers of an order fit into ours, and is it large enough to be worth a trade?"""

# mypy: disable-error-code="no-any-return"
from engine.core.jit import kernel
from engine.core.state import State


@kernel
def lots_fit(state: State, market: int, price_ticks: int, lots: int) -> bool:
    """Return whether every product made of these factors stays below 2**62.

    ``lots * price_ticks`` itself can pass 2**63, so its upper part is looked at first: with
    lots <= 2**40 and price < 2**31 neither product below can wrap.
    """
    listing = state.markets[market]
    if lots > listing["lots_max"] or price_ticks * (lots >> 20) > 1 << 42:
        return False
    return lots * price_ticks <= listing["area_max"]


@kernel
def is_small(state: State, market: int, price_ticks: int, lots: int) -> bool:
    """Return whether ``lots`` at a price are less than the least notional of a market."""
    if price_ticks * (lots >> 20) > 1 << 42:  # As above: the product could wrap, so it is large.
        return False
    return lots * price_ticks < state.area_min[market]
