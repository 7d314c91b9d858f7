"""Can this signed order be settled, whatever happens to it in the book?

The contract will check signature, nonce, lane, expiry, scope and exact amounts when the batch
arrives, and one order that fails there takes its whole batch down. So everything the contract
will demand is demanded here, before the order gets a sequence. What only the ledger knows
(balance, fee cap, capacity) is left to the engine.
"""

import heapq
from collections.abc import Callable
from copy import deepcopy
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from engine.commands import Kind, command
from engine.events import EventKind, Events
from engine.frames import Committed, Frame
from engine.types import LOTS_MAX, PIPS_PER_TOKEN, PRICE_MAX, OrderFlag, Outcome, Side, TimeInForce
from settlement.attachments import OrderBits, SignedOrder, SignedWithdrawal, decode
from settlement.busts import busted_by
from settlement.catalog import Catalog, Market
from settlement.keys import MAY_BUY, MAY_SELL, KeyBook

LANE_FIRST: Final = 0x8000
LANE_LAST: Final = 0xFFFF
SINGLE_SHOT_NONCE_MAX: Final = (1 << 40) - 1
LANE_NONCE_MAX: Final = (1 << 64) - 1
NS: Final = 1_000_000_000
PRUNE_EVERY: Final = 4096

K = TypeVar("K")
V = TypeVar("V")
Lane = tuple[bytes, int, int]
"""(account, lane, half): one slot on chain that carries one order at a time."""


SIGNED: Final = (Kind.PLACE, Kind.REPLACE, Kind.WITHDRAW, Kind.POISON)
"""Commands that may carry a signature: what it was for is spent, whatever became of it."""

ANSWERS: Final = (EventKind.ACCEPTED, EventKind.REJECTED, EventKind.POISONED)


class Refused(NamedTuple):
    """Why an order was not admitted, with figures for the client."""

    outcome: Outcome
    detail: dict[str, str]


class First(NamedTuple):
    """What became of an order the first time its digest was seen."""

    outcome: Outcome
    sequence: int
    time_ns: int
    order_id: int


class _LaneState:
    __slots__ = ("nonce", "open", "order_id")

    def __init__(self, nonce: int = 0, is_open: bool = False, order_id: int = 0) -> None:
        self.nonce = nonce
        self.open = is_open
        self.order_id = order_id
        """The order that stands there, 0 while it is on its way or there is none."""

    def all(self) -> tuple[int, bool, int]:
        """Return what a lane is made from."""
        return self.nonce, self.open, self.order_id


class _Promise(NamedTuple):
    """Something that was admitted and is not in the journal yet, and what stood before it."""

    signed: SignedOrder | SignedWithdrawal
    nonce_before: int | None = None
    lane_before: tuple[int, bool, int] | None = None


class _Memory(msgspec.Struct):
    """Everything that the journal has made us remember, as it stands in a snapshot."""

    single_shot: dict[bytes, int]
    lanes: dict[Lane, tuple[int, bool, int]]
    lane_of_order: dict[int, Lane]
    first: dict[bytes, tuple[int, First]]
    client_ids: dict[tuple[bytes, str], bytes]
    withdrawals: dict[bytes, int]
    expiries: list[tuple[int, int]]
    key_of_order: dict[int, tuple[bytes, bytes]]
    notional_used: dict[tuple[bytes, bytes], int]
    since_prune: int


class Admission:
    """Nonces, lanes, digests and client ids of all accounts; rebuilt from the journal."""

    memory_name = "admission/1"

    def __init__(self, catalog: Catalog, keys: KeyBook) -> None:
        self._catalog = catalog
        self._keys = keys
        self._single_shot: dict[bytes, int] = {}
        self._lanes: dict[Lane, _LaneState] = {}
        self._lane_of_order: dict[int, Lane] = {}
        self._first: dict[bytes, tuple[int, First | None]] = {}
        self._client_ids: dict[tuple[bytes, str], bytes] = {}
        self._owner_of_client_id: dict[bytes, tuple[bytes, str]] = {}
        self._withdrawals: dict[bytes, int] = {}
        self._expiries: list[tuple[int, int]] = []
        self._key_orders: dict[tuple[bytes, bytes], set[int]] = {}
        self._key_of_order: dict[int, tuple[bytes, bytes]] = {}
        self._since_prune = 0
        self._in_flight: dict[bytes, _Promise] = {}

    def save(self) -> bytes:
        """See ``engine.frames.Rememberer``: what is in flight may never reach the journal."""
        single_shot, withdrawals = dict(self._single_shot), dict(self._withdrawals)
        lanes = {lane: state.all() for lane, state in self._lanes.items()}
        keys, since_prune = deepcopy(self._keys), self._since_prune
        for signed, nonce, lane in reversed(self._in_flight.values()):
            if isinstance(signed, SignedWithdrawal):
                _put_back(withdrawals, signed.account, nonce)
                continue
            since_prune -= 1
            if signed.flags & OrderBits.SINGLE_SHOT:
                _put_back(single_shot, signed.account, nonce)
            else:
                _put_back(lanes, _lane(signed), lane)
            if signed.signer != signed.account:
                keys.use(signed.account, signed.signer, -signed.quote_amount)
        return msgspec.msgpack.encode(
            _Memory(
                single_shot,
                lanes,
                self._lane_of_order,
                {
                    digest: (expiry, answer)
                    for digest, (expiry, answer) in self._first.items()
                    if answer is not None
                },
                {
                    owner: digest
                    for owner, digest in self._client_ids.items()
                    if digest not in self._in_flight
                },
                withdrawals,
                self._expiries,
                self._key_of_order,
                keys.notional_used,
                since_prune,
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.frames.Rememberer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._single_shot, self._withdrawals = saved.single_shot, saved.withdrawals
        self._lanes = {lane: _LaneState(*state) for lane, state in saved.lanes.items()}
        self._lane_of_order, self._key_of_order = saved.lane_of_order, saved.key_of_order
        self._first = dict(saved.first)
        self._client_ids = saved.client_ids
        self._owner_of_client_id = {d: owner for owner, d in saved.client_ids.items()}
        self._expiries, self._since_prune = saved.expiries, saved.since_prune
        self._key_orders = {}
        for order_id, key in saved.key_of_order.items():
            self._key_orders.setdefault(key, set()).add(order_id)
        self._keys.notional_used = saved.notional_used

    def take_back(self, digest: bytes) -> None:
        """Forget an order or withdrawal that was admitted and then refused for want of disk.

        Call it for the youngest first: each puts back what stood before it.
        """
        signed, nonce, lane = self._in_flight.pop(digest)
        if isinstance(signed, SignedWithdrawal):
            _put_back(self._withdrawals, signed.account, nonce)
            return
        self._since_prune -= 1
        del self._first[digest]
        owner = self._owner_of_client_id.pop(digest, None)
        if owner is not None:
            del self._client_ids[owner]
        if signed.flags & OrderBits.SINGLE_SHOT:
            _put_back(self._single_shot, signed.account, nonce)
        else:
            _put_back(self._lanes, _lane(signed), None if lane is None else _LaneState(*lane))
        if signed.signer != signed.account:
            self._keys.use(signed.account, signed.signer, -signed.quote_amount)

    def first(self, digest: bytes) -> First | None:
        """Return the first answer to this very order, for a resend; None if it is not known."""
        found = self._first.get(digest)
        return found[1] if found is not None else None

    def next_nonce(self, account: bytes) -> int:
        """Return a single-shot nonce that ``account`` may use now."""
        return self._single_shot.get(account, 0) + 1

    def key_notional_left(self, account: bytes, key: bytes) -> int | None:
        """Return what a session key may still trade, as ``KeyBook.left_of``."""
        return self._keys.left_of(account, key)

    def has_expired(self, now_ns: int) -> bool:
        """Return whether an order is in the book that the engine's clock has not yet removed."""
        while self._expiries and self._expiries[0][1] not in self._lane_of_order:
            heapq.heappop(self._expiries)
        return bool(self._expiries) and self._expiries[0][0] * NS <= now_ns

    def open_orders_of_key(self, account: bytes, key: bytes) -> list[int]:
        """Return the resting orders that a session key signed."""
        return sorted(self._key_orders.get((account, key), ()))

    def cancelled_on_chain(
        self, account: bytes, lane: int, upper_half: bool, nonce: int
    ) -> list[int]:
        """No order up to ``nonce`` is admitted on a lane half, or as a single shot (lane 0).

        Return the resting orders that this catches. Binds here at once, there after the exit
        delay, so what is matched by now still settles.
        """
        if lane == 0:
            self._single_shot[account] = max(self._single_shot.get(account, 0), nonce)
            return []
        half = (account, lane, int(OrderBits.UPPER_HALF) if upper_half else 0)
        state = self._lanes.setdefault(half, _LaneState())
        caught = state.open and state.nonce <= nonce
        state.nonce = max(state.nonce, nonce)
        if not caught:
            return []
        return [order_id for order_id, at in self._lane_of_order.items() if at == half]

    def admit(self, order: SignedOrder, now_ns: int) -> np.void | Refused:
        """Return the PLACE command for ``order`` and spend its nonce, or say why not.

        A refusal changes nothing.
        """
        market = self._catalog.market_of_pair(order.base, order.quote)
        if market is None:
            pair = {"base": order.base.hex(), "quote": order.quote.hex()}
            return Refused(Outcome.UNKNOWN_MARKET, pair)
        checks: tuple[Callable[[], Refused | None], ...] = (
            lambda: self._refuse_identity(order),
            lambda: _refuse_expiry(order, now_ns),
            lambda: _refuse_amounts(order, market),
            lambda: self._refuse_nonce(order),
            lambda: self._refuse_key(order, market),
        )
        for check in checks:
            refused = check()
            if refused is not None:
                return refused
        account = self._catalog.account_number(order.account)
        if account is None:
            return Refused(
                Outcome.INSUFFICIENT_BALANCE, {"why": "the account has never had a deposit"}
            )
        self._spend(order, now_ns)
        return _place(order, market, account)

    def admit_withdrawal(self, withdrawal: SignedWithdrawal) -> Refused | None:
        """Spend the withdrawal's nonce, or say that it is not above the account's last."""
        last = self._withdrawals.get(withdrawal.account, 0)
        if withdrawal.nonce <= last:
            detail = {"last": str(last), "nonce": str(withdrawal.nonce)}
            return Refused(Outcome.NONCE_USED, detail)
        before = self._withdrawals.get(withdrawal.account)
        self._in_flight[withdrawal.digest] = _Promise(withdrawal, before)
        self._withdrawals[withdrawal.account] = withdrawal.nonce
        return None

    def consume(self, batch: Committed) -> None:
        """Follow the journal: nonces spent, lanes opened and closed, first answers."""
        for frame in batch.frames():
            placed: SignedOrder | None = None
            bust = busted_by(frame)
            if bust is not None:
                for account, key, notional_pips in bust.keys:
                    self._keys.use(account, key, -notional_pips)
            elif frame.command["kind"] in SIGNED:
                signed = decode(frame.attachment)
                if isinstance(signed, SignedOrder):
                    placed = signed
                    self._spend(placed, int(frame.command["time_ns"]))
                elif isinstance(signed, SignedWithdrawal):
                    last = self._withdrawals.get(signed.account, 0)
                    self._withdrawals[signed.account] = max(last, signed.nonce)
                    self._in_flight.pop(signed.digest, None)
            order_id = self._answer(placed, frame) if placed is not None else 0
            self._follow(frame.events, placed, order_id)

    def _refuse_identity(self, order: SignedOrder) -> Refused | None:
        bits = order.flags
        if bits & ~int(
            OrderBits.SELL | OrderBits.SINGLE_SHOT | OrderBits.UPPER_HALF | OrderBits.POST_ONLY
        ):
            return Refused(Outcome.BAD_ORDER, {"why": "unknown flag bits", "flags": str(bits)})
        if bits & OrderBits.SINGLE_SHOT and bits & (OrderBits.UPPER_HALF | OrderBits.POST_ONLY):
            return Refused(
                Outcome.BAD_ORDER, {"why": "single-shot orders have no lane half and do not post"}
            )
        if order.client_id:
            digest = self._client_ids.get((order.account, order.client_id))
            if digest is not None and digest != order.digest:
                return Refused(Outcome.DUPLICATE_CLIENT_ID, {"client_id": order.client_id})
        return None

    def _refuse_nonce(self, order: SignedOrder) -> Refused | None:
        if order.flags & OrderBits.SINGLE_SHOT:
            if order.lane != 0:
                return Refused(Outcome.BAD_LANE, {"why": "single-shot orders use lane 0"})
            if not 1 <= order.nonce <= SINGLE_SHOT_NONCE_MAX:
                return Refused(Outcome.BAD_NONCE, {"why": "1 .. 2**40 - 1", **_nonce(order)})
            last = self._single_shot.get(order.account, 0)
            if order.nonce <= last:
                return Refused(Outcome.NONCE_USED, {"last": str(last), **_nonce(order)})
            return None
        if not LANE_FIRST <= order.lane <= LANE_LAST:
            return Refused(Outcome.BAD_LANE, {"why": "32768 .. 65535", "lane": str(order.lane)})
        if not 1 <= order.nonce <= LANE_NONCE_MAX:
            return Refused(Outcome.BAD_NONCE, {"why": "1 .. 2**64 - 1", **_nonce(order)})
        lane = self._lanes.get(_lane(order))
        if lane is not None and order.nonce <= lane.nonce:
            return Refused(Outcome.NONCE_USED, {"last": str(lane.nonce), **_nonce(order)})
        if lane is not None and lane.open:
            return Refused(
                Outcome.LANE_BUSY, {"lane": str(order.lane), "nonce_open": str(lane.nonce)}
            )
        return None

    def _refuse_key(self, order: SignedOrder, market: Market) -> Refused | None:
        if order.signer == order.account:
            return None
        grant = self._keys.grant_of(order.account, order.signer)
        if grant is None:
            return Refused(Outcome.UNKNOWN_KEY, {"recovered": "0x" + order.signer.hex()})
        is_sell = bool(order.flags & OrderBits.SELL)
        if (grant.base, grant.quote) != (market.base.address, market.quote.address):
            return Refused(Outcome.KEY_SCOPE, {"why": "the key is for another market"})
        if not grant.sides & (MAY_SELL if is_sell else MAY_BUY):
            return Refused(Outcome.KEY_SCOPE, {"why": "the key may not trade this side"})
        if order.expiry > grant.expiry:
            return Refused(Outcome.KEY_SCOPE, {"why": "the order outlives the key"})
        floor = grant.floor_price * order.base_amount
        if is_sell and order.quote_amount * PIPS_PER_TOKEN < floor:
            return Refused(Outcome.KEY_SCOPE, {"why": "the limit is below the key's floor price"})
        left = self._keys.notional_left(order.account, order.signer)
        if order.quote_amount > left:
            return Refused(
                Outcome.KEY_SCOPE,
                {
                    "why": "the key's notional is used up",
                    "left_pips": str(left),
                    "needed_pips": str(order.quote_amount),
                },
            )
        return None

    def _spend(self, order: SignedOrder, now_ns: int) -> None:
        if order.digest in self._first:
            return
        self._first[order.digest] = (order.expiry, None)
        self._in_flight[order.digest] = self._promise(order)
        if order.client_id:
            self._client_ids[order.account, order.client_id] = order.digest
            self._owner_of_client_id[order.digest] = (order.account, order.client_id)
        if order.flags & OrderBits.SINGLE_SHOT:
            last = self._single_shot.get(order.account, 0)
            self._single_shot[order.account] = max(last, order.nonce)
        else:
            lane = self._lanes.setdefault(_lane(order), _LaneState())
            lane.nonce, lane.open = max(lane.nonce, order.nonce), True
        if order.signer != order.account:
            # The contract counts at the order's own limit, so this is all that it can use up.
            self._keys.use(order.account, order.signer, order.quote_amount)
        self._since_prune += 1
        if self._since_prune >= PRUNE_EVERY:
            self._prune(now_ns // NS)

    def _promise(self, order: SignedOrder) -> _Promise:
        if order.flags & OrderBits.SINGLE_SHOT:
            return _Promise(order, nonce_before=self._single_shot.get(order.account))
        lane = self._lanes.get(_lane(order))
        return _Promise(order, lane_before=None if lane is None else lane.all())

    def _answer(self, order: SignedOrder, frame: Frame) -> int:
        """Keep what became of ``order``; return the engine's id, 0 if it was not taken."""
        self._in_flight.pop(order.digest, None)
        own = [event for event in frame.answer if event["kind"] in ANSWERS]
        accepted = own[0]["kind"] == EventKind.ACCEPTED
        order_id = int(own[0]["order_id"]) if accepted else 0
        outcome = Outcome.ACCEPTED if accepted else Outcome(int(own[0]["outcome"]))
        answer = First(outcome, frame.sequence, int(frame.command["time_ns"]), order_id)
        self._first[order.digest] = (order.expiry, answer)
        self._give_back(order, order_id, frame.events)
        return order_id

    def _give_back(self, order: SignedOrder, order_id: int, events: Events) -> None:
        """Return to a session key the notional of what neither traded nor stands."""
        if order.signer == order.account:
            return
        lots = kept_lots = 0
        for event in events:
            if order_id == 0 or event["order_id"] != order_id:
                continue
            if event["kind"] == EventKind.ACCEPTED:
                lots = int(event["amount"])
            elif event["kind"] in (EventKind.RESTED, EventKind.ARMED):
                kept_lots += _lots_open(event)
                break  # What happens to it from here on is somebody else's trade with it.
            elif event["kind"] == EventKind.TRADE:
                kept_lots += int(event["amount"])
        kept = order.quote_amount * kept_lots // lots if kept_lots else 0
        self._keys.use(order.account, order.signer, kept - order.quote_amount)

    def _follow(self, events: Events, placed: SignedOrder | None, order_id: int) -> None:
        """Open and close lanes in the order in which things happened."""
        for event in events:
            kind, about = event["kind"], int(event["order_id"])
            if kind in (EventKind.RESTED, EventKind.ARMED):
                if placed is not None and about == order_id:
                    self._open_lane(placed, order_id)
            elif kind == EventKind.TRADE:
                if event["maker_left"] == 0:
                    self._close_lane(int(event["maker_id"]))
                if event["order_left"] == 0:
                    self._close_lane(about)
            elif kind in (EventKind.CANCELLED, EventKind.UNFILLED):
                key = self._key_of_order.get(about)
                if key is not None:
                    market = self._catalog.markets[int(event["market"])]
                    left = market.quote_pips(_lots_open(event), int(event["price_ticks"]))
                    self._keys.use(*key, -left)
                self._close_lane(about)
        lane = None if placed is None else self._lanes.get(_lane(placed))
        if lane is not None and lane.order_id == 0:
            lane.open = False

    def _open_lane(self, order: SignedOrder, order_id: int) -> None:
        """Remember that an order stands, and who signed it."""
        self._lane_of_order[order_id] = _lane(order)
        # A single shot that waits for its trigger is in lane 0, which nobody ever asks about.
        lane = self._lanes.setdefault(_lane(order), _LaneState())
        lane.open, lane.order_id = True, order_id
        heapq.heappush(self._expiries, (order.expiry, order_id))
        if order.signer != order.account:
            key = (order.account, order.signer)
            self._key_of_order[order_id] = key
            self._key_orders.setdefault(key, set()).add(order_id)

    def _close_lane(self, order_id: int) -> None:
        lane = self._lane_of_order.pop(order_id, None)
        if lane is not None:
            self._lanes[lane].open, self._lanes[lane].order_id = False, 0
        key = self._key_of_order.pop(order_id, None)
        if key is not None:
            self._key_orders[key].discard(order_id)

    def _prune(self, now: int) -> None:
        """Forget digests that have expired: sent again they are refused as expired anyway."""
        self._since_prune = 0
        dead = [
            digest
            for digest, (expiry, answer) in self._first.items()
            if expiry < now and answer is not None
        ]
        for digest in dead:
            del self._first[digest]
            owner = self._owner_of_client_id.pop(digest, None)
            if owner is not None and self._client_ids.get(owner) == digest:
                del self._client_ids[owner]


def _put_back(table: dict[K, V], key: K, before: V | None) -> None:
    """Let ``table`` have at ``key`` what it had before, which may be nothing."""
    if before is None:
        table.pop(key, None)
    else:
        table[key] = before


def _lots_open(event: np.void) -> int:
    """Return the lots of an order that an event names, those in sight and those hidden."""
    return int(event["amount"]) + int(event["maker_left"])


def _lane(order: SignedOrder) -> Lane:
    return order.account, order.lane, order.flags & OrderBits.UPPER_HALF


def _nonce(order: SignedOrder) -> dict[str, str]:
    return {"nonce": str(order.nonce)}


def _refuse_expiry(order: SignedOrder, now_ns: int) -> Refused | None:
    if order.expiry * NS <= now_ns:
        return Refused(
            Outcome.ORDER_EXPIRED, {"expiry": str(order.expiry), "now": str(now_ns // NS)}
        )
    return None


def _refuse_amounts(order: SignedOrder, market: Market) -> Refused | None:
    lots, rest = divmod(order.base_amount, market.lot_pips)
    if rest or not 1 <= lots <= LOTS_MAX:
        outcome = Outcome.OFF_LOT if rest else Outcome.QUANTITY_OUT_OF_RANGE
        return Refused(
            outcome, {"base_amount": str(order.base_amount), "lot_pips": str(market.lot_pips)}
        )
    ticks, rest = divmod(order.quote_amount, lots * market.tick_pips)
    if rest or not 1 <= ticks <= PRICE_MAX:
        outcome = Outcome.OFF_TICK if rest else Outcome.PRICE_OUT_OF_RANGE
        return Refused(
            outcome,
            {
                "quote_amount": str(order.quote_amount),
                "lots": str(lots),
                "tick_pips": str(market.tick_pips),
            },
        )
    return None


def _place(order: SignedOrder, market: Market, account: int) -> np.void:
    lots = order.base_amount // market.lot_pips
    single_shot = bool(order.flags & OrderBits.SINGLE_SHOT)
    flags = OrderFlag.SINGLE_SHOT if single_shot else OrderFlag.NONE
    if order.flags & OrderBits.POST_ONLY:
        flags |= OrderFlag.POST_ONLY
    return command(
        Kind.PLACE,
        market=market.number,
        account=account,
        side=Side.SELL if order.flags & OrderBits.SELL else Side.BUY,
        tif=TimeInForce.IOC if single_shot else TimeInForce.GTC,
        flags=flags,
        price_ticks=order.quote_amount // (lots * market.tick_pips),
        amount=lots,
        fee_cap_ppm=order.max_fee_ppm,
        expiry_ns=order.expiry * NS,
    )
