"""Does one more command's trades fit into this batch?

A batch is cut on command boundaries, when the next command would not fit: too much gas, too many
bytes, or an order that is dead by the time the batch closes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from settlement.batches.encode import MatchedTrade, calldata_size, gas_bound, words_of
from settlement.chain.signer import CALLDATA_MAX
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal

NS: Final = 10**9


class CommandTrades(NamedTuple):
    """All trades of one command: they are settled together or not at all."""

    sequence: int
    time_ns: int
    last_trade: int
    """Number of its last trade; ``trades`` may lack some that were busted."""

    trades: list[MatchedTrade]


class PendingWithdrawal(NamedTuple):
    """A withdrawal that the ledger has debited."""

    sequence: int
    withdrawal: SignedWithdrawal
    after_sequence: int
    """The newest command with trades before it, zero if there was none. The contract pays when a
    batch has covered that: whatever batches there are, and however they are cut or cut anew."""


class BatchBuilder:
    """A batch that is being filled."""

    def __init__(self, gas_max: int, gas_ceiling: int, close_time_min: int) -> None:
        """No batch closes before ``close_time_min`` (unix seconds), however old its trades are.

        ``gas_max`` is where a batch is cut, ``gas_ceiling`` what the chain allows: between them a
        command has a batch of its own.
        """
        self.commands: list[CommandTrades] = []
        self._gas_max = min(gas_max, gas_ceiling)
        self._gas_ceiling = gas_ceiling
        self._close_time_min = close_time_min
        self._orders: set[bytes] = set()
        self._words: set[tuple[bytes, int]] = set()
        self._trade_count = 0
        self._expiry = 1 << 32

    def is_stale(
        self,
        waiting: Sequence[CommandTrades | PendingWithdrawal],
        gas_ceiling: int,
        close_time_min: int,
    ) -> bool:
        """Return whether this is no longer the head of what is ``waiting``: begin again."""
        return (gas_ceiling, close_time_min) != (self._gas_ceiling, self._close_time_min) or any(
            mine != now for mine, now in zip(self.commands, waiting, strict=False)
        )

    def takes(self, command: CommandTrades, token_numbers: dict[bytes, int]) -> bool:
        """Add ``command`` if batch rules allow it. The first one is refused only if no transaction
        can carry it: see ``carried``."""
        orders = {o.digest: o for trade in command.trades for o in (trade.buy, trade.sell)}
        words = words_of(orders.values(), token_numbers)
        expiry = min((order.expiry for order in orders.values()), default=self._expiry)
        expiry = min(self._expiry, expiry)
        shape = (
            len(self._orders) + len(orders.keys() - self._orders),
            self._trade_count + len(command.trades),
            len(self._words) + len(words - self._words),
        )
        gas_max = self._gas_max if self.commands else self._gas_ceiling
        if not _fits(*shape, gas_max):
            return False
        closes = max(command.time_ns // NS, self._close_time_min)
        if self.commands and closes > expiry:
            return False
        self.commands.append(command)
        self._orders.update(orders)
        self._words.update(words)
        self._expiry = expiry
        self._trade_count += len(command.trades)
        return True


def carried(command: CommandTrades, gas_ceiling: int, token_numbers: dict[bytes, int]) -> int:
    """Return how many of the command's trades, from the first on, one transaction can carry."""
    orders: dict[bytes, SignedOrder] = {}
    words: set[tuple[bytes, int]] = set()
    for count, trade in enumerate(command.trades):
        for order in (trade.buy, trade.sell):
            orders[order.digest] = order
        words |= words_of((trade.buy, trade.sell), token_numbers)
        if not _fits(len(orders), count + 1, len(words), gas_ceiling):
            return count
    return len(command.trades)


def _fits(orders: int, trades: int, words: int, gas_max: int) -> bool:
    return (
        gas_bound(orders, trades, words) <= gas_max
        and calldata_size(orders, trades) <= CALLDATA_MAX
    )


def dead_at(close_time: int, commands: Iterable[CommandTrades]) -> list[MatchedTrade]:
    """Return the trades that no batch closing at ``close_time`` can carry: an order is expired."""
    return [
        trade
        for command in commands
        for trade in command.trades
        if min(trade.buy.expiry, trade.sell.expiry) < close_time
    ]
