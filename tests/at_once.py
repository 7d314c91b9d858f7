"""How does a test get an answer without waiting for a disk or a chain?"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.command_result import CommandResult
from engine.sequencer.pipeline import Pipeline, results_of
from engine.sequencer.sequencer import Sequencer, Submission


def _nowhere() -> None:
    """Do nothing."""


class AtOnce(Pipeline):
    """The product's pipeline, but each command is carried out and shown as it is queued."""

    def __init__(
        self,
        sequencer: Sequencer[Any],
        on_fatal: Callable[[BaseException], None],
        cross: Callable[[], None] = _nowhere,
    ) -> None:
        """``cross`` is passed ahead of and behind what the exchange queues; it may raise."""
        super().__init__(sequencer, on_fatal)
        self._cross = cross

    def carry_out(self, command: np.void, attachment: bytes = b"") -> CommandResult:
        """Journal one command, apply it, show it to everybody; return its result."""
        committed = self._sequencer.commit([Submission(command, attachment)])
        self._show(committed)
        self.catch_up()
        (result,) = results_of(committed)
        return result

    def carry_out_together(self, submissions: Sequence[Submission]) -> None:
        """Journal several commands as one batch, and show them as one."""
        self._show(self._sequencer.commit(list(submissions)))
        self.catch_up()

    def enqueue(self, command: np.void, attachment: bytes = b"") -> asyncio.Future[CommandResult]:
        """See ``Pipeline``; the answer is there already."""
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._cross()
        answer.set_result(self.carry_out(command, attachment))
        self._cross()
        return answer


class NothingIsOpen:
    """Nobody follows withdrawals to the chain here: each is as good as paid."""

    def unpaid(self, account: bytes, token: bytes) -> None:
        """See ``settlement.orders.withdrawals``."""
        return
