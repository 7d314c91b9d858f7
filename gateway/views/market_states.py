"""Does a market take orders now, at which prices, and does the exchange itself?

The phase and the band of each market follow the log, so a market that was halted never looks like
an open one, after a restart neither. What the exchange as a whole lacks is asked of those who know
it, and told when it has changed.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from engine.events import EventKind
from engine.log_entries import Committed, EventRow
from engine.types import MONEY_MAX, PRICE_MAX, Phase
from gateway.views.channels import Channels, News
from settlement.orders.catalog import Market

STATUS_CHANNEL: Final = "status"

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


class MarketStateNews(News, frozen=True):
    """A market is in another phase, has another band, other terms, or is new."""

    event: int
    market: Market
    state: MarketState


class ExchangeState(NamedTuple):
    """Whether the exchange takes work, in words: ``missing`` is what it lacks to do so,
    ``restrictions`` what it does not take although it is ready."""

    status: str
    missing: tuple[str, ...]
    restrictions: tuple[str, ...]


class ExchangeStateNews(News, frozen=True):
    """The exchange is in another state."""

    state: ExchangeState


def exchange_state(missing: list[str], restrictions: list[str], *, draining: bool) -> ExchangeState:
    """Return the state in one word, and what it comes from."""
    missing = [*missing, *(["closing"] if draining else [])]
    if draining:
        status = "draining"
    elif missing:
        status = "not ready"
    else:
        status = "restricted" if restrictions else "ready"
    return ExchangeState(status, tuple(missing), tuple(restrictions))


class MarketStates:
    """All markets. A consumer of the log."""

    checkpoint_name = "market states/1"

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._states: dict[int, MarketState] = {}

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return msgspec.msgpack.encode(self._states)

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
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
        if self._channels.has_subscribers(STATUS_CHANNEL):
            news = MarketStateNews(row.number, batch.markets[row.market], state)
            self._channels.publish(STATUS_CHANNEL, news)


class StatusWatch:
    """Tells what the exchange as a whole lacks, when that has changed. ``look`` asks ``state``."""

    def __init__(self, channels: Channels, state: Callable[[], ExchangeState]) -> None:
        self._channels = channels
        self._state = state
        self._told: ExchangeState | None = None

    def now(self) -> ExchangeState:
        """Return how it is now."""
        return self._state()

    def look(self) -> None:
        """Tell who listens if it is another than at the last look."""
        if not self._channels.has_subscribers(STATUS_CHANNEL):
            self._told = None
            return
        state = self._state()
        # Who has just subscribed was told how it is; nobody was when nobody had.
        if self._told != state:
            self._told = state
            self._channels.publish(STATUS_CHANNEL, ExchangeStateNews(state))
