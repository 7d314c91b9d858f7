"""In which phase is each market, and between which prices may it trade?

The engine acts on both and tells of each change; what is known here is what the log has told.
"""

from typing import Final

import msgspec

from engine.events import EventKind
from engine.log_entries import Committed
from engine.types import Phase

ANY_PRICE: Final = (0, 0)

_TELLING: Final = frozenset(
    {
        int(kind)
        for kind in (
            EventKind.MARKET_LISTED,
            EventKind.PHASE_SET,
            EventKind.BAND_SET,
            EventKind.TERMS_SET,
            EventKind.MARKET_DELISTED,
            EventKind.POISONED,
        )
    }
)


class _Memory(msgspec.Struct):
    phases: list[int]
    bands: list[tuple[int, int]]


class MarketStates:
    """Follows the log (``engine.log_entries.CheckpointedConsumer``)."""

    checkpoint_name = "market-states/1"

    def __init__(self) -> None:
        self._phases: list[int] = []
        self._bands: list[tuple[int, int]] = []

    def phase(self, market: int) -> Phase:
        """Return the phase of a market by its number."""
        return Phase(self._phases[market])

    def band(self, market: int) -> tuple[int, int]:
        """Return the lowest and the highest price in ticks; (0, 0) for any."""
        return self._bands[market]

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``."""
        return msgspec.msgpack.encode(_Memory(self._phases, self._bands))

    def load(self, memory: bytes) -> None:
        """See ``CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._phases, self._bands = saved.phases, saved.bands

    def consume(self, batch: Committed) -> None:
        """Take one batch of the log."""
        if _TELLING.isdisjoint(batch.events["kind"].tolist()):
            return
        for event in batch.rows:
            market = event.market
            match event.kind:
                case EventKind.MARKET_LISTED:
                    self._phases.append(int(Phase.OPEN))
                    self._bands.append(ANY_PRICE)
                case EventKind.PHASE_SET:
                    self._phases[market] = event.amount
                case EventKind.BAND_SET:
                    self._bands[market] = (event.price_ticks, event.amount)
                case EventKind.TERMS_SET:
                    self._bands[market] = ANY_PRICE
                case EventKind.MARKET_DELISTED:
                    self._phases[market] = int(Phase.DELISTED)
                case EventKind.POISONED if market < len(self._phases):
                    if self._phases[market] != Phase.DELISTED:
                        self._phases[market] = int(Phase.HALTED)
