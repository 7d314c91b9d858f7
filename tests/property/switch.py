"""Who had to be cancelled because time ran out? The audit's part that keeps dead men's switches.

A switch fires before the command that first sees its time, for so many orders a command; who has
more keeps the switch, and the next command goes on.
"""

from collections.abc import Callable

from engine.events import EventKind
from engine.types import ALL_MARKETS, Outcome
from tests.property.shadow import Shadow

Row = dict[str, int]


class Switch:
    """Follows ``CANCEL_AFTER``; ``work`` is how many orders may go at once."""

    def __init__(self, shadow: Shadow, work: int, now_ns: Callable[[], int]) -> None:
        self.shadow, self._work, self._now_ns = shadow, work, now_ns

    def set(self, row: Row, event: Row) -> None:
        """A dead man's switch is set or taken back."""
        assert event["amount"] == row["expiry_ns"] and event["account"] == row["account"]
        self.shadow.deadlines.pop(event["account"], None)
        if event["amount"]:
            assert event["amount"] > self._now_ns(), "it would have fired"
            self.shadow.deadlines[event["account"]] = event["amount"]

    def fire(self, events: list[Row]) -> list[Row]:
        """Take what time did before the command; return what the command did."""
        shadow, now_ns = self.shadow, self._now_ns()
        due = sorted(a for a, at in shadow.deadlines.items() if at <= now_ns)
        due = due[: self._work]
        meant = [order for order in shadow.everything() if order.account in due] if due else []
        gone, left = meant[: self._work], meant[self._work :]
        for account in {order.account for order in left}:
            due.remove(account)
            shadow.deadlines[account] = now_ns
        for order, event in zip(gone, events, strict=False):
            assert event["kind"] == EventKind.CANCELLED and event["order_id"] == order.order_id
            assert event["outcome"] == Outcome.CANCELLED_AFTER, "the switch"
            shadow.leave(event)
        for account, event in zip(due, events[len(gone) :], strict=False):
            count = sum(order.account == account for order in gone)
            told = [event[name] for name in ("kind", "account", "market", "amount", "outcome")]
            all_of_it = [EventKind.CANCELLED_ALL, account, ALL_MARKETS, count]
            assert told == [*all_of_it, Outcome.CANCELLED_AFTER], "the switch"
            del shadow.deadlines[account]
        rest = events[len(gone) + len(due) :]
        assert all(event["outcome"] != Outcome.CANCELLED_AFTER for event in rest), "too late"
        return rest
