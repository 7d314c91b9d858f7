"""Can this signed order be settled, whatever happens to it in the book?

The contract will check signature, nonce, lane, expiry, scope and exact amounts when the batch
arrives, and one order that fails there takes its whole batch down. So everything the contract
will demand is demanded here, before the order gets a sequence. What only the ledger knows
(balance, fee cap, capacity) is left to the engine.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from typing import Final, NamedTuple

import msgspec
import numpy as np

from engine.commands import Kind, command
from engine.events import EVENT, EventKind, Events
from engine.log_entries import Committed, LogEntry
from engine.types import LOTS_MAX, PIPS_PER_TOKEN, PRICE_MAX, OrderFlag, Outcome, Side, TimeInForce
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Catalog, Market
from settlement.orders.nonces import NS, Before, Lane, Nonces, Refused, Spent, lane_of
from settlement.orders.session_keys import MAY_BUY, MAY_SELL, KeyBook
from settlement.protocol.evidence import OrderBits, SignedOrder, SignedWithdrawal, evidence_of

EXPIRY_MAX_S: Final = 30 * 24 * 3600
"""How far ahead an order may expire: what is remembered of it is remembered no longer."""

AGAIN_NS: Final = 600 * NS
"""How long after its first refusal a signed order may still be tried again. Not for ever: whoever
holds a copy of it may do so too."""

ANSWERS_MAX: Final = 1 << 17
"""Answers kept for those who send an order again, beside those to orders that stand. Older ones
are answered by their nonce: it is spent."""

EXPIRIES_SPARE: Final = 1024

SIGNED: Final = frozenset(map(int, (Kind.PLACE, Kind.REPLACE, Kind.WITHDRAW, Kind.POISON)))
"""Commands that may carry a signature: what it was for is spent, whatever became of it."""

ANSWERS: Final = frozenset(map(int, (EventKind.ACCEPTED, EventKind.REJECTED, EventKind.POISONED)))

# As plain numbers: to compare a field with a member of an enum costs more than the rest of a step.
_ACCEPTED: Final = int(EventKind.ACCEPTED)
_TRADE: Final = int(EventKind.TRADE)
_STANDS: Final = frozenset(map(int, (EventKind.RESTED, EventKind.ARMED)))
_ENDS: Final = frozenset(map(int, (EventKind.CANCELLED, EventKind.UNFILLED)))


class First(NamedTuple):
    """What became of an order the first time its digest was seen, or the last time it was refused.

    ``rows`` are the events about the order itself, as bytes; ``refused_ns`` is when it was refused
    first, 0 for an order that was taken.
    """

    outcome: Outcome
    sequence: int
    time_ns: int
    order_id: int
    rows: bytes = b""
    refused_ns: int = 0

    def events(self) -> Events | None:
        """Return what the order led to when it came in; None if it was not taken."""
        return np.frombuffer(self.rows, EVENT) if self.rows else None


class _Promise(NamedTuple):
    """Something that was admitted and is not in the journal yet, and what stood before it."""

    signed: SignedOrder | SignedWithdrawal
    before: Before


class _Standing(NamedTuple):
    """An order in the book: its lane half, digest and client id."""

    lane: Lane
    digest: bytes
    client_id: str


class _Memory(msgspec.Struct):
    """Everything that the journal has made us remember, as it stands in a snapshot."""

    spent: Spent
    standing: dict[int, _Standing]
    first: list[tuple[bytes, First]]
    client_ids: dict[tuple[bytes, str], bytes]
    expiries: list[tuple[int, int]]
    key_of_order: dict[int, tuple[bytes, bytes]]
    notional_used: dict[tuple[bytes, bytes], int]


class Admission:
    """Nonces, lanes, digests and client ids of all accounts; rebuilt from the journal."""

    checkpoint_name = "admission/2"

    def __init__(self, catalog: Catalog, keys: KeyBook, answers_max: int = ANSWERS_MAX) -> None:
        self._catalog = catalog
        self._keys = keys
        self._answers_max = answers_max
        self._nonces = Nonces()
        self._standing: dict[int, _Standing] = {}
        self._first: OrderedDict[bytes, First] = OrderedDict()
        self._client_ids: dict[tuple[bytes, str], bytes] = {}
        """Names of orders that are on their way or stand, with their digests."""
        self._expiries: list[tuple[int, int]] = []
        self._key_orders: dict[tuple[bytes, bytes], set[int]] = {}
        self._key_of_order: dict[int, tuple[bytes, bytes]] = {}
        self._in_flight: dict[bytes, _Promise] = {}

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``: what is in flight may never reach the journal."""
        keys, nonces = deepcopy(self._keys), Nonces()
        nonces.load(self._nonces.saved())
        client_ids = dict(self._client_ids)
        for signed, before in reversed(self._in_flight.values()):
            nonces.put_back(signed, before)
            if isinstance(signed, SignedWithdrawal):
                continue
            client_ids.pop((signed.account, signed.client_id), None)
            if signed.signer != signed.account:
                keys.use(signed.account, signed.signer, -signed.quote_amount)
        return msgspec.msgpack.encode(
            _Memory(
                nonces.saved(),
                self._standing,
                list(self._first.items()),
                client_ids,
                self._expiries,
                self._key_of_order,
                keys.notional_used,
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._nonces.load(saved.spent)
        self._standing, self._key_of_order = saved.standing, saved.key_of_order
        self._first = OrderedDict(saved.first)
        self._client_ids = saved.client_ids
        self._expiries = saved.expiries
        self._key_orders = {}
        for order_id, key in saved.key_of_order.items():
            self._key_orders.setdefault(key, set()).add(order_id)
        self._keys.notional_used = saved.notional_used

    def take_back(self, digest: bytes) -> None:
        """Forget an order or withdrawal that was admitted and then refused for want of disk.

        Call it for the youngest first: each puts back what stood before it.
        """
        signed, before = self._in_flight.pop(digest)
        self._nonces.put_back(signed, before)
        if isinstance(signed, SignedWithdrawal):
            return
        self._free_client_id(signed.account, signed.client_id, digest)
        if signed.signer != signed.account:
            self._keys.use(signed.account, signed.signer, -signed.quote_amount)

    def first(self, digest: bytes) -> First | None:
        """Return the first answer to this very order, for a resend; None if it is not known."""
        return self._first.get(digest)

    def may_try_again(self, order: SignedOrder, now_ns: int) -> bool:
        """Return whether an order that the engine refused may be sequenced once more.

        Only while its nonce could still be used on chain, and soon. What broke an assertion of ours
        would break it again.
        """
        first = self._first.get(order.digest)
        return (
            first is not None
            and first.outcome not in (Outcome.ACCEPTED, Outcome.POISONED)
            and now_ns - first.refused_ns <= AGAIN_NS
            and self._nonces.is_last_of(order)
        )

    def next_nonce(self, account: bytes) -> int:
        """Return a single-shot nonce that ``account`` may use now; 0 if it has none left."""
        return self._nonces.next_single_shot(account)

    def next_withdrawal_nonce(self, account: bytes) -> int:
        """Return a nonce that ``account`` may use now for a withdrawal."""
        return self._nonces.next_withdrawal(account)

    def lane_now(self, account: bytes, lane: int, upper_half: bool) -> tuple[int, int]:
        """Return the next nonce of a lane half, and the order that stands there, or 0."""
        return self._nonces.lane_now(_half(account, lane, upper_half))

    def cancel_queued(self, account: bytes, order_id: int) -> bool:
        """A cancel of an account's order is about to be queued; return whether it is its own.

        Commands are carried out in their order, and a cancel by its owner leaves no order behind,
        for if it is refused the order was gone. So its lane may be used by what is queued later.
        """
        standing = self._standing.get(order_id)
        if standing is None or standing.lane[0] != account:
            return False
        self._nonces.cancel_queued(order_id)
        return True

    def cancel_answered(self, order_id: int) -> None:
        """The cancel of ``cancel_queued`` is over."""
        self._nonces.cancel_answered(order_id)

    def key_notional_left(self, account: bytes, key: bytes) -> int | None:
        """Return what a session key may still trade, as ``KeyBook.left_of``."""
        return self._keys.left_of(account, key)

    def has_expired(self, now_ns: int) -> bool:
        """Return whether an order is in the book that the engine's clock has not yet removed."""
        while self._expiries and self._expiries[0][1] not in self._standing:
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
        caught = self._nonces.cancelled_on_chain(_half(account, lane, upper_half), nonce)
        return [caught] if lane and caught else []

    def admit(self, order: SignedOrder, now_ns: int) -> np.void | Refused:
        """Return the PLACE command for ``order`` and spend its nonce, or say why not.

        A refusal changes nothing.
        """
        judged = self.judge(order, now_ns)
        if not isinstance(judged, Refused):
            self.promise(order)
        return judged

    def judge(self, order: SignedOrder, now_ns: int) -> np.void | Refused:
        """Return the PLACE command for ``order``, or say why not; changes nothing."""
        market = self._catalog.market_of_pair(order.base, order.quote)
        if market is None:
            pair = {"base": order.base.hex(), "quote": order.quote.hex()}
            return Refused(Outcome.UNKNOWN_MARKET, pair)
        checks: tuple[Callable[[], Refused | None], ...] = (
            lambda: self._refuse_identity(order),
            lambda: _refuse_expiry(order, now_ns),
            lambda: _refuse_amounts(order, market),
            lambda: self._refuse_nonce(order, now_ns),
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
        return _place(order, market, account)

    def promise(self, order: SignedOrder) -> None:
        """Spend what an order needs that was judged good, and is queued next."""
        self._in_flight[order.digest] = _Promise(order, self._spend(order))

    def admit_withdrawal(self, withdrawal: SignedWithdrawal, now_ns: int) -> Refused | None:
        """Spend the withdrawal's nonce, or say why it cannot be."""
        refused = self._nonces.refuse_withdrawal(withdrawal, now_ns)
        if refused is not None:
            return refused
        before = self._nonces.spend_withdrawal(withdrawal)
        self._in_flight[withdrawal.digest] = _Promise(withdrawal, before)
        return None

    def consume(self, batch: Committed) -> None:
        """Follow the journal: nonces spent, lanes opened and closed, first answers."""
        for frame in batch.entries:
            placed: SignedOrder | None = None
            bust = busted_by(frame)
            if bust is not None:
                for account, key, notional_pips in bust.keys:
                    self._keys.use(account, key, -notional_pips)
            elif frame.command["kind"] in SIGNED:
                signed = evidence_of(frame)
                if isinstance(signed, SignedOrder):
                    placed = signed
                    if self._in_flight.pop(placed.digest, None) is None:
                        self._spend(placed)
                elif (
                    isinstance(signed, SignedWithdrawal)
                    and self._in_flight.pop(signed.digest, None) is None
                ):
                    self._nonces.spend_withdrawal(signed)
            order_id = self._answer(placed, frame) if placed is not None else 0
            self._follow(frame.events, placed, order_id)
            if placed is not None and order_id not in self._standing:
                self._free_client_id(placed.account, placed.client_id, placed.digest)

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

    def _refuse_nonce(self, order: SignedOrder, now_ns: int) -> Refused | None:
        if self.may_try_again(order, now_ns):
            return None
        return self._nonces.refuse(order, now_ns)

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

    def _spend(self, order: SignedOrder) -> Before:
        if order.client_id:
            self._client_ids[order.account, order.client_id] = order.digest
        if order.signer != order.account:
            # The contract counts at the order's own limit, so this is all that it can use up.
            self._keys.use(order.account, order.signer, order.quote_amount)
        return self._nonces.spend(order)

    def _answer(self, order: SignedOrder, frame: LogEntry) -> int:
        """Keep what became of ``order``; return the engine's id, 0 if it was not taken."""
        self._nonces.answered(order)
        own = [event for event in frame.answer if event["kind"] in ANSWERS]
        time_ns = int(frame.command["time_ns"])
        if own[0]["kind"] == _ACCEPTED:
            order_id = int(own[0]["order_id"])
            events = frame.events
            about = (events["order_id"] == order_id) | (events["maker_id"] == order_id)
            rows = events[about].tobytes()
            answer = First(Outcome.ACCEPTED, frame.sequence, time_ns, order_id, rows)
        else:
            order_id, before = 0, self._first.get(order.digest)
            since = time_ns if before is None else before.refused_ns
            outcome = Outcome(int(own[0]["outcome"]))
            answer = First(outcome, frame.sequence, time_ns, 0, refused_ns=since)
        self._first[order.digest] = answer
        self._forget_answers()
        self._give_back(order, order_id, frame.events)
        return order_id

    def _forget_answers(self) -> None:
        """Drop the oldest answers above the bound, but none to an order that stands."""
        while len(self._first) > self._answers_max + len(self._standing):
            digest, oldest = self._first.popitem(last=False)
            if oldest.order_id in self._standing:
                self._first[digest] = oldest

    def _give_back(self, order: SignedOrder, order_id: int, events: Events) -> None:
        """Return to a session key the notional of what neither traded nor stands."""
        if order.signer == order.account:
            return
        lots = kept_lots = 0
        for event in events:
            if order_id == 0 or event["order_id"] != order_id:
                continue
            if event["kind"] == _ACCEPTED:
                lots = int(event["amount"])
            elif event["kind"] in _STANDS:
                kept_lots += _lots_open(event)
                break  # What happens to it from here on is somebody else's trade with it.
            elif event["kind"] == _TRADE:
                kept_lots += int(event["amount"])
        kept = order.quote_amount * kept_lots // lots if kept_lots else 0
        self._keys.use(order.account, order.signer, kept - order.quote_amount)

    def _follow(self, events: Events, placed: SignedOrder | None, order_id: int) -> None:
        """Open and close lanes in the order in which things happened."""
        about_whom = zip(events["kind"].tolist(), events["order_id"].tolist(), events, strict=True)
        for kind, about, event in about_whom:
            if kind in _STANDS:
                if placed is not None and about == order_id:
                    self._open_lane(placed, order_id)
            elif kind == _TRADE:
                if event["maker_left"] == 0:
                    self._close_lane(int(event["maker_id"]))
                if event["order_left"] == 0:
                    self._close_lane(about)
            elif kind in _ENDS:
                key = self._key_of_order.get(about)
                if key is not None:
                    market = self._catalog.markets[int(event["market"])]
                    left = market.quote_pips(_lots_open(event), int(event["price_ticks"]))
                    self._keys.use(*key, -left)
                self._close_lane(about)

    def _open_lane(self, order: SignedOrder, order_id: int) -> None:
        """Remember that an order stands, and who signed it."""
        lane = lane_of(order)
        self._standing[order_id] = _Standing(lane, order.digest, order.client_id)
        self._nonces.stands(lane, order_id)
        heapq.heappush(self._expiries, (order.expiry, order_id))
        if len(self._expiries) > 2 * len(self._standing) + EXPIRIES_SPARE:
            # Most are of orders that left long before they would have expired.
            self._expiries = [due for due in self._expiries if due[1] in self._standing]
            heapq.heapify(self._expiries)
        if order.signer != order.account:
            key = (order.account, order.signer)
            self._key_of_order[order_id] = key
            self._key_orders.setdefault(key, set()).add(order_id)

    def _close_lane(self, order_id: int) -> None:
        standing = self._standing.pop(order_id, None)
        if standing is not None:
            self._nonces.left(standing.lane, order_id)
            self._free_client_id(standing.lane[0], standing.client_id, standing.digest)
        key = self._key_of_order.pop(order_id, None)
        if key is not None:
            self._key_orders[key].discard(order_id)
            if not self._key_orders[key]:
                del self._key_orders[key]

    def _free_client_id(self, account: bytes, client_id: str, digest: bytes) -> None:
        """An order is over, whose name another may have now."""
        if self._client_ids.get((account, client_id)) == digest:
            del self._client_ids[account, client_id]


def _half(account: bytes, lane: int, upper_half: bool) -> Lane:
    return account, lane, int(OrderBits.UPPER_HALF) if upper_half else 0


def _lots_open(event: np.void) -> int:
    """Return the lots of an order that an event names, those in sight and those hidden."""
    return int(event["amount"]) + int(event["maker_left"])


def _refuse_expiry(order: SignedOrder, now_ns: int) -> Refused | None:
    if order.expiry * NS <= now_ns:
        return Refused(
            Outcome.ORDER_EXPIRED, {"expiry": str(order.expiry), "now": str(now_ns // NS)}
        )
    latest = now_ns // NS + EXPIRY_MAX_S
    if order.expiry > latest:
        return Refused(Outcome.EXPIRY_TOO_FAR, {"expiry": str(order.expiry), "latest": str(latest)})
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
