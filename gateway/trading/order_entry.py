"""How does a signed request reach the exchange?

Order entry, the same for every dialect: recover the signer in a thread, charge the account, call
the exchange, note how long it took. Each step is cheaper than the next. What is asked and what is
answered are values: their form on the wire is the dialect's.
"""

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from engine.command_result import CommandResult
from engine.types import Outcome
from gateway.trading.budgets import RateLimits
from gateway.trading.sessions import Session
from settlement.ports import ExchangePort, awaited
from settlement.protocol.eip712 import Domain, order_digest, recover, withdrawal_digest
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal

RECOVERY_THREADS: Final = 2
"""libsecp256k1 lets go of the interpreter lock, so a second thread buys 1.7 times the first."""

RECOVERED_AT_ONCE: Final = 32
"""Orders that one thread takes along: two milliseconds of work, which a newcomer waits at most."""


class Measures(NamedTuple):
    """Who is told how long a recovery and an acknowledgement took, in seconds, and what became of
    an order."""

    recovered: Callable[[float], None]
    acknowledged: Callable[[float], None]
    decided: Callable[[Outcome], None]


class Withdrawn(NamedTuple):
    """What became of a withdrawal, and who had signed which digest."""

    digest: bytes
    signer: bytes | None
    result: CommandResult


class _Unproven(NamedTuple):
    """An order whose signer is not known yet, since when, and who waits for it."""

    order: SignedOrder
    since: float
    found: Future[SignedOrder]


class Recoveries:
    """Finds the signers of many orders together.

    Threads of its own, so that no socket waits for arithmetic. Whatever arrives while all of them
    are busy goes with the next: handing one order over costs as much as recovering it.
    """

    def __init__(self, domain: Domain, recovered: Callable[[float], None]) -> None:
        """``recovered`` is told in how many seconds each order's signer was found."""
        self._domain = domain
        self._recovered = recovered
        self.pool = ThreadPoolExecutor(RECOVERY_THREADS, "recover")
        self._waiting: deque[_Unproven] = deque()
        self._idle = RECOVERY_THREADS
        self._is_called = False

    def of(self, order: SignedOrder) -> Future[SignedOrder]:
        """Return ``order`` with its digest and signer (empty when the signature is no good)."""
        loop = get_running_loop()
        found: Future[SignedOrder] = loop.create_future()
        self._waiting.append(_Unproven(order, perf_counter(), found))
        if self._idle and not self._is_called:
            # In the next turn of the loop: what was read in this one is complete then.
            self._is_called = True
            loop.call_soon(self._hand_over)
        return found

    def _hand_over(self) -> None:
        self._is_called = False
        while self._waiting and self._idle:
            size = min(-(-len(self._waiting) // self._idle), RECOVERED_AT_ONCE)
            batch = [self._waiting.popleft() for _ in range(size)]
            orders = [unproven.order for unproven in batch]
            self._idle -= 1
            working = get_running_loop().run_in_executor(
                self.pool, recovered_orders, self._domain, orders
            )
            working.add_done_callback(partial(self._came_back, batch))

    def _came_back(self, batch: list[_Unproven], worked: Future[list[SignedOrder]]) -> None:
        self._idle += 1
        self._hand_over()
        if worked.cancelled():
            return
        fault, now = worked.exception(), perf_counter()
        if fault is not None:
            for unproven in batch:
                if not unproven.found.done():
                    unproven.found.set_exception(fault)
            return
        for unproven, order in zip(batch, worked.result(), strict=True):
            self._recovered(now - unproven.since)
            if not unproven.found.done():
                unproven.found.set_result(order)


class OrderEntry:
    """Places, cancels and withdraws what is signed."""

    def __init__(self, exchange: ExchangePort, limits: RateLimits, measures: Measures) -> None:
        self._exchange = exchange
        self._limits = limits
        self._measures = measures
        self._recoveries = Recoveries(exchange.domain, measures.recovered)

    def verify(self, order: SignedOrder) -> Future[SignedOrder]:
        """Return ``order`` with its digest and signer (empty when the signature is no good)."""
        return self._recoveries.of(order)

    async def signer_of(self, digest: bytes, signature: bytes) -> bytes | None:
        """Return who signed ``digest``."""
        return await get_running_loop().run_in_executor(
            self._recoveries.pool, recover, digest, signature
        )

    async def place(self, order: SignedOrder) -> CommandResult:
        """Hand a verified order to the exchange; the answer comes after the journal has it."""
        return await awaited(self.offer(order))

    def offer(self, order: SignedOrder) -> CommandResult | Future[CommandResult]:
        """As ``place``, for many at once: what is answered later is a future, not to be cancelled.

        Orders reach the exchange in the order of these calls.
        """
        if not order.signer:
            self._measures.decided(Outcome.BAD_SIGNATURE)
            return CommandResult(Outcome.BAD_SIGNATURE)
        # The account pays when the order is proven, admitted and new: nobody else can make it pay.
        began = perf_counter()
        answer = self._exchange.offer(order, self._limits.order)
        if isinstance(answer, CommandResult):
            self._measures.decided(answer.outcome)
        elif answer.done():
            self._decided(began, answer)
        else:
            answer.add_done_callback(partial(self._decided, began))
        return answer

    def _decided(self, began: float, answer: Future[CommandResult]) -> None:
        if not answer.cancelled():
            self._measures.acknowledged(perf_counter() - began)
            self._measures.decided(answer.result().outcome)

    async def cancel(self, me: Session, order_id: int) -> CommandResult:
        """Take one order of the session's account off the book."""
        return await awaited(self.offer_cancel(me, order_id))

    def offer_cancel(self, me: Session, order_id: int) -> CommandResult | Future[CommandResult]:
        """As ``cancel``, for many at once: see ``offer``."""
        self._limits.cancel(me.account)
        return self._exchange.offer_cancel(me.account, order_id, me.proof)

    async def withdraw(self, unsigned: SignedWithdrawal) -> Withdrawn:
        """Check that the owner's own wallet signed, then debit."""
        digest = withdrawal_digest(self._exchange.domain, unsigned)
        signer = await self.signer_of(digest, unsigned.signature)
        # A session key may trade within its scope; it can never move money out.
        if signer != unsigned.account:
            return Withdrawn(digest, signer, CommandResult(Outcome.BAD_SIGNATURE))
        if unsigned.nonce >= self._exchange.nonces(unsigned.account, ()).withdrawal:
            # A used one, which stands on chain for all to copy and send, costs its owner nothing.
            self._limits.withdrawal(unsigned.account)
        withdrawal = msgspec.structs.replace(unsigned, digest=digest)
        return Withdrawn(digest, signer, await self._exchange.withdraw(withdrawal))

    def close(self) -> None:
        """Let the threads go."""
        self._recoveries.pool.shutdown(wait=False)


def recovered_orders(domain: Domain, orders: Sequence[SignedOrder]) -> list[SignedOrder]:
    """Return ``orders`` with digest and signer filled in."""
    return [recovered_order(domain, order) for order in orders]


def recovered_order(domain: Domain, order: SignedOrder) -> SignedOrder:
    """Return ``order`` with digest and signer filled in."""
    digest = order_digest(domain, order)
    signer = recover(digest, order.signature) or b""
    return msgspec.structs.replace(order, digest=digest, signer=signer)
