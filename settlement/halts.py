"""What happens when vault and ledger disagree about a token?

Its markets stop, by a command like every other, and everybody is told why: log, /readyz, metrics.
Nobody starts them again but an operator who has found the reason.
"""

import asyncio
from collections.abc import Sequence

import structlog

from settlement.audit.reconcile import Difference, Reconciler
from settlement.chain.chain import CallRevertedError
from settlement.chain.reverts import in_words
from settlement.exchange import Exchange


class Reconciliation:
    """Compares at every new final block. Use it from the event loop."""

    def __init__(self, reconciler: Reconciler, exchange: Exchange) -> None:
        self._reconciler = reconciler
        self._exchange = exchange
        self._log = structlog.get_logger("reconciliation")
        self._reasons: dict[bytes, Difference] = {}
        self._halted: set[int] = set()

    @property
    def block(self) -> int:
        """Return the last block at which vault and ledger were compared."""
        return self._reconciler.block

    @property
    def surplus(self) -> dict[str, int]:
        """Return pips in custody that nobody owns, by token symbol."""
        return self._reconciler.surplus

    @property
    def debts(self) -> list[str]:
        """Return what accounts owe, in words, by token."""
        return [
            f"accounts owe {pips} pips of {symbol}; they can neither order nor withdraw"
            for symbol, pips in self._reconciler.debts.items()
        ]

    @property
    def reasons(self) -> list[Difference]:
        """Return the first difference of each token that was halted."""
        return list(self._reasons.values())

    async def check(self, block: int) -> None:
        """Compare at final ``block``; everything confirmed up to there must be booked.

        Raises ``ChainUnavailableError``.
        """
        if block <= self._reconciler.block:
            return
        cut = self._reconciler.cut()
        try:
            differences = await asyncio.to_thread(self._reconciler.compare, cut, block)
        except CallRevertedError as refused:
            # The figure of the last comparison stands still until it works again.
            why = in_words(refused.output) or refused.reason
            self._log.warning("vault and ledger not compared", block=block, why=why)
            return
        for difference in differences:
            if self._reasons.setdefault(difference.token, difference) is difference:
                self._log.error("vault and ledger differ", why=str(difference))
        if differences:
            await self._halt(differences)

    async def _halt(self, differences: Sequence[Difference]) -> None:
        tokens = {difference.token for difference in differences}
        for market in self._exchange.catalog.markets:
            touches = tokens & {market.base.address, market.quote.address}
            if not touches or market.number in self._halted:
                continue
            result = await self._exchange.halt_market(market)
            if result.accepted:
                self._halted.add(market.number)
                self._log.error("market halted", market=market.symbol)
