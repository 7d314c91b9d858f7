"""What happens when vault and ledger disagree about a token, and who opens its markets again?

They stop, by a command like every other, and everybody is told why: log, /readyz, metrics. Nobody
opens them again but an operator who has found the reason, and not while it can be seen to stand.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from engine.command_result import CommandResult
from engine.types import Outcome, Phase
from settlement.audit.reconcile import Difference, Reconciler
from settlement.chain.chain import CallRevertedError, Chain, ChainUnavailableError
from settlement.chain.reverts import in_words
from settlement.exchange import Exchange
from settlement.orders.catalog import Market, Token
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import OperatorAction

NOT_COMPARED: Final = "vault and ledger were not compared yet since this start"
RESTING: Final = frozenset({Phase.HALTED, Phase.CANCEL_ONLY})
"""In these no order comes in."""

HALTED_MEANWHILE: Final = "it was halted while its tokens were asked for"


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

    def stands(self, market: Market) -> str | None:
        """Return why ``market`` may not be opened: what the last comparison says."""
        if self._reconciler.block == 0:
            return NOT_COMPARED
        standing = self._reconciler.standing
        found = standing.get(market.base.address) or standing.get(market.quote.address)
        return None if found is None else str(found)

    def opening(self, market: Market) -> None:
        """``market`` is about to be opened: what halted it is past, and whatever is found from here
        on halts it again, behind the opening."""
        self._halted.discard(market.number)
        halted = [m for m in self._exchange.catalog.markets if m.number in self._halted]
        tokens = {token.address for m in halted for token in (m.base, m.quote)}
        self._reasons = {token: why for token, why in self._reasons.items() if token in tokens}

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


def is_paused(chain: Chain, exchange: bytes, newest: int, token: Token) -> bool:
    """Return whether the contract's admin has paused ``token``, as of the newest block; one that
    lags behind ``newest``, the highest that was looked at, cannot say.

    Raises ``ChainUnavailableError``.
    """
    block = max(chain.head().number, newest)
    answer = chain.call(exchange, encode_call("tokens", token.number), block)
    return any(answer[64:96])  # After its address and the scale of its units.


class Phases:
    """Halts a market and opens it again, as its operator says. Use it from the event loop."""

    def __init__(
        self,
        exchange: Exchange,
        reconciliation: Reconciliation,
        is_paused: Callable[[Token], bool],
    ) -> None:
        """``is_paused`` asks the chain, from another thread; it raises
        ``ChainUnavailableError``."""
        self._exchange = exchange
        self._reconciliation = reconciliation
        self._is_paused = is_paused
        self._log = structlog.get_logger("operator")

    async def halt(self, market: Market, by: OperatorAction | None = None) -> CommandResult:
        """Take no more orders in ``market``: before a token is paused, say."""
        return await self.put(market, Phase.HALTED, by)

    async def open(self, market: Market, by: OperatorAction | None = None) -> CommandResult:
        """Take orders in ``market`` again, unless what may have halted it can be seen to stand."""
        return await self.put(market, Phase.OPEN, by)

    async def put(
        self, market: Market, phase: Phase, by: OperatorAction | None = None
    ) -> CommandResult:
        """Put ``market`` into ``phase``: one in which orders come in only as ``open`` does."""
        if phase in RESTING:
            receipt = await self._exchange.halt_market(market, by, phase)
        elif phase is Phase.DELISTED:
            return CommandResult(Outcome.BAD_PHASE)
        else:
            why = await self._why_not(market)
            if why is not None:
                return CommandResult(Outcome.MARKET_HALTED, detail={"why": why})
            self._reconciliation.opening(market)
            receipt = await self._exchange.open_market(market, by, phase)
        self._log.warning(
            "market phase", market=market.symbol, phase=phase.name, outcome=receipt.outcome.name
        )
        return receipt

    async def _why_not(self, market: Market) -> str | None:
        """Return why no orders may come in."""
        halts = self._exchange.halts[market.number]
        why = await self._paused(market) or self._reconciliation.stands(market)
        # Whoever sees a pause halts its markets once: an opening behind it would be for good.
        if why is None and self._exchange.halts[market.number] != halts:
            return HALTED_MEANWHILE
        return why

    async def _paused(self, market: Market) -> str | None:
        for token in (market.base, market.quote):
            try:
                if await asyncio.to_thread(self._is_paused, token):
                    return f"{token.symbol} is paused on chain"
            except ChainUnavailableError:
                return "the chain does not answer"
        return None
