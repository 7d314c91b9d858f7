"""How do accounts come, how does money come and go, and what does leaving mean?"""

from engine.events import EventKind
from engine.reference.judge import Row
from engine.reference.state import State
from engine.types import MONEY_MAX, Outcome


class Money:
    """Carries out the commands about accounts and balances."""

    def __init__(self, state: State) -> None:
        """Keep the accounts of ``state``."""
        self.state = state

    def open_account(self, row: Row) -> Outcome:
        """Carry out OPEN_ACCOUNT."""
        state = self.state
        if row["account"] != len(state.exits):
            return Outcome.BAD_LISTING
        if len(state.exits) == state.limits.accounts:
            return Outcome.CAPACITY
        state.exits.append(0)
        state.emit(EventKind.ACCOUNT_OPENED, account=row["account"])
        return Outcome.ACCEPTED

    def unknown_owner(self, row: Row) -> Outcome:
        """Return why there is no such balance, or ACCEPTED."""
        if row["token"] >= self.state.ledger.tokens:
            return Outcome.UNKNOWN_TOKEN
        if row["account"] >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        return Outcome.ACCEPTED

    def deposit(self, row: Row) -> Outcome:
        """Carry out DEPOSIT."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if amount < 1 or self.state.ledger.supply[token] + amount > MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        self.state.ledger.bring_in(account, token, amount)
        self.state.emit(EventKind.DEPOSITED, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    def withdraw(self, row: Row) -> Outcome:
        """Carry out WITHDRAW."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if self.state.exits[account]:
            return Outcome.ACCOUNT_FROZEN
        if not 1 <= amount <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        if amount > self.state.ledger.available[account, token]:
            return Outcome.INSUFFICIENT_BALANCE
        self.state.ledger.take_out(account, token, amount)
        self.state.emit(EventKind.WITHDRAWN, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    def exit_begin(self, row: Row) -> Outcome:
        """Carry out EXIT_BEGIN: the account's orders go, in slot order."""
        account = row["account"]
        if account >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        self.state.exits[account] += 1
        self.state.emit(EventKind.EXIT_BEGUN, account=account)
        self.state.sweep(lambda order: order.account == account, Outcome.EXITING)
        return Outcome.ACCEPTED

    def exit_end(self, row: Row) -> Outcome:
        """Carry out EXIT_END."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if not self.state.exits[account]:
            return Outcome.NOT_FROZEN
        if not 0 <= amount <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        if amount > self.state.ledger.available[account, token]:
            return Outcome.INSUFFICIENT_BALANCE
        self.state.exits[account] -= 1
        self.state.ledger.take_out(account, token, amount)
        self.state.emit(EventKind.EXIT_ENDED, account=account, token=token, amount=amount)
        return Outcome.ACCEPTED

    def judge_bust(self, row: Row) -> Outcome:
        """Return ACCEPTED or why a trade cannot be undone."""
        buyer, seller, base, quote = (
            row[name] for name in ("account", "fee_cap_ppm", "price_ticks", "amount")
        )
        fees = row["order_id"], row["expiry_ns"]
        if row["market"] >= len(self.state.markets):
            return Outcome.UNKNOWN_MARKET
        if max(buyer, seller) >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        if buyer == seller:
            return Outcome.BAD_ORDER
        if not (1 <= base <= MONEY_MAX and 1 <= quote <= MONEY_MAX):
            return Outcome.AMOUNT_OUT_OF_RANGE
        if max(fees) > quote or min(fees) < -quote or sum(fees) < 0:
            return Outcome.AMOUNT_OUT_OF_RANGE
        market, ledger = self.state.markets[row["market"]], self.state.ledger
        if (
            ledger.available[buyer, market.base] < base
            or ledger.available[seller, market.quote] < quote - fees[1]
            or ledger.fees[market.quote] < sum(fees)
        ):
            return Outcome.INSUFFICIENT_BALANCE
        return Outcome.ACCEPTED

    def bust(self, row: Row) -> Outcome:
        """Carry out BUST: both get back what they gave, the fees included."""
        judged = self.judge_bust(row)
        if judged != Outcome.ACCEPTED:
            return judged
        buyer, seller, base, quote = (
            row[name] for name in ("account", "fee_cap_ppm", "price_ticks", "amount")
        )
        buyer_fee, seller_fee = row["order_id"], row["expiry_ns"]
        market, ledger = self.state.markets[row["market"]], self.state.ledger
        ledger.add(buyer, market.base, -base)
        ledger.add(buyer, market.quote, quote + buyer_fee)
        ledger.add(seller, market.base, base)
        ledger.add(seller, market.quote, seller_fee - quote)
        ledger.fees[market.quote] -= buyer_fee + seller_fee
        self.state.emit(
            EventKind.TRADE_BUSTED,
            market=row["market"],
            account=buyer,
            maker_account=seller,
            price_ticks=base,
            amount=quote,
            fee=buyer_fee,
            maker_fee=seller_fee,
        )
        return Outcome.ACCEPTED
