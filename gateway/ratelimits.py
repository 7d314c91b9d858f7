"""How much may one client ask for?

Moving windows in memory. A client address pays before its signature is looked at; an account pays
only after the signature is known to be its own, so that nobody can spend another's budget. Cancels
draw from larger budgets of their own: a trader who is cut off from placing can still get out.
"""

import ipaddress
import time
from typing import Final, NamedTuple

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from engine.types import Outcome
from gateway.problems import Rejected

KEYS_MAX: Final = 100_000
"""Above this many keys the windows are dropped: the storage itself never forgets a name."""


WITHDRAWAL_SECONDS: Final = 60


class Budgets(NamedTuple):
    """How many of each within ``window_seconds``."""

    window_seconds: int = 10
    requests_per_address: int = 1_000
    cancels_per_address: int = 4_000
    orders_per_account: int = 500
    cancels_per_account: int = 2_000
    withdrawals_per_account: int = 6
    """Within ``WITHDRAWAL_SECONDS``: each costs the operator a transaction."""


class RateLimits:
    """The windows of one gateway."""

    def __init__(self, budgets: Budgets) -> None:
        self._storage = MemoryStorage()
        self._windows = MovingWindowRateLimiter(self._storage)
        window = budgets.window_seconds
        self._requests = RateLimitItemPerSecond(budgets.requests_per_address, window)
        self._address_cancels = RateLimitItemPerSecond(budgets.cancels_per_address, window)
        self._orders = RateLimitItemPerSecond(budgets.orders_per_account, window)
        self._account_cancels = RateLimitItemPerSecond(budgets.cancels_per_account, window)
        self._withdrawals = RateLimitItemPerSecond(
            budgets.withdrawals_per_account, WITHDRAWAL_SECONDS
        )

    def request(self, client: str) -> None:
        """Charge one request to a client address; raises ``Rejected`` when it has none left."""
        self._charge(self._requests, "request", network_of(client))

    def cancel_request(self, client: str) -> None:
        """Charge one cancel to a client address."""
        self._charge(self._address_cancels, "cancel-request", network_of(client))

    def order(self, account: bytes) -> None:
        """Charge one order to the account that is known to have signed it."""
        self._charge(self._orders, "order", account.hex())

    def withdrawal(self, account: bytes) -> None:
        """Charge one withdrawal to the account that has signed it."""
        self._charge(self._withdrawals, "withdrawal", account.hex())

    def cancel(self, account: bytes) -> None:
        """Charge one cancel to a logged-in account."""
        self._charge(self._account_cancels, "cancel", account.hex())

    def _charge(self, item: RateLimitItemPerSecond, kind: str, who: str) -> None:
        if len(self._storage.events) > KEYS_MAX:
            self._storage.reset()
        if self._windows.hit(item, kind, who):
            return
        # The library reads the wall clock itself, so the wait is measured on the same clock.
        reset = self._windows.get_window_stats(item, kind, who).reset_time
        wait = max(1, int(reset - time.time()) + 1)
        raise Rejected(
            Outcome.RATE_LIMITED,
            f"more than {item.amount} in {item.multiples} s; try again in {wait} s",
            {"budget": kind, "retry_after": str(wait)},
            {"Retry-After": str(wait)},
        )


def network_of(client: str) -> str:
    """Return whom to charge: an IPv4 address, or the /64 that one IPv6 customer owns."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
