"""What would a policy have brought of the payments that a store had?

Replayed against what was traded here minute by minute, and the middle of the book where that is
still held. What a sale of the store's own would have done to the prices nobody knows: depth, lots
and fees are left out, so that policies differ by when they sell and by nothing else.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from engine.types import PPM
from merchants.records.policies import ConversionPolicy, PolicyKind
from merchants.sales.recent_trades import MINUTE_NS, STEP_NS, TapeMemory
from settlement.orders.catalog import Market

PAYMENTS_MAX: Final = 1_000
"""Payments that are replayed, the newest."""


class Paid(NamedTuple):
    """One payment: when it was booked, and how much of the token."""

    time_ns: int
    pips: int


class Sold(NamedTuple):
    """One sale of a replay: ``worth_pips`` is what the same tokens were worth when they came."""

    pips: int
    brought_pips: int
    worth_pips: int


class Outcome(NamedTuple):
    """What a policy would have brought. ``slippage_ppm`` is how much less than the middle of the
    book at the moment of each payment, negative for more; its variance is over the sales, in
    ppm squared. What it would not have sold yet is worth ``left_worth_pips`` now."""

    kind: str
    sales: int
    sold_pips: int
    brought_pips: int
    worth_pips: int
    slippage_ppm: int
    variance: int
    left_pips: int
    left_worth_pips: int


class History:
    """What one market has traded at, and where its middle was."""

    def __init__(self, market: Market, tape: TapeMemory) -> None:
        self._market = market
        minutes: dict[int, tuple[int, int]] = {}
        for row in tape.rows:
            paid, lots = minutes.get(row.minute, (0, 0))
            minutes[row.minute] = (paid + row.ticks * row.lots, lots + row.lots)
        self._minutes = sorted(minutes)
        self._ticks = [paid // lots for paid, lots in (minutes[at] for at in self._minutes)]
        known = [step for step in tape.steps if step.last]
        self._steps = [step.step for step in known]
        self._middles = [step.last for step in known]

    @property
    def since_ns(self) -> int | None:
        """Return since when trades are held; None if there are none."""
        return self._minutes[0] * MINUTE_NS if self._minutes else None

    def traded_worth(self, pips: int, time_ns: int) -> int:
        """Return what ``pips`` brought at the last price traded at ``time_ns`` or before."""
        at = max(0, bisect_right(self._minutes, time_ns // MINUTE_NS) - 1)
        return pips * self._ticks[at] * self._market.tick_pips // self._market.lot_pips

    def middle_worth(self, pips: int, time_ns: int) -> int:
        """Return what ``pips`` were worth at the middle of the book; as traded where it is not
        held."""
        at = bisect_right(self._steps, time_ns // STEP_NS) - 1
        if at < 0:
            return self.traded_worth(pips, time_ns)
        return pips * self._middles[at] * self._market.tick_pips // (2 * self._market.lot_pips)


def replayed(
    policy: ConversionPolicy, payments: Sequence[Paid], history: History, now_ns: int
) -> Outcome:
    """Return what ``policy`` would have made of ``payments``, the oldest first, all of them since
    trades are held."""
    sold = list(_sales(policy, payments, history, now_ns))
    brought, worth = sum(s.brought_pips for s in sold), sum(s.worth_pips for s in sold)
    left = sum(paid.pips for paid in payments) - sum(s.pips for s in sold)
    slips = [_slip_ppm(s.worth_pips, s.brought_pips) for s in sold]
    mean = sum(slips) // max(1, len(slips))
    return Outcome(
        kind=policy.kind,
        sales=len(sold),
        sold_pips=sum(s.pips for s in sold),
        brought_pips=brought,
        worth_pips=worth,
        slippage_ppm=_slip_ppm(worth, brought),
        variance=sum((slip - mean) ** 2 for slip in slips) // max(1, len(slips)),
        left_pips=left,
        left_worth_pips=history.traded_worth(left, now_ns) if left else 0,
    )


def _slip_ppm(worth_pips: int, brought_pips: int) -> int:
    return (worth_pips - brought_pips) * PPM // worth_pips if worth_pips else 0


def _sales(
    policy: ConversionPolicy, payments: Sequence[Paid], history: History, now_ns: int
) -> Iterator[Sold]:
    if policy.kind in (PolicyKind.AT_ONCE, PolicyKind.KEEP):
        for paid in payments:
            pips = paid.pips - policy.kept_pips(paid.pips)
            yield _sold(history, pips, history.middle_worth(pips, paid.time_ns), paid.time_ns)
    elif policy.kind == PolicyKind.THRESHOLD:
        yield from _by_threshold(policy, payments, history, now_ns)
    else:
        yield from _over_time(policy, payments, history, now_ns)


def _sold(history: History, pips: int, worth_pips: int, time_ns: int) -> Sold:
    return Sold(pips, history.traded_worth(pips, time_ns), worth_pips)


def _by_threshold(
    policy: ConversionPolicy, payments: Sequence[Paid], history: History, now_ns: int
) -> Iterator[Sold]:
    pips = worth = since_ns = 0
    age_ns = policy.age_s * 10**9
    for paid in (*payments, Paid(now_ns, 0)):
        if pips and age_ns and since_ns + age_ns <= paid.time_ns:
            yield _sold(history, pips, worth, since_ns + age_ns)
            pips = worth = 0
        if pips == 0:
            since_ns = paid.time_ns
        pips += paid.pips
        worth += history.middle_worth(paid.pips, paid.time_ns)
        if paid.pips and history.traded_worth(pips, paid.time_ns) >= policy.worth_pips:
            yield _sold(history, pips, worth, paid.time_ns)
            pips = worth = 0


def _over_time(
    policy: ConversionPolicy, payments: Sequence[Paid], history: History, now_ns: int
) -> Iterator[Sold]:
    pips = worth = slices_left = next_ns = 0
    apart_ns = policy.period_s * 10**9 // policy.slices
    for paid in (*payments, Paid(now_ns, 0)):
        while slices_left and next_ns <= paid.time_ns:
            part, part_worth = -(-pips // slices_left), -(-worth // slices_left)
            if part:
                yield _sold(history, part, part_worth, next_ns)
            pips, worth = pips - part, worth - part_worth
            slices_left, next_ns = slices_left - 1, next_ns + apart_ns
        pips += paid.pips
        worth += history.middle_worth(paid.pips, paid.time_ns)
        if paid.pips and not slices_left:
            slices_left, next_ns = policy.slices, paid.time_ns
