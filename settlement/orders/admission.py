"""Can this signed order be settled, whatever happens to it in the book?

The contract will check signature, nonce, lane, expiry, scope and exact amounts when the batch
arrives, and one order that fails there takes its whole batch down. So everything the contract
will demand is demanded here, before the order gets a sequence. What only the ledger knows
(balance, fee cap, capacity) is left to the engine.
"""

from typing import Final

import msgspec
import numpy as np

from engine.commands import Kind
from engine.events import EventKind
from engine.log_entries import Committed, LogEntry
from engine.types import PIPS_PER_TOKEN, Outcome
from settlement.orders.busts import busted_by
from settlement.orders.catalog import Catalog, Market
from settlement.orders.client_ids import SavedIds
from settlement.orders.deadlines import Deadlines
from settlement.orders.first_answers import ANSWERS_MAX, First, FirstAnswers
from settlement.orders.key_budgets import Key, KeyBudgets, lots_open
from settlement.orders.nonces import NS, Lane, Nonces, Rejection, Spent, lane_of
from settlement.orders.reservations import Reservations, Undo
from settlement.orders.session_keys import MAY_BUY, MAY_SELL, GrantedKey, SessionKeys
from settlement.orders.standing import KeyOrder, Saved, Standing, StandingOrders
from settlement.orders.terms import amounts_rejection, flags_rejection, place_row
from settlement.protocol.evidence import (
    SELL,
    UPPER_HALF,
    SignedOrder,
    SignedWithdrawal,
    evidence_of,
)

EXPIRY_MAX_S: Final = 30 * 24 * 3600
"""How far ahead an order may expire: what is remembered of it is remembered no longer."""

SIGNED: Final = frozenset(map(int, (Kind.PLACE, Kind.REPLACE, Kind.WITHDRAW, Kind.POISON)))
"""Commands that may carry a signature: what it was for is spent, whatever became of it."""

# As plain numbers: to compare a field with a member of an enum costs more than the rest of a step.
_TRADE: Final = int(EventKind.TRADE)
_AMENDED: Final = int(EventKind.AMENDED)
_SWITCH_SET: Final = int(EventKind.CANCEL_AFTER_SET)
_CANCELLED_ALL: Final = int(EventKind.CANCELLED_ALL)
_CANCELLED_AFTER: Final = int(Outcome.CANCELLED_AFTER)
_STANDS: Final = frozenset(map(int, (EventKind.RESTED, EventKind.ARMED)))
_ENDS: Final = frozenset(map(int, (EventKind.CANCELLED, EventKind.UNFILLED)))


class _Memory(msgspec.Struct):
    """Everything that the journal has made us remember, as it stands in a snapshot."""

    spent: Spent
    standing: dict[int, Standing]
    first: list[tuple[bytes, First]]
    client_ids: SavedIds
    expiries: list[tuple[int, int]]
    key_orders: dict[int, KeyOrder]
    notional_used: dict[Key, int]
    deadlines: dict[int, int]


class Admission:
    """The checks in front of the engine, for all accounts; what they know the journal rebuilds."""

    checkpoint_name = "admission/3"

    def __init__(self, catalog: Catalog, keys: SessionKeys, answers_max: int = ANSWERS_MAX) -> None:
        self._catalog = catalog
        self._keys = keys
        self.standing = StandingOrders()
        self._nonces = Nonces()
        self._answers = FirstAnswers(self.standing, answers_max)
        self.budgets = KeyBudgets(keys)
        self._reservations = Reservations(self._nonces, self._answers, self.budgets)
        self._deadlines = Deadlines()
        self._in_flight: dict[bytes, Undo] = {}
        """By digest what is admitted and not in the journal yet, the oldest first."""

    def save(self) -> bytes:
        """See ``CheckpointedConsumer``: what is in flight may never reach the journal."""
        kept = self._reservations.copy()
        for undo in reversed(self._in_flight.values()):
            kept.undo(undo)
        standing, expiries, key_orders = self.standing.save()
        answers, client_ids = kept.answers.save()
        return msgspec.msgpack.encode(
            _Memory(
                kept.nonces.saved(),
                standing,
                answers,
                client_ids,
                expiries,
                key_orders,
                kept.budgets.save(),
                self._deadlines.save(),
            )
        )

    def load(self, memory: bytes) -> None:
        """See ``engine.log_entries.CheckpointedConsumer``."""
        saved = msgspec.msgpack.decode(memory, type=_Memory)
        self._nonces.load(saved.spent)
        self.standing.load(Saved(saved.standing, saved.expiries, saved.key_orders))
        self._deadlines.load(saved.deadlines)
        self._answers.load(saved.first, saved.client_ids)
        self.budgets.load(saved.notional_used)

    def roll_back(self, digest: bytes) -> None:
        """Forget an order or withdrawal that was admitted and then refused for want of disk.

        Call it for the youngest first: each puts back what stood before it.
        """
        self._reservations.undo(self._in_flight.pop(digest))

    def first(self, digest: bytes) -> First | None:
        """Return the first answer to this very order, for a resend; None if it is not known."""
        return self._answers.of(digest)

    def may_try_again(self, order: SignedOrder, now_ns: int) -> bool:
        """Return whether an order that the engine refused may be sequenced once more.

        Only while its nonce could still be used on chain, and soon.
        """
        is_fresh = self._answers.may_try_again(order.digest, now_ns)
        return is_fresh and self._nonces.is_last_of(order)

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
        standing = self.standing.of(order_id)
        if standing is None or standing.lane[0] != account:
            return False
        self._nonces.cancel_queued(order_id)
        return True

    def cancel_answered(self, order_id: int) -> None:
        """The cancel of ``cancel_queued`` is over."""
        self._nonces.cancel_answered(order_id)

    def key_notional_left(self, account: bytes, key: bytes) -> int | None:
        """Return what a session key may still trade, as ``KeyBudgets.left_of``."""
        return self.budgets.left_of(account, key)

    def keys_of(self, account: bytes) -> list[GrantedKey]:
        """Return the session keys of ``account`` and what each may still trade."""
        return [
            GrantedKey(
                grant,
                self._keys.is_revoked(account, grant.key),
                max(0, self.budgets.left_of(account, grant.key) or 0),
            )
            for grant in self._keys.of_account(account)
        ]

    def refuse_key(self, account: bytes, key: bytes) -> None:
        """Take no new order of a session key; a grant on chain brings it back."""
        self._keys.revoked(account, key)

    def has_expired(self, now_ns: int) -> bool:
        """Return whether an order is in the book that the engine's clock has not yet removed, or a
        dead man's switch waits for that clock."""
        return self.standing.has_expired(now_ns) or self._deadlines.is_due(now_ns)

    def order_named(self, account: bytes, client_id: str) -> tuple[bytes, int]:
        """Return digest and engine's id of an account's order by its client id: the id is 0 while
        it is on its way, and the digest empty where none is known that stands or ended lately."""
        ids = self._answers.client_ids
        digest = ids.digest_of(account, client_id)
        if digest is None:
            ended = ids.ended_of(account, client_id)
            return (b"", 0) if ended is None else (ended.digest, ended.order_id)
        first = self._answers.of(digest)
        return digest, 0 if first is None else first.order_id

    def open_orders_of_key(self, account: bytes, key: bytes) -> list[int]:
        """Return the resting orders that a session key signed."""
        return self.standing.of_key(account, key)

    def cancelled_on_chain(
        self, account: bytes, lane: int, upper_half: bool, nonce: int
    ) -> list[int]:
        """No order up to ``nonce`` is admitted on a lane half, or as a single shot (lane 0).

        Return the resting orders that this catches. Binds here at once, there after the exit
        delay, so what is matched by now still settles.
        """
        caught = self._nonces.cancelled_on_chain(_half(account, lane, upper_half), nonce)
        return [caught] if lane and caught else []

    def admit(self, order: SignedOrder, now_ns: int) -> np.void | Rejection:
        """Return the PLACE command for ``order`` and spend its nonce, or say why not.

        A rejection changes nothing.
        """
        judged = self.judge(order, now_ns)
        if not isinstance(judged, Rejection):
            self.reserve(order)
        return judged

    def judge(self, order: SignedOrder, now_ns: int) -> np.void | Rejection:
        """Return the PLACE command for ``order``, or say why not; changes nothing."""
        market = self._catalog.market_of_pair(order.base, order.quote)
        if market is None:
            pair = {"base": order.base.hex(), "quote": order.quote.hex()}
            return Rejection(Outcome.UNKNOWN_MARKET, pair)
        rejection = (
            self._reject_identity(order, now_ns)
            or _reject_expiry(order, now_ns)
            or amounts_rejection(order, market)
            or self._reject_nonce(order, now_ns)
            or self._reject_key(order, market)
        )
        if rejection is not None:
            return rejection
        account = self._catalog.account_number(order.account)
        if account is None:
            return Rejection(
                Outcome.INSUFFICIENT_BALANCE, {"why": "the account has never had a deposit"}
            )
        return place_row(order, market, account)

    def reserve(self, order: SignedOrder) -> None:
        """Spend what an order needs that was judged good, and is queued next."""
        self._in_flight[order.digest] = self._reservations.spend(order)

    def admit_withdrawal(self, withdrawal: SignedWithdrawal, now_ns: int) -> Rejection | None:
        """Spend the withdrawal's nonce, or say why it cannot be."""
        rejection = self._nonces.reject_withdrawal(withdrawal, now_ns)
        if rejection is not None:
            return rejection
        self._in_flight[withdrawal.digest] = self._reservations.spend(withdrawal)
        return None

    def consume(self, batch: Committed) -> None:
        """Follow the journal: nonces spent, lanes opened and closed, first answers."""
        for entry in batch.entries:
            placed: SignedOrder | None = None
            bust = busted_by(entry)
            if bust is not None:
                for use in bust.keys:
                    self.budgets.busted(use)
            elif entry.command.kind in SIGNED:
                signed = evidence_of(entry)
                if isinstance(signed, SignedOrder | SignedWithdrawal):
                    if self._in_flight.pop(signed.digest, None) is None:
                        self._reservations.spend(signed)
                    placed = signed if isinstance(signed, SignedOrder) else None
            order_id = 0
            if placed is not None:
                self._nonces.answered(placed)
                order_id = self._answers.answered(placed, entry)
                self.budgets.answered(placed, order_id, entry.events)
            self._follow(entry, placed, order_id)
            if placed is not None and order_id not in self.standing:
                self._over(placed, order_id, entry.command.time_ns)

    def _reject_identity(self, order: SignedOrder, now_ns: int) -> Rejection | None:
        rejection = flags_rejection(order.flags)
        if rejection is not None:
            return rejection
        named = self._answers.named_otherwise(order, now_ns) if order.client_id else None
        return None if named is None else Rejection(Outcome.DUPLICATE_CLIENT_ID, named)

    def _reject_nonce(self, order: SignedOrder, now_ns: int) -> Rejection | None:
        if self.may_try_again(order, now_ns):
            return None
        return self._nonces.reject(order, now_ns)

    def _reject_key(self, order: SignedOrder, market: Market) -> Rejection | None:
        if order.signer == order.account:
            return None
        grant = self._keys.grant_of(order.account, order.signer)
        if grant is None:
            return Rejection(Outcome.UNKNOWN_KEY, {"recovered": "0x" + order.signer.hex()})
        is_sell = bool(order.flags & SELL)
        if (grant.base, grant.quote) != (market.base.address, market.quote.address):
            return Rejection(Outcome.KEY_SCOPE, {"why": "the key is for another market"})
        if not grant.sides & (MAY_SELL if is_sell else MAY_BUY):
            return Rejection(Outcome.KEY_SCOPE, {"why": "the key may not trade this side"})
        if order.expiry > grant.expiry:
            return Rejection(Outcome.KEY_SCOPE, {"why": "the order outlives the key"})
        floor = grant.floor_price * order.base_amount
        if is_sell and order.quote_amount * PIPS_PER_TOKEN < floor:
            return Rejection(Outcome.KEY_SCOPE, {"why": "the limit is below the key's floor price"})
        left = self.budgets.left(order.account, order.signer)
        if order.quote_amount > left:
            return Rejection(
                Outcome.KEY_SCOPE,
                {
                    "why": "the key's notional is used up",
                    "left_pips": str(left),
                    "needed_pips": str(order.quote_amount),
                },
            )
        return None

    def _follow(self, entry: LogEntry, placed: SignedOrder | None, order_id: int) -> None:
        """Open and close lanes in the order in which things happened."""
        now_ns = entry.command.time_ns
        for event in entry.events:
            kind, about = event.kind, event.order_id
            if kind in _STANDS:
                if placed is not None and about == order_id:
                    market: Market = entry.markets[event.market]
                    self.standing.opened(placed, order_id, lots_open(event), market.lot_pips)
                    self._nonces.stands(lane_of(placed), order_id)
            elif kind == _TRADE:
                if event.maker_left == 0:
                    self._close_lane(event.maker_id, now_ns)
                else:
                    self.standing.traded(event.maker_id, event.maker_left)
                if event.order_left == 0:
                    self._close_lane(about, now_ns)
                else:
                    self.standing.traded(about, event.order_left)
            elif kind == _AMENDED:
                self._shrinks(about, lots_open(event))
            elif kind in _ENDS:
                self._shrinks(about, 0)
                self._close_lane(about, now_ns)
            elif kind == _SWITCH_SET:
                self._deadlines.set(event.account, event.amount)
            elif kind == _CANCELLED_ALL and event.outcome == _CANCELLED_AFTER:
                self._deadlines.set(event.account, 0)

    def _over(self, placed: SignedOrder, order_id: int, now_ns: int) -> None:
        """An order does not stand behind its own command: it traded, or was refused."""
        if order_id:
            self._answers.ended(placed.account, placed.client_id, placed.digest, now_ns)
        else:
            self._answers.undo(placed)

    def _shrinks(self, order_id: int, lots: int) -> None:
        """Of an order that stands only ``lots`` are left, without a trade: what its session key was
        charged for the others it has again."""
        order = self.standing.key_order(order_id)
        if order is not None:
            self.budgets.ended(order.key, (order.lots - lots) * order.lot_quote_pips)
            self.standing.traded(order_id, lots)

    def _close_lane(self, order_id: int, now_ns: int) -> None:
        standing = self.standing.closed(order_id)
        if standing is not None:
            self._nonces.left(standing.lane, order_id)
            account, client_id = standing.lane[0], standing.client_id
            self._answers.ended(account, client_id, standing.digest, now_ns)


def _half(account: bytes, lane: int, upper_half: bool) -> Lane:
    return account, lane, UPPER_HALF if upper_half else 0


def _reject_expiry(order: SignedOrder, now_ns: int) -> Rejection | None:
    if order.expiry * NS <= now_ns:
        return Rejection(
            Outcome.ORDER_EXPIRED, {"expiry": str(order.expiry), "now": str(now_ns // NS)}
        )
    latest = now_ns // NS + EXPIRY_MAX_S
    if order.expiry > latest:
        return Rejection(
            Outcome.EXPIRY_TOO_FAR, {"expiry": str(order.expiry), "latest": str(latest)}
        )
    return None
