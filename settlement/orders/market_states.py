"""In which phase is each market, and between which prices may it trade?

The engine acts on both and tells of each change; what is known here is what the log has told, so a
market that was halted never looks like an open one, after a restart neither.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from engine.events import EventKind
from engine.log_entries import Committed, EventRow
from engine.types import MONEY_MAX, PRICE_MAX, Phase
from settlement.orders.catalog import Market

LISTED: Final = int(EventKind.MARKET_LISTED)
PHASE_SET: Final = int(EventKind.PHASE_SET)
BAND_SET: Final = int(EventKind.BAND_SET)
TERMS_SET: Final = int(EventKind.TERMS_SET)
DELISTED: Final = int(EventKind.MARKET_DELISTED)
POISONED: Final = int(EventKind.POISONED)
CHANGING: Final = frozenset({LISTED, PHASE_SET, BAND_SET, TERMS_SET, DELISTED, POISONED})


class MarketState(NamedTuple):
    """The phase of a market and its band, in ticks; both 0 where there is none."""

    phase: Phase = Phase.OPEN
    band_low: int = 0
    band_high: int = 0

    def prices(self, market: Market) -> tuple[int, int]:
        """Return the lowest and the highest price that an order may have, in ticks: a lot of it
        must be money."""
        return 1, min(PRICE_MAX, MONEY_MAX // market.tick_pips)


Told = Callable[[int, Market, MarketState], None]
"""Is told event, market and its new state."""


class MarketStates:
    """All markets. A consumer of the log (``engine.log_entries.CheckpointedConsumer``)."""

    checkpoint_name = "market states/1"

    def __init__(self) -> None:
        self._states: dict[int, MarketState] = {}
        self.listeners: list[Told] = []

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``."""
        return msgspec.msgpack.encode(self._states)

    def load(self, memory: bytes) -> None:
        """See ``CheckpointedConsumer``."""
        self._states = msgspec.msgpack.decode(memory, type=dict[int, MarketState])

    def consume(self, batch: Committed) -> None:
        """Take one committed batch."""
        for row in batch.rows:
            if row.kind in CHANGING:
                self._take(row, batch)

    def of(self, market: Market) -> MarketState:
        """Return the state of a market."""
        return self._states.get(market.number, MarketState())

    def _take(self, row: EventRow, batch: Committed) -> None:
        was = self._states.get(row.market, MarketState())
        if row.kind == PHASE_SET:
            state = was._replace(phase=Phase(row.amount))
        elif row.kind == BAND_SET:
            state = was._replace(band_low=row.price_ticks, band_high=row.amount)
        elif row.kind == TERMS_SET:
            state = MarketState(was.phase)  # Its band was in other ticks, and is gone.
        elif row.kind == DELISTED:
            state = was._replace(phase=Phase.DELISTED)
        elif row.kind == POISONED:
            # Of a market that there is and that is not gone; a command may have named any number.
            if row.market >= len(batch.markets) or was.phase == Phase.DELISTED:
                return
            state = was._replace(phase=Phase.HALTED)
        else:
            state = was
        self._states[row.market] = state
        for listener in self.listeners:
            listener(row.number, batch.markets[row.market], state)
