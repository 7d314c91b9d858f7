"""Which trades does the contract refuse in a batch that it refuses?

Found by asking the contract itself: the batch is tried, without sending it, with fewer and fewer
of its trades, until the smallest beginning that is refused is known; its last trade is the one.
What is left is tried again, so that trades which only made sense after it are found too.
"""

from typing import NamedTuple

from settlement.batches.encode import Bust, Header, MatchedTrade, encode_batch
from settlement.chain.chain import Chain
from settlement.chain.reverts import revert_reason
from settlement.orders.catalog import Catalog
from settlement.outbox.preflight import PAUSED


class Verdict(NamedTuple):
    """Which trades to bust, the oldest first; or why the batch is refused even without any, or for
    now."""

    busts: list[Bust]
    batch_independent: str | None = None


class CulpritSearch:
    """Tries batches on the contract as the operator would send them."""

    def __init__(self, chain: Chain, exchange: bytes, operator: bytes, catalog: Catalog) -> None:
        self._chain = chain
        self._exchange = exchange
        self._operator = operator
        self._catalog = catalog
        self._block = 0

    def examine(
        self, header: Header, trades: list[MatchedTrade], block: int, *, pause_lasts: bool
    ) -> Verdict:
        """Return what has to go before the rest of ``trades`` settles under ``header``; nothing
        for a token that is paused, unless its pause is taken for lasting.

        Tried after ``block``: a node that has not got it would refuse what has been paid for since.
        Raises ``ChainUnavailableError``.
        """
        self._block = block
        batch_independent = self._rejection(header, [])
        if batch_independent is not None:
            return Verdict([], batch_independent)
        busts: list[Bust] = []
        good: list[MatchedTrade] = []
        left = list(trades)
        while (reason := self._rejection(header, good + left)) is not None:
            if reason.startswith(PAUSED) and not pause_lasts:
                return Verdict([], reason)
            # Nothing of `good` alone is refused, all of `left` with it is: find the first that is.
            count = self._first_rejected(header, good, left)
            reason = self._rejection(header, good + left[:count]) or reason
            busts.append(Bust(left[count - 1], reason))
            good += left[: count - 1]
            left = left[count:]
        return Verdict(busts)

    def _rejection(self, header: Header, trades: list[MatchedTrade]) -> str | None:
        numbers = {token.address: token.number for token in self._catalog.tokens}
        batch = encode_batch(header, trades, numbers)
        call = self._chain, self._exchange, batch.calldata, self._operator
        return revert_reason(*call, batch.gas_limit, self._block)

    def _first_rejected(
        self, header: Header, good: list[MatchedTrade], left: list[MatchedTrade]
    ) -> int:
        """Return the least n such that ``good`` with n of ``left`` is refused; all of it is."""
        low, high = 1, len(left)
        while low < high:
            middle = (low + high) // 2
            if self._rejection(header, good + left[:middle]) is None:
                low = middle + 1
            else:
                high = middle
        return low
