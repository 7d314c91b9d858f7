"""How much may one client ask for?

Buckets that fill again evenly. A client address pays for what costs us arithmetic, before we look
at it; an account pays only for what is written to the journal, just before it is: nobody can spend
another's budget by forged signatures or by sending once more what it signed. Cancels and orders
draw from larger budgets than reads, so a trader who is cut off from placing can still get out.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from engine.types import Outcome
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection

NS: Final = 1_000_000_000


WITHDRAWAL_SECONDS: Final = 60
GRANT_SECONDS: Final = 86_400
DAY_SECONDS: Final = 86_400
MINUTE_SECONDS: Final = 60


class Budgets(NamedTuple):
    """How many of each within ``window_seconds``, all at once if one likes.

    A maker with 50 levels a side that moves all of them each second sends 100 orders and 100
    cancels a second; an account has room for twice that.
    """

    window_seconds: int = 10
    requests_per_address: int = 1_000
    cancels_per_address: int = 4_000
    orders_per_account: int = 2_000
    cancels_per_account: int = 4_000
    orders_per_address: int = 3_000
    withdrawals_per_account: int = 6
    """Within ``WITHDRAWAL_SECONDS``: each costs the operator a transaction."""

    grants_per_account: int = 5
    """Of session keys, within ``GRANT_SECONDS``: each costs the operator a transaction too."""

    grants_per_day: int = 500
    """Of all accounts together."""

    proofs_per_address: int = 60
    """Passkeys, codes and wallets' signatures of people who sign in: each costs milliseconds."""

    probes_per_address: int = 200
    """Of whether we are alive and ready; apart, so that a busy address does not look dead."""


class Left(NamedTuple):
    """What is left of one budget, and in how many seconds it is full again."""

    kind: str
    limit: int
    window_seconds: int
    left: int
    full_in_seconds: int


class BudgetSpent(Rejection):
    """There is not enough of one budget ``left``."""

    def __init__(
        self, detail: str, figures: Mapping[str, object], retry_after: int, left: Left
    ) -> None:
        super().__init__(Outcome.RATE_LIMITED, detail, figures, retry_after)
        self.left = left


class _Budget:
    """One kind of bucket: what it holds drips back within the window (GCRA).

    Of each client one number is kept, when its bucket will be full again. Who was not seen for a
    whole window has a full bucket, so it is forgotten without loss.
    """

    def __init__(self, kind: str, limit: int, window_seconds: int) -> None:
        self._kind = kind
        self._limit = limit
        self._window_seconds = window_seconds
        self._window_ns = window_seconds * NS
        self._step_ns = self._window_ns // limit
        self._full_at: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        """Those last seen in the window before this one."""
        self._turn_at = 0

    def charge(self, who: str, now_ns: int, count: int = 1) -> "Charge":
        """Take ``count`` from the bucket of ``who``, all or none; raises ``BudgetSpent`` if there
        are not so many."""
        self._turn(now_ns)
        full_at = self._of(who, now_ns) + count * self._step_ns
        wait_ns = full_at - now_ns - self._window_ns
        if wait_ns > 0:
            wait = seconds_up(wait_ns)
            raise BudgetSpent(
                f"more than {self._limit} in {self._window_seconds} s; try again in {wait} s",
                {"budget": self._kind, "retry_after": str(wait)},
                wait,
                self.left_of(full_at, now_ns),
            )
        self._full_at[who] = full_at
        return Charge(self, full_at, now_ns)

    def left(self, who: str, now_ns: int) -> Left:
        """Return what is left to ``who``."""
        return self.left_of(self._of(who, now_ns), now_ns)

    def _of(self, who: str, now_ns: int) -> int:
        full_at = self._full_at.get(who)
        return max(now_ns, self._earlier.get(who, 0) if full_at is None else full_at)

    def left_of(self, full_at: int, now_ns: int) -> Left:
        """Return what is left where the bucket is full at ``full_at``."""
        missing_ns = full_at - now_ns
        left = max(0, self._window_ns - missing_ns) // self._step_ns
        return Left(
            self._kind,
            self._limit,
            self._window_seconds,
            min(self._limit, left),
            seconds_up(missing_ns),
        )

    def _turn(self, now_ns: int) -> None:
        if now_ns >= self._turn_at:
            self._earlier, self._full_at = self._full_at, {}
            self._turn_at = now_ns + self._window_ns


class Charge(NamedTuple):
    """What was taken from a bucket, and when. What is left is counted for whoever tells it."""

    budget: _Budget
    full_at: int
    now_ns: int

    @property
    def left(self) -> Left:
        """Return what was left then."""
        return self.budget.left_of(self.full_at, self.now_ns)


class RateLimits:
    """The buckets of one gateway. ``now_ns`` is a clock that never goes back."""

    def __init__(self, budgets: Budgets, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.budgets = budgets
        self._now_ns = now_ns
        window = budgets.window_seconds
        self._requests = _Budget("request", budgets.requests_per_address, window)
        self._probes = _Budget("probe", budgets.probes_per_address, window)
        self._address_orders = _Budget("order-request", budgets.orders_per_address, window)
        self._address_cancels = _Budget("cancel-request", budgets.cancels_per_address, window)
        self._proofs = _Budget("proof", budgets.proofs_per_address, window)
        self._orders = _Budget("order", budgets.orders_per_account, window)
        self._account_cancels = _Budget("cancel", budgets.cancels_per_account, window)
        self._withdrawals = _Budget(
            "withdrawal", budgets.withdrawals_per_account, WITHDRAWAL_SECONDS
        )
        self._grants = _Budget("grant", budgets.grants_per_account, GRANT_SECONDS)
        self._all_grants = _Budget("grant-of-all", budgets.grants_per_day, GRANT_SECONDS)

    def grant(self, account: bytes) -> None:
        """Charge the relay of one grant to the account that has signed it, and to all of them."""
        now_ns = self._now_ns()
        self._grants.charge(account.hex(), now_ns)  # First, so that one cannot empty the other.
        self._all_grants.charge("", now_ns)

    def request(self, client: str, weight: int = 1) -> Charge:
        """Charge a request to a client address, as so many as it weighs; raises ``BudgetSpent``
        when it has not got as many left."""
        return self._requests.charge(network_of(client), self._now_ns(), weight)

    def probe(self, client: str) -> Charge:
        """Charge a client address the question whether we are alive, ready, and which program."""
        return self._probes.charge(network_of(client), self._now_ns())

    def proof(self, client: str, weight: int = 1) -> Charge:
        """Charge a client address the look at what is to prove who somebody is, before it."""
        return self._proofs.charge(network_of(client), self._now_ns(), weight)

    def order_request(self, client: str, count: int = 1) -> Charge:
        """Charge a client address the recovery of so many signers."""
        return self._address_orders.charge(network_of(client), self._now_ns(), count)

    def cancel_request(self, client: str, count: int = 1) -> Charge:
        """Charge so many cancels, or what draws from their budget, to a client address."""
        return self._address_cancels.charge(network_of(client), self._now_ns(), count)

    def order(self, account: bytes) -> None:
        """Charge one order to the account that is known to have signed it, and never before."""
        self._orders.charge(account.hex(), self._now_ns())

    def withdrawal(self, account: bytes) -> None:
        """Charge one withdrawal to the account that has signed it."""
        self._withdrawals.charge(account.hex(), self._now_ns())

    def cancel(self, account: bytes) -> None:
        """Charge one cancel to a logged-in account."""
        self._account_cancels.charge(account.hex(), self._now_ns())

    def orders_left(self, account: bytes) -> Left:
        """Return what is left to an account."""
        return self._orders.left(account.hex(), self._now_ns())

    def cancels_left(self, account: bytes) -> Left:
        """Return what is left to an account."""
        return self._account_cancels.left(account.hex(), self._now_ns())


class ShopBudgets(NamedTuple):
    """How many of each within a minute, all at once if one likes."""

    requests_per_key: int = 3_000
    invoices_per_store: int = 300
    offers_per_store: int = 120
    """Invoices that buyers ask for behind x402, apart from what the shop makes itself."""

    wrong_keys_per_address: int = 30
    rescans_per_store: int = 50
    """Within ``DAY_SECONDS``: each may cost the operator a sweep a token."""

    kept_per_store: int = 500
    """Within ``DAY_SECONDS``: what is kept for good, though it may be ended at once."""


SHOP_BUDGETS: Final = ShopBudgets()


class ShopLimits:
    """The buckets of the shops' doors: the same for all dialects, for whoever guesses goes through
    whichever lets him. ``now_ns`` is a clock that never goes back.

    A request is charged to the key, so that one program of a shop cannot use up what another needs,
    and an invoice to its store: each is watched on chain for a month. Those that buyers ask for by
    way of the shop (x402) use up none of what it makes for others. Who guesses wrong is turned
    away before the rows are looked at. Keys, grants, endpoints and buttons are few at a time, but
    who makes one and ends it again and again leaves rows, and secrets on disk, for ever.
    """

    def __init__(self, budgets: ShopBudgets, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._keys = _Budget("shop-key", budgets.requests_per_key, MINUTE_SECONDS)
        self._invoices = _Budget("shop-invoice", budgets.invoices_per_store, MINUTE_SECONDS)
        self._offers = _Budget("shop-offer", budgets.offers_per_store, MINUTE_SECONDS)
        self._wrong = _Budget("wrong-key", budgets.wrong_keys_per_address, MINUTE_SECONDS)
        self._kept = _Budget("shop-kept", budgets.kept_per_store, DAY_SECONDS)
        self._rescans = _Budget("shop-rescan", budgets.rescans_per_store, DAY_SECONDS)

    def request(self, key_id: str) -> Charge:
        """Charge one request to the key it was made with; raises ``BudgetSpent``."""
        return self._keys.charge(key_id, self._now_ns())

    def invoice(self, store_id: str) -> Charge:
        """Charge one invoice to its store; raises ``BudgetSpent``."""
        return self._invoices.charge(store_id, self._now_ns())

    def offer(self, store_id: str) -> Charge:
        """Charge one invoice that a buyer asks for to its store; raises ``BudgetSpent``."""
        return self._offers.charge(store_id, self._now_ns())

    def rescan(self, store_id: str) -> Charge:
        """Charge one look at an old address to its store; raises ``BudgetSpent``."""
        return self._rescans.charge(store_id, self._now_ns())

    def keeps(self, whose: str) -> Charge:
        """Charge something that is kept for good to the store, or person, that makes it; raises
        ``BudgetSpent``."""
        return self._kept.charge(whose, self._now_ns())

    def require_guesses(self, client: str) -> None:
        """Raise ``BudgetSpent`` where an address was wrong too often."""
        left = self._wrong.left(network_of(client), self._now_ns())
        if left.left == 0:
            wait = -(-left.window_seconds // left.limit)
            raise BudgetSpent(
                "too many wrong API keys from this address; try again later",
                {"budget": left.kind, "retry_after": str(wait)},
                wait,
                left,
            )

    def guessed_wrong(self, client: str) -> None:
        """Charge a wrong key to an address; raises ``BudgetSpent`` where it has none left."""
        self._wrong.charge(network_of(client), self._now_ns())


class PressBudgets(NamedTuple):
    """How many presses of pay buttons within a minute: each makes an invoice."""

    per_address: int = 10
    per_button: int = 120


class PressLimits:
    """The buckets of pay buttons. ``now_ns`` is a clock that never goes back."""

    def __init__(
        self, budgets: PressBudgets, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._now_ns = now_ns
        self._addresses = _Budget("press", budgets.per_address, MINUTE_SECONDS)
        self._buttons = _Budget("press-of-all", budgets.per_button, MINUTE_SECONDS)

    def press(self, client: str, button_id: str) -> None:
        """Charge one press to the address, then to the button that is there; raises
        ``BudgetSpent``."""
        self._addresses.charge(network_of(client), self._now_ns())
        self._buttons.charge(button_id, self._now_ns())


def seconds_up(duration_ns: int) -> int:
    """Return whole seconds that are not shorter than ``duration_ns``."""
    return -(-duration_ns // NS)
