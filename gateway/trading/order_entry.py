"""How does a signed request reach the exchange?

Order entry, the same for every dialect: recover the signer in a thread, charge the account, call
the exchange, note how long it took. Each step is cheaper than the next. What is asked and what is
answered are values: their form on the wire is the dialect's.
"""

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from engine.command_result import CommandResult
from engine.types import Outcome
from gateway.trading.budgets import NS, RateLimits
from gateway.trading.recv_window import RecvWindow
from gateway.trading.sessions import Session
from settlement.orders.catalog import Market
from settlement.ports import ExchangePort, awaited
from settlement.protocol.eip712 import Domain, recover, withdrawal_digest
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal
from settlement.protocol.signers import recovered_orders

RECOVERY_THREADS: Final = 2
"""The kernel lets go of the interpreter lock, so a second thread buys 1.7 times the first."""

RECOVERED_HERE: Final = 6
"""So few are recovered on the loop itself, in a third of a millisecond: to hand them to a thread
and wait for it costs several of them."""

RECOVERED_AT_ONCE: Final = 32
"""Orders that one thread takes along: two milliseconds of work, which a newcomer waits at most."""


Target = int | str
"""An order by the engine's id, or by its trader's own name."""


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


class _Told:
    """Tells a fault to those who wait, instead of raising it to nobody."""

    def __init__(self, batch: list[_Unproven]) -> None:
        self._batch = batch

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, fault: BaseException | None, _trace: object) -> bool:
        """Tell it."""
        if not isinstance(fault, Exception):
            return False
        for unproven in self._batch:
            if not unproven.found.done():
                unproven.found.set_exception(fault)
        return True


class Recoveries:
    """Finds the signers of many orders together.

    Threads of its own, so that no socket waits for much arithmetic. Whatever arrives while all of
    them are busy goes with the next: handing one order over costs as much as recovering it.
    """

    def __init__(self, domain: Domain, recovered: Callable[[float], None]) -> None:
        """``recovered`` is told in how many seconds each order's signer was found."""
        self._domain = domain
        recovered_orders(domain, [])  # The first order does not wait for the compiler.
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
        if 0 < len(self._waiting) <= RECOVERED_HERE and self._idle == RECOVERY_THREADS:
            batch = list(self._waiting)
            self._waiting.clear()
            with _Told(batch):
                self._found(batch, recovered_orders(self._domain, [each.order for each in batch]))
            return
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
        with _Told(batch):
            self._found(batch, worked.result())

    def _found(self, batch: list[_Unproven], orders: list[SignedOrder]) -> None:
        now = perf_counter()
        for unproven, order in zip(batch, orders, strict=True):
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

    async def place(self, order: SignedOrder, window: RecvWindow | None = None) -> CommandResult:
        """Hand a verified order to the exchange; the answer comes after the journal has it."""
        return await awaited(self.offer(order, window))

    def offer(
        self, order: SignedOrder, window: RecvWindow | None = None
    ) -> CommandResult | Future[CommandResult]:
        """As ``place``, for many at once: what is answered later is a future, not to be cancelled.

        Orders reach the exchange in the order of these calls. One whose ``window`` has passed when
        it would be queued is refused by a ``Rejection``; the answer to one that was taken before
        is given all the same.
        """
        if not order.signer:
            self._measures.decided(Outcome.BAD_SIGNATURE)
            return CommandResult(Outcome.BAD_SIGNATURE)
        # The account pays when the order is proven, admitted and new: nobody else can make it pay.
        began = perf_counter()
        charge = self._limits.order if window is None else partial(self._in_time, window)
        answer = self._exchange.offer(order, charge)
        if isinstance(answer, CommandResult):
            self._measures.decided(answer.outcome)
        elif answer.done():
            self._decided(began, answer)
        else:
            answer.add_done_callback(partial(self._decided, began))
        return answer

    def _in_time(self, window: RecvWindow, account: bytes) -> None:
        window.require(self._exchange.now_ns())
        self._limits.order(account)

    def _decided(self, began: float, answer: Future[CommandResult]) -> None:
        if not answer.cancelled():
            self._measures.acknowledged(perf_counter() - began)
            self._measures.decided(answer.result().outcome)

    async def cancel(self, me: Session, target: Target) -> CommandResult:
        """Take one order of the session's account off the book."""
        return await awaited(self.offer_cancel(me, target))

    def offer_cancel(
        self, me: Session, target: Target, window: RecvWindow | None = None
    ) -> CommandResult | Future[CommandResult]:
        """As ``cancel``, for many at once: see ``offer``. By client id the answer says which order
        it was."""
        self._charge_cancel(me, window)
        if isinstance(target, str):
            return self._exchange.offer_cancel_named(me.account, target, me.proof)
        return self._exchange.offer_cancel(me.account, target, me.proof)

    def offer_amend(
        self, me: Session, target: Target, lots: int, window: RecvWindow | None = None
    ) -> CommandResult | Future[CommandResult]:
        """Leave an order fewer ``lots`` open than it has; from the budget of cancels."""
        self._charge_cancel(me, window)
        order_id = target
        if isinstance(target, str):
            named = self._exchange.order_named(me.account, target)
            if not isinstance(named, int):
                return CommandResult(Outcome.NOT_RESTING, detail={"client_id": target})
            order_id = named
        assert isinstance(order_id, int), "by id or by name"
        return self._exchange.offer_amend(me.account, order_id, lots, me.proof)

    def offer_cancel_all(
        self, me: Session, market: Market | None, window: RecvWindow | None = None
    ) -> CommandResult | Future[CommandResult]:
        """Take all orders of the session's account off the book, of one market or of all."""
        self._charge_cancel(me, window)
        return self._exchange.offer_cancel_all(me.account, market, me.proof)

    def offer_cancel_after(
        self, me: Session, seconds: int, window: RecvWindow | None = None
    ) -> tuple[int, CommandResult | Future[CommandResult]]:
        """Arm the account's dead man's switch, or with 0 disarm it; return its deadline too."""
        self._charge_cancel(me, window)
        deadline_ns = self._exchange.now_ns() + seconds * NS if seconds else 0
        return deadline_ns, self._exchange.offer_cancel_after(me.account, deadline_ns, me.proof)

    def _charge_cancel(self, me: Session, window: RecvWindow | None) -> None:
        if window is not None:
            window.require(self._exchange.now_ns())
        self._limits.cancel(me.account)

    def abandon(self, me: Session) -> CommandResult | Future[CommandResult]:
        """Cancel all orders of an account whose trader has gone; charged when he asked for that."""
        return self._exchange.offer_cancel_all(me.account, None, me.proof)

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
