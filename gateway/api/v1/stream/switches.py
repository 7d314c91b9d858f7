"""What becomes of a trader's orders when his stream ends?

If he asked for it when he logged in, all orders of that account are cancelled: once, however the
connection ends, or when the session does that asked for it, for nobody may ask in its name
afterwards. A process that is killed cancels nothing: that is what the switch with a deadline is
for, which is in the log.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from engine.command_result import CommandResult
from engine.types import Outcome
from gateway.trading.order_entry import OrderEntry
from gateway.trading.rejection import Rejection
from gateway.trading.sessions import Session

SWITCHES_MAX: Final = 8
"""Accounts that one stream may speak for in this way."""

PASSES: Final = (Outcome.OVERLOADED, Outcome.DISK_LOW)
"""Why a cancel may have to be said again: the queue was full, or the disk."""

RETRY_SECONDS: Final = 0.05
RETRIES_MAX: Final = 200
"""Ten seconds, in which a queue that moves has room."""


class Switches:
    """The accounts whose orders go with one connection."""

    def __init__(self, entry: OrderEntry, now_s: Callable[[], int]) -> None:
        self._entry = entry
        self._now_s = now_s
        self._armed: dict[bytes, tuple[Session, asyncio.TimerHandle]] = {}

    def set(self, me: Session, is_armed: bool) -> None:
        """Note what the session's account wants when the stream ends."""
        if is_armed and me.account not in self._armed and len(self._armed) >= SWITCHES_MAX:
            raise Rejection(Outcome.OVERLOADED, f"at most {SWITCHES_MAX} accounts a stream")
        found = self._armed.pop(me.account, None)
        if found is not None:
            found[1].cancel()
        if is_armed:
            seconds = max(0, me.expires_at - self._now_s())
            ends = asyncio.get_running_loop().call_later(seconds, self._go_off, me.account)
            self._armed[me.account] = me, ends

    def go_off(self) -> None:
        """The stream has ended: cancel, once."""
        for account in list(self._armed):
            self._go_off(account)

    def _go_off(self, account: bytes) -> None:
        me, ends = self._armed.pop(account)
        ends.cancel()
        self._cancel(me, RETRIES_MAX)

    def _cancel(self, me: Session, tries: int) -> None:
        answer = self._entry.abandon(me)
        if isinstance(answer, CommandResult):
            self._answered(me, tries, answer)
        else:
            answer.add_done_callback(lambda said: self._answered(me, tries, said.result()))

    def _answered(self, me: Session, tries: int, said: CommandResult) -> None:
        if said.outcome in PASSES and tries:
            loop = asyncio.get_running_loop()
            loop.call_later(RETRY_SECONDS, self._cancel, me, tries - 1)
