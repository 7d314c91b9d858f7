"""Is a nonce missing below what is on its way, so that all of it waits for ever?

A nonce is given up when a block shows that it was used: by a batch that came before its predecessor
and reverted, by one that was abandoned since, or by a stranger with our key. A reorganisation that
takes that block away makes it free again, and nobody would send anything at it: what was there has
another nonce by now. So it is used up by an empty transaction.
"""

from collections.abc import Callable
from typing import Final

from settlement.chain.chain import Block, Chain
from settlement.outbox.actions import ActionKind, ActionState, Call
from settlement.outbox.outbox import Outbox
from settlement.outbox.troubles import NonceMissing

VOID_GAS: Final = 21_000


def void_call(key: str, operator: bytes) -> Call:
    """Return a transaction of the operator to itself that does nothing but use up a nonce."""
    return Call(ActionKind.VOID, key, operator, b"", VOID_GAS)


class Gaps:
    """Finds and fills them. Not thread-safe: the submitter calls it."""

    def __init__(
        self,
        chain: Chain,
        outbox: Outbox,
        operator: bytes,
        lasts_ns: int,
        now_ns: Callable[[], int],
    ) -> None:
        """``operator`` is the sender's address; a gap is believed after ``lasts_ns``."""
        self._chain = chain
        self._outbox = outbox
        self._operator = operator
        self._lasts_ns = lasts_ns
        self._now_ns = now_ns
        self._missing_since: dict[int, int] = {}
        self.trouble: NonceMissing | None = None
        """What everything on its way waits for."""

    def fill(self, head: Block, newest: int, count_max: int) -> bool:
        """Decide on at most ``count_max`` empty transactions; return whether there are any.

        ``newest`` is the highest block that any node has shown: what one that lags calls missing
        the others have seen used.
        """
        if head.number < newest:
            return False
        missing = self._look()[:count_max]
        now = self._now_ns()
        since = {nonce: self._missing_since.get(nonce, now) for nonce in missing}
        due = [nonce for nonce in missing if now - since[nonce] >= self._lasts_ns]
        for nonce in due:
            self._outbox.fill(nonce, self._void(nonce), now)
            del since[nonce]
        self._missing_since = since
        return bool(due)

    def _look(self) -> list[int]:
        """Return the nonces that nobody uses, below the highest that is on its way."""
        self.trouble = None
        out = self._outbox.nonces_out()
        if not out:
            return []
        unused = self._chain.nonce(self._operator, pending=False)
        if unused < out[0]:
            # Be it that it counts as landed, deeper than is looked after: then a human has to look.
            self.trouble = NonceMissing(unused, len(out))
        held = self._outbox.nonces_held(unused)
        return [nonce for nonce in range(unused, out[-1]) if nonce not in held]

    def _void(self, nonce: int) -> Call:
        # The same nonce can be missing again: whatever else used it may be in no block any more.
        voids = self._outbox.count(*ActionState, kind=ActionKind.VOID)
        return void_call(f"{nonce}.{voids}", self._operator)
