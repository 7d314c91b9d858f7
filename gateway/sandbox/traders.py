"""Who trades in a sandbox while somebody watches, so that book, tape and chart move?

One account quotes around a price that wanders, another takes, both gently: nothing is done while
nobody listens, but for a little at the start, and after so many steps they go home. All they do is
signed and settled like any other order.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, NamedTuple

import structlog

from engine.types import Outcome, Side
from gateway.node.node import Stack
from gateway.sandbox.wallet import Wallet
from settlement.orders.catalog import Market
from settlement.protocol.evidence import SessionLogin

LEVELS: Final = 8
BID_LANES: Final = 0xA000
ASK_LANES: Final = 0xB000
QUOTE_SECONDS: Final = 600
TAKE_SECONDS: Final = 60
LOGIN_SECONDS: Final = 3_600

WARM_UP_PACE: Final = 4
BRISK_TRADES: Final = 1_000
SELDOM: Final = 20
IDLE_SECONDS: Final = 1
SWEEP_TICKS: Final = 30
NEAR_TICKS: Final = 120
"""How far from the wandering price the best level may be and still be one of the quoter's."""

QUIET: Final = frozenset({Outcome.NOT_RESTING, Outcome.POST_ONLY_WOULD_TRADE})
"""Refusals that are in the nature of the thing: somebody was faster."""


class Rhythm(NamedTuple):
    """How often, and how much in all."""

    per_minute: int
    warm_up_steps: int = 60
    """Done though nobody listens, so that whoever comes first finds something."""

    steps_max: int = 20_000
    """Half a day of watching at the usual pace, some 40 MB of log; then the process has to start
    again."""


class Range(NamedTuple):
    """Where the price wanders: around ``middle_ticks``, no further than ``reach_ticks``."""

    middle_ticks: int
    reach_ticks: int


class Walk:
    """A price that wanders, drawn back to its middle; the same dice give the same way."""

    def __init__(self, within: Range, dice: Random) -> None:
        self._within = within
        self._dice = dice
        self.ticks = within.middle_ticks
        self._drift = 0

    def step(self) -> int:
        """Return the next price. A drift that fades makes it go somewhere, not only tremble."""
        middle, reach = self._within
        pull = (middle - self.ticks) // 40
        self._drift = (self._drift * 7 + self._dice.randint(-24, 24)) // 8
        moved = self.ticks + self._drift + pull + self._dice.randint(-6, 6)
        self.ticks = max(middle - reach, min(middle + reach, moved))
        return self.ticks


class _Quote(NamedTuple):
    order_id: int
    ticks: int


class Traders:
    """The two of them. ``step`` does a little; ``run`` does so again and again."""

    def __init__(
        self, stack: Stack, quoter: Wallet, taker: Wallet, within: Range, dice: Random
    ) -> None:
        self.steps = 0
        self._stack = stack
        self._exchange = stack.parts.exchange
        self._market: Market = stack.parts.catalog.markets[0]
        self._quoter, self._taker = quoter, taker
        self._dice = dice
        self._walk = Walk(within, dice)
        self._quotes: dict[tuple[Side, int], _Quote] = {}
        self._login: SessionLogin | None = None
        self._log = structlog.get_logger("traders")
        self.refused: Counter[str] = Counter()

    async def clear(self) -> None:
        """Take what an earlier process quoted off the book."""
        lanes = [first + level for first in (BID_LANES, ASK_LANES) for level in range(LEVELS)]
        for half in self._exchange.nonces(self._quoter.address, lanes).lanes:
            if half.order_id:
                await self._cancel(half.order_id)

    async def run(
        self,
        rhythm: Rhythm,
        is_watched: Callable[[], bool],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Trade for as long as somebody watches, up to the last step."""
        while self.steps < rhythm.steps_max:
            is_warm = self.steps >= rhythm.warm_up_steps
            # Quicker at the start: a chart of one candle is none.
            await pause(60 / rhythm.per_minute / (1 if is_warm else WARM_UP_PACE))
            if is_warm and not is_watched():
                await pause(IDLE_SECONDS)
                continue
            await self.step()
        self._log.info("gone home", steps=self.steps)

    async def step(self) -> None:
        """Let the price wander, quote one level a side anew, and take a little, as a rule."""
        self.steps += 1
        middle = self._walk.step()
        for side in (Side.BUY, Side.SELL):
            await self._quote(side, middle)
        if self.takes(self._stack.views.market_data.last_trade_id):
            await self._take(middle)

    def takes(self, trades: int) -> bool:
        """Return whether to trade in this step of a log that has so many trades: each of them is on
        the sandbox's chain, which a start may have to replay, so one with many gets few more."""
        if trades < BRISK_TRADES:
            return self._dice.randrange(4) > 0
        return self._dice.randrange(SELDOM) == 0

    async def _quote(self, side: Side, middle: int) -> None:
        """Move the quote that is furthest from where it should be."""
        level = max(range(LEVELS), key=lambda each: self._distance(side, each, middle))
        standing = self._quotes.pop((side, level), None)
        if standing is not None:
            await self._cancel(standing.order_id)
        ticks = self._inside(side, self._target(side, level, middle))
        order = self._quoter.order(
            self._market,
            side,
            self._dice.randint(6_000, 14_000) * (level + 1),
            ticks,
            nonce=self._stack.now_ns(),
            expiry=self._stack.now_ns() // 10**9 + QUOTE_SECONDS,
            lane=(BID_LANES if side == Side.BUY else ASK_LANES) + level,
        )
        placed = await self._exchange.place(order)
        self._note(placed.outcome)
        if placed.accepted:
            self._quotes[side, level] = _Quote(placed.order_id, ticks)

    async def _cancel(self, order_id: int) -> None:
        """Cancel as the quoter, whose login of this hour stands beside it in the log."""
        now = self._stack.now_ns() // 10**9
        if self._login is None or now - self._login.issued_at > LOGIN_SECONDS:
            signature = self._quoter.login_signature(now)
            self._login = SessionLogin(self._quoter.address, now, signature)
        result = await self._exchange.cancel(self._quoter.address, order_id, self._login)
        self._note(result.outcome)

    def _target(self, side: Side, level: int, middle: int) -> int:
        away = 2 + level * (level + 7)
        return middle - away if side == Side.BUY else middle + away

    def _distance(self, side: Side, level: int, middle: int) -> int:
        standing = self._quotes.get((side, level))
        if standing is None:
            return 1 << 30
        return abs(standing.ticks - self._target(side, level, middle))

    def _inside(self, side: Side, ticks: int) -> int:
        """Return the price, moved so far that it meets nobody on the other side."""
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        best = self._exchange.depth(self._market, opposite, 1)
        if not best:
            return ticks
        return min(ticks, best[0][0] - 1) if side == Side.BUY else max(ticks, best[0][0] + 1)

    async def _take(self, middle: int) -> None:
        """Take from the side that lies behind the price's way, at most what its best level has."""
        side = self._dice.choice((Side.BUY, Side.SELL))
        opposite = Side.SELL if side == Side.BUY else Side.BUY
        best = self._exchange.depth(self._market, opposite, 1)
        if not best or abs(best[0][0] - middle) > NEAR_TICKS:
            return  # Only the far makers are there: the near quotes come back first.
        # Now and then a large one goes through several levels, which is what makes a candle long.
        size = self._dice.randint(80, 4_000) * self._dice.choice((1, 1, 1, 1, 2, 8))
        reach = self._dice.randint(0, SWEEP_TICKS)
        order = self._taker.order(
            self._market,
            side,
            size,
            best[0][0] + (reach if side == Side.BUY else -reach),
            nonce=self._exchange.next_nonce(self._taker.address),
            expiry=self._stack.now_ns() // 10**9 + TAKE_SECONDS,
        )
        self._note((await self._exchange.place(order)).outcome)

    def _note(self, outcome: Outcome) -> None:
        """Count what was refused; each kind is said once, or a halted market would fill the log."""
        if outcome is Outcome.ACCEPTED or outcome in QUIET:
            return
        if not self.refused[outcome.name]:
            self._log.warning("refused", outcome=outcome.name)
        self.refused[outcome.name] += 1
