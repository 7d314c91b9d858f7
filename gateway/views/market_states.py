"""Who is told when a market takes orders no more, or the exchange itself?

The phase and the band of each market follow the log (``settlement.orders.market_states``). What the
exchange as a whole lacks is asked of those who know it, and told when it has changed.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.views.channels import Channels, News
from settlement.orders.catalog import Market
from settlement.orders.market_states import MarketState

STATUS_CHANNEL: Final = "status"


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


class StateTeller:
    """Tells who listens that a market is in another state."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    def changed(self, event: int, market: Market, state: MarketState) -> None:
        """See ``settlement.orders.market_states.Told``."""
        if self._channels.has_subscribers(STATUS_CHANNEL):
            self._channels.publish(STATUS_CHANNEL, MarketStateNews(event, market, state))


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
