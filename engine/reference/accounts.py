"""How do tokens and accounts come to be, and how does money come in and go out?"""

from engine.events import EventKind
from engine.reference.cancel import Cancels
from engine.reference.state import State
from engine.reference.validate import Row
from engine.types import MONEY_MAX, MoneyFlag, Outcome

ALWAYS = int(MoneyFlag.ALWAYS)


class Accounts:
    """Carries out the commands about accounts and balances."""

    def __init__(self, state: State, cancels: Cancels) -> None:
        """Keep the accounts of ``state``; ``cancels`` takes the orders of who leaves or owes."""
        self.state = state
        self.cancels = cancels

    def list_token(self, row: Row) -> Outcome:
        """Carry out LIST_TOKEN."""
        ledger = self.state.ledger
        if row["token"] != ledger.tokens:
            return Outcome.BAD_LISTING
        if ledger.tokens == self.state.limits.tokens:
            return Outcome.CAPACITY
        ledger.list_token()
        self.state.emit(EventKind.TOKEN_LISTED, token=row["token"])
        return Outcome.ACCEPTED

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
        if not 1 <= amount <= MONEY_MAX or not self.state.ledger.has_room(token, amount, 0):
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
        has_happened = row["flags"] & ALWAYS
        if not has_happened and self.state.exits[account]:
            return Outcome.ACCOUNT_FROZEN
        if not has_happened and self.state.ledger.owes(account):
            return Outcome.IN_DEBT
        if not 1 <= amount <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        if has_happened:
            if not self.state.ledger.may_owe(account, token, amount):
                return Outcome.AMOUNT_OUT_OF_RANGE
        elif amount > self.state.ledger.available[account, token]:
            return Outcome.INSUFFICIENT_BALANCE
        self.state.emit(EventKind.WITHDRAWN, account=account, token=token, amount=amount)
        self.state.ledger.supply[token] -= amount
        self.take(account, token, amount)
        return Outcome.ACCEPTED

    def take(self, account: int, token: int, pips: int) -> None:
        """Take what the account must give; where it is not available its orders go first."""
        if pips > self.state.ledger.available[account, token]:
            self.cancels.sweep(lambda order: order.account == account, Outcome.IN_DEBT)
        self.state.ledger.charge(account, token, pips)

    def exit_begin(self, row: Row) -> Outcome:
        """Carry out EXIT_BEGIN: the account's orders go, in slot order."""
        account = row["account"]
        if account >= len(self.state.exits):
            return Outcome.UNKNOWN_ACCOUNT
        self.state.exits[account] += 1
        self.state.emit(EventKind.EXIT_BEGUN, account=account)
        self.cancels.sweep(lambda order: order.account == account, Outcome.EXITING)
        return Outcome.ACCEPTED

    def exit_end(self, row: Row) -> Outcome:
        """Carry out EXIT_END."""
        account, token, amount = row["account"], row["token"], row["amount"]
        unknown = self.unknown_owner(row)
        if unknown:
            return unknown
        if row["flags"] & ALWAYS:
            return self.exit_has_ended(account, token, amount, row["price_ticks"])
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

    def exit_has_ended(self, account: int, token: int, amount: int, unpaid: int) -> Outcome:
        """Book what an exit has taken out of the vault: it was first, whoever else wanted it.

        ``unpaid`` pips of withdrawals that were debited before may have been taken with it.
        """
        if not 0 <= amount <= MONEY_MAX or not 0 <= unpaid <= MONEY_MAX:
            return Outcome.AMOUNT_OUT_OF_RANGE
        ledger = self.state.ledger
        from_unpaid = min(max(amount - ledger.owns(account, token), 0), unpaid)
        amount -= from_unpaid
        if not ledger.may_owe(account, token, amount):
            return Outcome.AMOUNT_OUT_OF_RANGE
        self.state.exits[account] = max(self.state.exits[account] - 1, 0)
        self.state.emit(
            EventKind.EXIT_ENDED,
            account=account,
            token=token,
            amount=amount,
            order_left=from_unpaid,
        )
        ledger.supply[token] -= amount
        self.take(account, token, amount)
        return Outcome.ACCEPTED

    def validate_bust(self, row: Row) -> Outcome:
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
        if ledger.fees[market.quote] < sum(fees):
            return Outcome.INSUFFICIENT_BALANCE
        sides = (buyer, market.base, base), (seller, market.quote, quote - fees[1])
        if row["flags"] & ALWAYS:
            # Nothing leaves the exchange: what one side owes the other has.
            room = all(
                ledger.has_room(token, 0, max(pips - ledger.owns(account, token), 0))
                for account, token, pips in sides
            )
            return Outcome.ACCEPTED if room else Outcome.AMOUNT_OUT_OF_RANGE
        if any(ledger.available[account, token] < pips for account, token, pips in sides):
            return Outcome.INSUFFICIENT_BALANCE
        return Outcome.ACCEPTED

    def bust(self, row: Row) -> Outcome:
        """Carry out BUST: both get back what they gave, the fees included."""
        verdict = self.validate_bust(row)
        if verdict != Outcome.ACCEPTED:
            return verdict
        buyer, seller, base, quote = (
            row[name] for name in ("account", "fee_cap_ppm", "price_ticks", "amount")
        )
        buyer_fee, seller_fee = row["order_id"], row["expiry_ns"]
        market, ledger = self.state.markets[row["market"]], self.state.ledger
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
        self.take(buyer, market.base, base)
        self.take(seller, market.quote, quote - seller_fee)
        ledger.add(buyer, market.quote, quote + buyer_fee)
        ledger.add(seller, market.base, base)
        ledger.fees[market.quote] -= buyer_fee + seller_fee
        return Outcome.ACCEPTED
