"""What may a session key still trade?

A notional budget a key: what each has used is counted over its whole life, apart from its grants.
The journal is replayed before the newest grants are seen, and a wider grant forgives nothing that
is matched and not settled yet.
"""

from collections.abc import Sequence
from typing import Final

from engine.events import EventKind
from engine.log_entries import EventRow
from settlement.orders.session_keys import SessionKeys
from settlement.protocol.evidence import KeyUse, SignedOrder

Key = tuple[bytes, bytes]
"""(account, session key)."""

# As plain numbers: to compare a field with a member of an enum costs more than the rest of a step.
_ACCEPTED: Final = int(EventKind.ACCEPTED)
_TRADE: Final = int(EventKind.TRADE)
_STANDS: Final = frozenset(map(int, (EventKind.RESTED, EventKind.ARMED)))


class KeyBudgets:
    """Notional that admission has promised away, by key."""

    def __init__(self, keys: SessionKeys) -> None:
        self._keys = keys
        self._used: dict[Key, int] = {}

    def copy(self) -> "KeyBudgets":
        """Return one that can be changed apart."""
        twin = KeyBudgets(self._keys)
        twin.load(dict(self._used))
        return twin

    def save(self) -> dict[Key, int]:
        """Return what a snapshot keeps."""
        return self._used

    def load(self, saved: dict[Key, int]) -> None:
        """Take what ``save`` returned."""
        self._used = saved

    def left(self, account: bytes, key: bytes) -> int:
        """Return quote pips that the key may still trade, revoked or not; 0 for an unknown key."""
        cap = self._keys.cap_of(account, key)
        return 0 if cap is None else cap - self._used.get((account, key), 0)

    def left_of(self, account: bytes, key: bytes) -> int | None:
        """Return quote pips that a key may still trade: 0 when revoked, None when not known yet."""
        if self._keys.is_revoked(account, key):
            return 0
        return None if self._keys.cap_of(account, key) is None else self.left(account, key)

    def spend(self, order: SignedOrder) -> None:
        """Promise an order its notional: the contract counts at the order's own limit, so this is
        all that it can use up."""
        if order.signer != order.account:
            self._use((order.account, order.signer), order.quote_amount)

    def undo(self, order: SignedOrder) -> None:
        """Take back what ``spend`` promised."""
        if order.signer != order.account:
            self._use((order.account, order.signer), -order.quote_amount)

    def answered(self, order: SignedOrder, order_id: int, events: Sequence[EventRow]) -> None:
        """Take back what neither traded nor stands; ``order_id`` is 0 where it was not taken."""
        if order.signer == order.account:
            return
        lots = kept_lots = 0
        for event in events:
            if order_id == 0 or event.order_id != order_id:
                continue
            if event.kind == _ACCEPTED:
                lots = event.amount
            elif event.kind in _STANDS:
                kept_lots += lots_open(event)
                break  # What happens to it from here on is somebody else's trade with it.
            elif event.kind == _TRADE:
                kept_lots += event.amount
        kept = order.quote_amount * kept_lots // lots if kept_lots else 0
        self._use((order.account, order.signer), kept - order.quote_amount)

    def ended(self, key: Key, left_pips: int) -> None:
        """An order of ``key`` left the book with ``left_pips`` that never traded."""
        self._use(key, -left_pips)

    def busted(self, use: KeyUse) -> None:
        """A trade that was counted for a key is undone."""
        account, key, notional_pips = use
        self._use((account, key), -notional_pips)

    def _use(self, key: Key, notional_pips: int) -> None:
        used = self._used.pop(key, 0) + notional_pips
        if used:
            self._used[key] = used


def lots_open(event: EventRow) -> int:
    """Return the lots of an order that an event names, those in sight and those hidden."""
    return event.amount + event.maker_left
