"""Would an order be filled to its last lot? Looks only."""

from engine.reference.book import Order
from engine.reference.state import State
from engine.reference.validate import EXPIRE_MAKER


class FillOrKill:
    """Walks the book as matching would."""

    def __init__(self, state: State) -> None:
        """Look at ``state``."""
        self.state = state

    def is_fillable(self, taker: Order, self_mode: int, fills_max: int) -> bool:
        """Return whether ``taker`` would be filled to its last lot.

        It walks as ``match`` would: through a level once for what is visible, then again for each
        further slice of its icebergs. Nothing changes but the work that is left.
        """
        is_filled, passes = self.walk(taker, self_mode, fills_max)
        if not is_filled:
            self.state.work_left -= passes
        return is_filled

    def walk(self, taker: Order, self_mode: int, fills_max: int) -> tuple[bool, int]:
        """Return whether ``taker`` would be filled, and how many orders it would pass over."""
        lots, fills, passes = taker.lots, 0, 0
        market = self.state.markets[taker.market]
        for level in market.levels_against(taker.side, taker.price_ticks):
            slices = [(maker, maker.lots, maker.hidden) for maker in level]
            while slices:
                maker, visible, hidden = slices.pop(0)
                is_expired = self.state.is_expired(maker)
                if is_expired or maker.account == taker.account:
                    makes_way = is_expired or self_mode == EXPIRE_MAKER
                    if not makes_way or passes == self.state.passes_max:
                        return False, passes
                    passes += 1
                    continue
                if fills == fills_max:
                    return False, passes
                fills += 1
                lots -= visible
                if lots <= 0:
                    return True, passes
                if hidden:
                    shown = min(maker.display, hidden)
                    slices.append((maker, shown, hidden - shown))
        return False, passes
