"""Does a market take orders now, at which prices, and does the exchange itself?

The phase and the band of each market follow the log, so a market that was halted never looks like
an open one, after a restart neither. What the exchange as a whole lacks is asked of those who know
it, and told when it has changed.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from engine.events import EventKind
from engine.log_entries import Committed
from engine.types import MONEY_MAX, PRICE_MAX, Phase
from gateway.views.channels import Channels, News
from settlement.orders.catalog import Market
from settlement.orders.market_states import MarketStates

STATUS_CHANNEL: Final = "status"

CHANGING: Final = frozenset(
    map(
        int,
        (
            EventKind.MARKET_LISTED,
            EventKind.PHASE_SET,
            EventKind.BAND_SET,
            EventKind.TERMS_SET,
            EventKind.MARKET_DELISTED,
            EventKind.POISONED,
        ),
    )
)


class MarketState(NamedTuple):
    """The phase of a market and its band, in ticks; both 0 where there is none."""

    phase: Phase
    band_low: int
    band_high: int

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


class MarketFeed:
    """All markets. A consumer of the log."""

    checkpoint_name = "market feed/1"

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._states = MarketStates()

    def save(self) -> bytes:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        return self._states.save()

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        self._states.load(memory)

    def consume(self, batch: Committed) -> None:
        """Take one committed batch, and tell of each market as it is behind it."""
        self._states.consume(batch)
        if not self._channels.has_subscribers(STATUS_CHANNEL):
            return
        changed = {row.market: row.number for row in batch.rows if row.kind in CHANGING}
        for number, event in changed.items():
            if number < len(batch.markets):  # A poisoned command may have named any.
                market = batch.markets[number]
                self._channels.publish(
                    STATUS_CHANNEL, MarketStateNews(event, market, self.of(market))
                )

    def of(self, market: Market) -> MarketState:
        """Return the state of a market."""
        return MarketState(self._states.phase(market.number), *self._states.band(market.number))


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
