"""Which order flow does the book alone have to bear? Four profiles, from a seed.

Shaped after the table in section 2 of the peers' comparison (README): ``maker`` is a quoting day
with many replaces, ``taker`` a day of sweeps, ``cancel_storm`` a million orders placed and then
cancelled in random order, ``deep`` a quoting day on a book of a million resting orders. Ids are the
engine's, so a flow is drawn in slices beside a running book; the array that comes out is fixed and
can be replayed on any engine.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.bookalone import Book
from engine.commands import COMMAND, Commands, Kind
from engine.types import Side, TimeInForce

SLICE: Final = 512
"""Fewest commands drawn at a time; a large book is drawn for in larger slices."""
SLICES_PER_BOOK: Final = 64
MID: Final = 1 << 20
LADDER_TICKS: Final = 1 << 21
FOREVER_NS: Final = 2**62
SWEEP_TICKS: Final = 1 << 19
"""How far beyond the middle a market order's worst price lies."""
LOTS_MAX: Final = 100
"""Of an order that is meant to rest; sizes are uniform."""


class Profile(NamedTuple):
    """A kind of day."""

    name: str
    prefill: int
    main: int
    shares: tuple[float, float, float, float, float]
    """Of the main commands: new, cancel, immediate-or-cancel, replace, market order."""
    resting_aim: int
    """How many orders the book should have; more of the new ones cross while there are more."""
    crossing: tuple[float, float]
    """Share of new orders and replaces that cross while the book is small, and while large."""
    cross_ticks: int
    """How far beyond the middle the limit of an order that crosses lies at most."""
    reach: float
    """Mean distance from the middle, in ticks, of an order that does not cross."""
    taker_lots_max: int
    """Of an order that crosses."""


MAKER: Final = Profile(
    "maker", 5_000, 1_995_000, (0.461, 0.326, 0.023, 0.18, 0.011), 4_500, (0.03, 0.11), 20, 54, 110
)
TAKER: Final = Profile(
    "taker",
    20_000,
    980_000,
    (0.66, 0.02, 0.201, 0.02, 0.099),
    2_700,
    (0.3, 0.42),
    20_000,
    1_500,
    80,
)
# One peer ran it with 16-bit prices, so the farthest of a million orders is 2**15 ticks out.
CANCEL_STORM: Final = Profile(
    "cancel_storm", 0, 2_000_000, (0.5, 0.5, 0, 0, 0), 0, (0, 0), 1, 2_300, 100
)
DEEP: Final = Profile(
    "deep",
    1_000_000,
    1_000_000,
    (0.417, 0.383, 0.035, 0.15, 0.015),
    1_000_000,
    (0, 0),
    20_000,
    60_000,
    200,
)
PROFILES: Final = (MAKER, TAKER, CANCEL_STORM, DEEP)


class Day(NamedTuple):
    """The commands of a profile; ``prefill`` comes before what is measured."""

    profile: Profile
    prefill: Commands
    main: Commands
    orders_max: int
    """The most orders that rest or come in at a time."""


def make_day(profile: Profile, seed: int, scale: int = 1) -> Day:
    """Return a day of ``profile``, made ``scale`` times as short and its book as small."""
    drawing = _Drawing(profile, np.random.default_rng(seed), scale)
    if profile is CANCEL_STORM:
        prefill, main = np.zeros(0, COMMAND), drawing.storm(profile.main // scale // 2)
    else:
        prefill = drawing.send(drawing.passive(profile.prefill // scale))
        main = drawing.slices(profile.main // scale)
    return Day(profile, prefill, main, drawing.book.slots_used)


class _Drawing:
    """Draws slices beside a book and keeps the ids that may still rest."""

    def __init__(self, profile: Profile, random: np.random.Generator, scale: int) -> None:
        self.profile, self.random = profile, random
        self.resting_aim = profile.resting_aim // scale
        self.slice = max(SLICE, profile.prefill // scale // SLICES_PER_BOOK)
        self.book = Book((profile.prefill + profile.main) // scale, LADDER_TICKS)
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.mid = MID

    def slices(self, count: int) -> Commands:
        """Return ``count`` commands, drawn slice by slice."""
        starts = range(0, count, self.slice)
        sizes = [min(self.slice, count - start) for start in starts]
        return np.concatenate([self.send(self.mixed(size)) for size in sizes])

    def storm(self, count: int) -> Commands:
        """Return ``count`` orders and then their cancels in random order."""
        placed = self.send(self.passive(count))
        return np.concatenate([placed, cancels_of(self.random.permutation(self.ids))])

    def passive(self, count: int) -> Commands:
        """Draw ``count`` new orders that stay on their side of the wandering middle."""
        self.mid += int(self.random.integers(-2, 3))
        rows = np.zeros(count, COMMAND)
        rows["kind"] = Kind.PLACE
        rows["side"] = self.random.integers(0, 2, count)
        rows["amount"] = self.random.integers(1, LOTS_MAX + 1, count)
        rows["expiry_ns"] = FOREVER_NS
        self.price(rows, -self.away(count))
        return rows

    def mixed(self, count: int) -> Commands:
        """Draw ``count`` commands of every kind; each id is named once at most."""
        cancel, replace = self.profile.shares[1], self.profile.shares[3]
        rows, draws = self.passive(count), self.random.random(count)
        named = np.flatnonzero(draws < cancel + replace)[: self.ids.size]
        ids = self.random.choice(self.ids, named.size, replace=False)
        rows["order_id"][named] = ids
        rows["kind"][named] = Kind.REPLACE
        rows["side"][named] = self.book.sides(ids)
        self.price(rows, self.beyond(rows, draws - cancel - replace))
        is_cancel = draws[named] < cancel
        rows[named[is_cancel]] = cancels_of(ids[is_cancel])
        return rows

    def beyond(self, rows: Commands, draws: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw how far beyond the middle each limit lies; make some of the orders momentary."""
        profile, count = self.profile, rows.size
        _, _, immediate, _, market = profile.shares
        is_momentary = (draws >= 0) & (draws < immediate + market)
        is_market = is_momentary & (draws < market)
        crossing = profile.crossing[self.ids.size > self.resting_aim]
        crosses = is_momentary | (self.random.random(count) < crossing)
        rows["tif"][is_momentary] = TimeInForce.IOC
        lots = self.random.integers(1, profile.taker_lots_max + 1, count)
        rows["amount"][crosses] = lots[crosses]
        over = self.random.integers(1, profile.cross_ticks + 1, count)
        over[is_market] = SWEEP_TICKS
        return np.where(crosses, over, -self.away(count))

    def away(self, count: int) -> NDArray[np.int64]:
        """Draw how far on their own side of the middle orders lie that do not cross."""
        ticks = 1 + self.random.exponential(self.profile.reach, count).astype(np.int64)
        return np.minimum(ticks, SWEEP_TICKS)

    def price(self, rows: Commands, beyond: NDArray[np.int64]) -> None:
        """Price ``rows`` so many ticks beyond the middle, as seen from each one's side."""
        rows["price_ticks"] = self.mid + np.where(rows["side"] == Side.BUY, beyond, -beyond)

    def send(self, rows: Commands) -> Commands:
        """Let the book carry out ``rows``; learn which ids rest; return them."""
        answers = np.zeros(rows.size, np.int64)
        self.book.play(rows, answers)
        ids = np.concatenate([self.ids, answers[answers != 0]])
        self.ids = ids[self.book.rests(ids)]
        return rows


def cancels_of(ids: NDArray[np.int64]) -> Commands:
    """Return a cancel for each id."""
    cancels = np.zeros(ids.size, COMMAND)
    cancels["kind"] = Kind.CANCEL
    cancels["order_id"] = ids
    return cancels
