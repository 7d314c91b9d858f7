"""Which nonces are spent, and which lanes carry an order?

What ``StateWords.sol`` keeps on chain, kept here for every order that was admitted: those that
never traded are not on chain, so whatever is unspent here is unspent there. Bounded above as well:
a nonce far ahead would leave its owner none for ever, so it must be near the last one or the clock.
"""

from typing import Final, NamedTuple

import msgspec

from engine.kept import Kept
from engine.types import Outcome
from settlement.protocol.evidence import SINGLE_SHOT, UPPER_HALF, SignedOrder, SignedWithdrawal

NS: Final = 1_000_000_000

LANE_FIRST: Final = 0x8000
LANE_LAST: Final = 0xFFFF
WINDOW_SIZE: Final = 24
SINGLE_SHOT_NONCE_MAX: Final = (1 << 40) - 1
LANE_NONCE_MAX: Final = (1 << 64) - 1

SINGLE_SHOT_CLOCK_NS: Final = 10_000_000
"""Single-shot nonces may follow a clock in hundredths of a second: milliseconds since 1970 do not
fit into 40 bits."""
SINGLE_SHOT_STEP_MAX: Final = 10_000
"""How far above the last one and the clock: 100 s of that clock. To use up the 40 bits in such
steps takes 90 million orders."""
WIDE_STEP_MAX: Final = 3_600 * NS
"""The same for nonces of 64 bits, whose clock counts nanoseconds: an hour."""

Lane = tuple[bytes, int, int]
"""(account, lane, half): one slot on chain that carries one order at a time."""


class Rejection(NamedTuple):
    """Why an order was not admitted, with figures for the client."""

    outcome: Outcome
    detail: dict[str, str]


class Window(Kept, frozen=True):
    """The replay window of an account: bit k of ``bitmap`` says that ``highest - k`` is spent."""

    highest: int = 0
    bitmap: int = 0

    def has_spent(self, nonce: int) -> bool:
        """Return whether ``nonce`` is spent or lies too far behind."""
        behind = self.highest - nonce
        return behind >= WINDOW_SIZE or (behind >= 0 and bool(self.bitmap >> behind & 1))

    def spent(self, nonce: int) -> "Window":
        """Return the window with ``nonce`` spent."""
        ahead = nonce - self.highest
        if ahead <= 0:
            return Window(self.highest, self.bitmap | 1 << -ahead)
        kept = self.bitmap << min(ahead, WINDOW_SIZE)
        return Window(nonce, (kept | 1) & ((1 << WINDOW_SIZE) - 1))


class LaneState(msgspec.Struct, gc=False):
    """What one half of a lane carries."""

    nonce: int = 0
    order_id: int = 0
    """The order that stands there, or 0."""
    is_coming: bool = False
    """Whether an order for it is on its way to the journal."""


class Before(NamedTuple):
    """What stood at a nonce's place before it was spent; None where nothing did."""

    window: Window | None = None
    nonce: int | None = None


class Spent(msgspec.Struct):
    """All that ``Nonces`` knows, as it stands in a snapshot."""

    windows: dict[bytes, Window]
    lanes: dict[Lane, tuple[int, int]]
    floors: dict[Lane, int]
    withdrawals: dict[bytes, int]


class Nonces:
    """Windows, lanes and withdrawal nonces of all accounts."""

    def __init__(self) -> None:
        self._windows: dict[bytes, Window] = {}
        self._lanes: dict[Lane, LaneState] = {}
        self._floors: dict[Lane, int] = {}
        """Cancelled on chain up to here; lane 0 is the window."""
        self._withdrawals: dict[bytes, int] = {}
        self._leaving: set[int] = set()
        """Orders whose cancel is in the queue: whatever becomes of it, they are gone behind it."""

    def copy(self) -> "Nonces":
        """Return one that can be changed apart; of cancels in the queue it knows nothing."""
        twin = Nonces()
        twin.load(self.saved())
        return twin

    def saved(self) -> Spent:
        """Return what a snapshot keeps; changes nothing that this knows."""
        return Spent(
            dict(self._windows),
            {lane: (state.nonce, state.order_id) for lane, state in self._lanes.items()},
            dict(self._floors),
            dict(self._withdrawals),
        )

    def load(self, saved: Spent) -> None:
        """Take what ``saved`` returned."""
        self._windows, self._withdrawals = saved.windows, saved.withdrawals
        self._lanes = {lane: LaneState(*state) for lane, state in saved.lanes.items()}
        self._floors = saved.floors

    # What may be used

    def next_single_shot(self, account: bytes) -> int:
        """Return a nonce that ``account`` may use now for a single shot; 0 if there is none."""
        window = self._windows.get(account, Window())
        floor = self._floors.get((account, 0, 0), 0)
        highest = max(window.highest, floor)
        if highest < SINGLE_SHOT_NONCE_MAX:
            return highest + 1
        below = range(highest, max(floor, highest - WINDOW_SIZE), -1)
        return next((nonce for nonce in below if not window.has_spent(nonce)), 0)

    def lane_now(self, lane: Lane) -> tuple[int, int]:
        """Return a nonce that may be used next on a lane half, and the order there, or 0."""
        state = self._lanes.get(lane, LaneState())
        return max(state.nonce, self._floors.get(lane, 0)) + 1, state.order_id

    def next_withdrawal(self, account: bytes) -> int:
        """Return a nonce that ``account`` may use now for a withdrawal."""
        return self._withdrawals.get(account, 0) + 1

    def reject(self, order: SignedOrder, now_ns: int) -> Rejection | None:
        """Return why the nonce of an order cannot be spent; None if it can."""
        if order.flags & SINGLE_SHOT:
            return self._reject_single_shot(order, now_ns)
        if not LANE_FIRST <= order.lane <= LANE_LAST:
            return Rejection(Outcome.BAD_LANE, {"why": "32768 .. 65535", "lane": str(order.lane)})
        if not 1 <= order.nonce <= LANE_NONCE_MAX:
            return Rejection(Outcome.BAD_NONCE, {"why": "1 .. 2**64 - 1", **_nonce(order)})
        lane = lane_of(order)
        state = self._lanes.get(lane, LaneState())
        last = max(state.nonce, self._floors.get(lane, 0))
        if order.nonce <= last:
            return Rejection(Outcome.NONCE_USED, {"last": str(last), **_nonce(order)})
        if self._is_busy(state):
            detail = {"lane": str(order.lane), "nonce_open": str(state.nonce)}
            return Rejection(Outcome.LANE_BUSY, detail)
        return _too_far(order, last, now_ns, WIDE_STEP_MAX)

    def _reject_single_shot(self, order: SignedOrder, now_ns: int) -> Rejection | None:
        if order.lane != 0:
            return Rejection(Outcome.BAD_LANE, {"why": "single-shot orders use lane 0"})
        if not 1 <= order.nonce <= SINGLE_SHOT_NONCE_MAX:
            return Rejection(Outcome.BAD_NONCE, {"why": "1 .. 2**40 - 1", **_nonce(order)})
        window = self._windows.get(order.account, Window())
        floor = self._floors.get((order.account, 0, 0), 0)
        if order.nonce <= floor or window.has_spent(order.nonce):
            last = max(window.highest, floor)
            return Rejection(Outcome.NONCE_USED, {"last": str(last), **_nonce(order)})
        last = max(window.highest, floor)
        return _too_far(order, last, now_ns // SINGLE_SHOT_CLOCK_NS, SINGLE_SHOT_STEP_MAX)

    def reject_withdrawal(self, withdrawal: SignedWithdrawal, now_ns: int) -> Rejection | None:
        """Return why the nonce of a withdrawal cannot be spent; None if it can."""
        last = self._withdrawals.get(withdrawal.account, 0)
        if withdrawal.nonce <= last:
            detail = {"last": str(last), "nonce": str(withdrawal.nonce)}
            return Rejection(Outcome.NONCE_USED, detail)
        return _too_far(withdrawal, last, now_ns, WIDE_STEP_MAX)

    def is_last_of(self, order: SignedOrder) -> bool:
        """Return whether nothing came behind an order that was refused, so that its nonce, which
        is on no chain, may still serve it."""
        lane = lane_of(order)
        if order.nonce <= self._floors.get(lane, 0):
            return False
        if order.flags & SINGLE_SHOT:
            return self._windows.get(order.account, Window()).highest == order.nonce
        state = self._lanes.get(lane, LaneState())
        return state.nonce == order.nonce and not self._is_busy(state)

    def _is_busy(self, state: LaneState) -> bool:
        stays = state.order_id and state.order_id not in self._leaving
        return state.is_coming or bool(stays)

    # What is used

    def spend(self, order: SignedOrder) -> Before:
        """Spend the nonce of an order that was admitted; return what stood there."""
        if order.flags & SINGLE_SHOT:
            window = self._windows.get(order.account)
            self._windows[order.account] = (window or Window()).spent(order.nonce)
            return Before(window=window)
        lane = lane_of(order)
        state = self._lanes.get(lane)
        before = Before(nonce=None if state is None else state.nonce)
        if state is None:
            state = self._lanes[lane] = LaneState()
        state.nonce, state.is_coming = max(state.nonce, order.nonce), True
        return before

    def spend_withdrawal(self, withdrawal: SignedWithdrawal) -> Before:
        """As ``spend``."""
        before = self._withdrawals.get(withdrawal.account)
        self._withdrawals[withdrawal.account] = max(before or 0, withdrawal.nonce)
        return Before(nonce=before)

    def put_back(self, signed: SignedOrder | SignedWithdrawal, before: Before) -> None:
        """Undo a ``spend``, the youngest first: one that something younger stands on stays spent,
        for what is put back would take that with it."""
        nonce = signed.nonce
        if isinstance(signed, SignedWithdrawal):
            if self._withdrawals.get(signed.account) != max(before.nonce or 0, nonce):
                return
            if before.nonce is None:
                del self._withdrawals[signed.account]
            else:
                self._withdrawals[signed.account] = before.nonce
        elif signed.flags & SINGLE_SHOT:
            if self._windows.get(signed.account) != (before.window or Window()).spent(nonce):
                return
            if before.window is None:
                del self._windows[signed.account]
            else:
                self._windows[signed.account] = before.window
        elif before.nonce is None:
            del self._lanes[lane_of(signed)]
        else:
            state = self._lanes[lane_of(signed)]
            state.nonce, state.is_coming = before.nonce, False

    def answered(self, order: SignedOrder) -> None:
        """An order is in the journal: whether it stands, ``stands`` says."""
        state = self._lanes.get(lane_of(order))
        if state is not None:
            state.is_coming = False

    def stands(self, lane: Lane, order_id: int) -> None:
        """An order stands on a lane half."""
        # What is admitted has been spent, but a log may say what was not: a single shot that stands
        # is in lane 0, which nobody ever asks about.
        self._lanes.setdefault(lane, LaneState()).order_id = order_id

    def left(self, lane: Lane, order_id: int) -> None:
        """The order that stood on a lane half is gone."""
        self._leaving.discard(order_id)
        state = self._lanes[lane]
        if state.order_id == order_id:
            state.order_id = 0

    def cancel_queued(self, order_id: int) -> None:
        """The cancel of an order that stands is queued: its lane may be used behind it."""
        self._leaving.add(order_id)

    def cancel_answered(self, order_id: int) -> None:
        """A cancel is over, whatever came of it."""
        self._leaving.discard(order_id)

    def cancelled_on_chain(self, half: Lane, nonce: int) -> int:
        """No order up to ``nonce`` may be admitted any more on a lane half, or as a single shot
        (lane 0). Return the order that stands there and is caught, or 0."""
        self._floors[half] = max(self._floors.get(half, 0), nonce)
        state = self._lanes.get(half, LaneState())
        return state.order_id if state.nonce <= nonce else 0


def lane_of(order: SignedOrder) -> Lane:
    """Return the lane half of an order; lane 0 for a single shot."""
    return order.account, order.lane, order.flags & UPPER_HALF


def _nonce(signed: SignedOrder | SignedWithdrawal) -> dict[str, str]:
    return {"nonce": str(signed.nonce)}


def _too_far(
    signed: SignedOrder | SignedWithdrawal, last: int, clock: int, step_max: int
) -> Rejection | None:
    bound = max(last, clock) + step_max
    if signed.nonce <= bound:
        return None
    return Rejection(Outcome.NONCE_TOO_FAR, {"highest": str(bound), **_nonce(signed)})
