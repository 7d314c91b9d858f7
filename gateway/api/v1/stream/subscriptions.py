"""Which channels does one connection follow, and what does each begin with?

A subscription begins with a snapshot, or with what was missed. Either is made when its turn to be
sent comes, and at that moment the channel is joined: so nothing is told twice or left out, however
many are asked for in one breath, and what waits takes no memory.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from engine.types import Outcome
from gateway.api.services import Services
from gateway.api.v1.rows import message
from gateway.api.v1.stream.frames import CHANNELS_AT_ONCE, Subscribe
from gateway.api.v1.stream.snapshots import CHANNEL_NAMES, Maker, Snapshots
from gateway.http.outbox import Outbox
from gateway.http.problems import document_of
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session
from gateway.views.channels import Listener, News, Published
from gateway.views.user_orders import balances_channel, orders_channel

CHANNELS_MAX: Final = CHANNELS_AT_ONCE
"""Channels of one connection: six feeds of each of a hundred markets, and its own."""


CHANNELS_A_TURN: Final = 64
"""Some tenths of a millisecond."""


class Client(Listener, Protocol):
    """The connection, as seen from its subscriptions."""

    def owe(self, channel: str, make: Callable[[], Published | None]) -> None:
        """Send what ``make`` returns when its turn comes."""

    def tell(self, published: Published) -> None:
        """Send at once, or behind what waits."""

    def me(self) -> Session:
        """Return who has logged in; raises ``Rejection`` if nobody has."""

    def now_s(self) -> int:
        """Return the time in unix seconds."""


class _Followed:
    """One channel: how we call it, and what it begins with."""

    __slots__ = ("channel", "make", "owed")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.owed = 0
        """Snapshots on their way: the channel is joined with the last of them."""


class Subscriptions:
    """The channels of one connection."""

    def __init__(
        self, services: Services, snapshots: Snapshots, client: Client, outbox: Outbox
    ) -> None:
        self._channels = services.channels
        self._snapshots = snapshots
        self._client = client
        self._outbox = outbox
        self._followed: dict[str, _Followed] = {}
        """By the channel's name as the client calls it."""
        self._ends: dict[str, int] = {}
        """When the session ends that each of an account's channels is heard by, in unix seconds."""

    def __len__(self) -> int:
        return len(self._followed)

    @property
    def names(self) -> list[str]:
        """Return the channels as the client calls them."""
        return sorted(self._followed)

    def subscribe(
        self, frame: Subscribe, names: list[str], answer: Callable[[], None]
    ) -> Iterator[None]:
        """Follow all ``names`` or, if one of them cannot be, none; ``answer`` is said before what
        they begin with. Yields where others may have a turn; raises ``Rejection``."""
        makers = []
        for count, name in enumerate(names, 1):
            makers.append(self._maker(name, frame.begin(name)))
            if not count % CHANNELS_A_TURN:
                yield
        if len({*self._followed, *names}) > CHANNELS_MAX:
            raise Rejection(Outcome.OVERLOADED, f"at most {CHANNELS_MAX} channels a connection")
        answer()
        for count, (name, maker) in enumerate(zip(names, makers, strict=True), 1):
            self._follow(name, maker)
            if not count % CHANNELS_A_TURN:
                yield

    def unsubscribe(self, name: str) -> None:
        """Leave a channel."""
        followed = self._followed.pop(name, None)
        if followed is None:
            raise Rejection(Outcome.NOT_FOUND, f"not subscribed to {name!r}")
        self._leave(followed.channel)
        self._outbox.forget(followed.channel)

    def unsubscribe_all(self) -> None:
        """Leave all channels, for good: what is still owed is not begun any more."""
        for followed in self._followed.values():
            self._channels.unsubscribe(followed.channel, self._client)
        self._followed.clear()

    def logged_in(self, session: Session) -> None:
        """A later login of the same account carries on what is heard."""
        mine = {orders_channel(session.account), balances_channel(session.account)}
        for channel in mine & set(self._ends):
            self._ends[channel] = session.expires_at

    def has_lapsed(self, channel: str) -> bool:
        """Return whether the session is over by which an account's channel is heard."""
        return channel in self._ends and self._ends[channel] <= self._client.now_s()

    def lapse(self, channel: str) -> None:
        """Leave an account's channel because its session is over, and say so."""
        name = next(name for name, mine in self._followed.items() if mine.channel == channel)
        del self._followed[name]
        self._leave(channel)
        over = Rejection(Outcome.NOT_AUTHENTICATED, "the session is over: login, subscribe again")
        ended = {"channel": name, "type": "ended", "error": document_of(over)}
        self._client.tell(message(ended))

    def begin_anew(self, channel: str) -> None:
        """Drop what waits on a channel, for it is too much, and owe a snapshot instead."""
        for name, followed in self._followed.items():
            if followed.channel == channel:
                self._follow(name, self._maker(name, None))
                return

    def resume_points(self, waiting: dict[str, News]) -> dict[str, int | None]:
        """Return for each channel with which number to subscribe again; null where it begins with
        a snapshot anyway. ``waiting`` is the first news of each that was not sent."""
        points: dict[str, int | None] = {}
        for name, followed in self._followed.items():
            first = waiting.get(followed.channel)
            if first is not None:
                points[name] = first.resume_at
            elif followed.owed:
                points[name] = None
            else:
                points[name] = self._snapshots.position(name, self._client)
        return points

    def _maker(self, name: str, begin: int | None) -> Maker:
        maker = self._snapshots.maker(name, begin, self._client)
        if maker is None:
            raise Rejection(Outcome.NOT_FOUND, f"channels are {CHANNEL_NAMES}")
        return maker

    def _follow(self, name: str, maker: Maker) -> None:
        known = self._followed.get(name)
        if known is not None:
            self._leave(known.channel)
            self._outbox.forget(known.channel)
        if known is None or known.channel != maker.channel:  # Another account has logged in since.
            known = self._followed[name] = _Followed(maker.channel)
        if maker.ends is not None:
            self._ends[maker.channel] = maker.ends
        followed = known
        followed.owed += 1

        def begin() -> Published | None:
            followed.owed -= 1
            if self._followed.get(name) is not followed:
                return None  # It was left meanwhile.
            frames = maker.make()
            for frame in frames[1:]:
                self._client.owe("", frame)
            if not followed.owed:
                self._channels.subscribe(followed.channel, self._client)
            return frames[0]()

        self._client.owe(maker.channel, begin)

    def _leave(self, channel: str) -> None:
        self._ends.pop(channel, None)
        self._channels.unsubscribe(channel, self._client)
