"""Who owns what and who owes, if the commands about money and their events are all one knows?

A part of the audit. Money that has left the vault, or a trade that the chain refused, is booked
whatever a balance says; who cannot give it has no order left afterwards and owes the rest.
"""

from engine.commands import Kind
from engine.events import EventKind
from engine.types import MoneyFlag, Outcome
from tests.property.shadow import Open, Shadow, toward

Row = dict[str, int]


class Purse:
    """Follows deposits, trades, withdrawals, exits and busts."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.short: set[int] = set()
        """Accounts that this command took more of than they had free."""

    def money_in(self, row: Row, event: Row) -> None:
        """A deposit."""
        self.shadow.owned[event["account"], event["token"]] += event["amount"]

    def money_out(self, row: Row, event: Row) -> None:
        """A withdrawal or the end of an exit; who is leaving or owes can do the latter only."""
        account, token, taken = event["account"], event["token"], event["amount"]
        shadow, ends = self.shadow, event["kind"] == EventKind.EXIT_ENDED
        has_happened = row["flags"] & MoneyFlag.ALWAYS
        if not has_happened:
            assert (shadow.exits[account] > 0) == ends, "an account that leaves, or does not"
            assert ends or not shadow.owes(account), "a debtor was paid"
        shadow.exits[account] = max(shadow.exits[account] - ends, 0)
        missing = max(row["amount"] - max(shadow.owned[account, token], 0), 0)
        covered = min(missing, row["price_ticks"]) if ends and has_happened else 0
        assert (taken, event["order_left"]) == (row["amount"] - covered, covered), "I1: who paid?"
        shadow.owned[account, token] -= taken
        self.note(account, token)

    def leaving(self, row: Row, event: Row) -> None:
        """An account begins to leave."""
        self.shadow.exits[event["account"]] += 1

    def busted(self, row: Row, event: Row) -> None:
        """A trade is undone."""
        self.shadow.undo(row, event)
        listing = self.shadow.listings[event["market"]]
        self.note(event["account"], listing.base)
        self.note(event["maker_account"], listing.quote)

    def traded(self, event: Row, taker: Open, maker: Open) -> None:
        """I6: the buyer's debit is the seller's credit and the fees, exactly."""
        listing, lots = self.shadow.listings[taker.market], event["amount"]
        base_pips, notional = lots * listing.lot_pips, listing.notional(lots, event["price_ticks"])
        rates = listing.taker_ppm, listing.maker_ppm
        if event["outcome"] == Outcome.AUCTION:
            rates = (max(listing.maker_ppm, 0),) * 2
        names = ("fee_pips", "maker_fee_pips")
        for order, name, ppm in zip((taker, maker), names, rates, strict=True):
            size = notional * abs(ppm) // 10**6
            fee = size if ppm >= 0 else -size
            assert event[name] == fee, name
            sign = toward(order.side)
            self.shadow.owned[order.account, listing.base] += sign * base_pips
            self.shadow.owned[order.account, listing.quote] -= sign * notional + fee
            self.shadow.fees[listing.quote] += fee
        assert event["fee_pips"] + event["maker_fee_pips"] >= 0, "I6: a rebate nobody paid"

    def note(self, account: int, token: int) -> None:
        """See whether an account had free what was taken of it."""
        held = self.shadow.held().get((account, token), 0)
        if self.shadow.owned[account, token] < held:
            self.short.add(account)

    def may_cancel(self, row: Row, account: int) -> bool:
        """Return whether an order may be gone because its account owes."""
        moves = row["kind"] in (Kind.BUST, Kind.WITHDRAW, Kind.EXIT_END)
        return moves and bool(row["flags"] & MoneyFlag.ALWAYS) and account in self.short

    def finish(self) -> None:
        """After a command: who was short has no order, and nobody else owes."""
        left = {order.account for order in self.shadow.everything()}
        assert not self.short & left, "an order of an account that was short"
        self.short = set()
