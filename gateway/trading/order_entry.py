"""How does a signed request reach the exchange?

Order entry, the same for every dialect: recover the signer in a thread, charge the account, call
the exchange, note how long it took. Each step is cheaper than the next. What is asked and what is
answered are values: their form on the wire is the dialect's.
"""

from asyncio import Future, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, NamedTuple

import msgspec

from engine.command_result import CommandResult
from engine.types import Outcome
from gateway.trading.budgets import RateLimits
from settlement.ports import ExchangePort
from settlement.protocol.eip712 import Domain, order_digest, recover, withdrawal_digest
from settlement.protocol.evidence import SignedOrder, SignedWithdrawal

RECOVERY_THREADS: Final = 2
"""libsecp256k1 lets go of the interpreter lock, so a second thread buys 1.7 times the first."""


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


class OrderEntry:
    """Places, cancels and withdraws what is signed.

    Signers are recovered on threads of its own, so that no socket waits for arithmetic.
    """

    def __init__(self, exchange: ExchangePort, limits: RateLimits, measures: Measures) -> None:
        self._exchange = exchange
        self._limits = limits
        self._measures = measures
        self._pool = ThreadPoolExecutor(RECOVERY_THREADS, "recover")

    def verify(self, order: SignedOrder) -> Future[SignedOrder]:
        """Return ``order`` with its digest and signer (empty when the signature is no good)."""
        loop, began = get_running_loop(), perf_counter()
        found = loop.run_in_executor(self._pool, recovered_order, self._exchange.domain, order)
        found.add_done_callback(lambda _: self._measures.recovered(perf_counter() - began))
        return found

    async def signer_of(self, digest: bytes, signature: bytes) -> bytes | None:
        """Return who signed ``digest``."""
        return await get_running_loop().run_in_executor(self._pool, recover, digest, signature)

    async def place(self, order: SignedOrder) -> CommandResult:
        """Hand a verified order to the exchange; the answer comes after the journal has it."""
        if not order.signer:
            self._measures.decided(Outcome.BAD_SIGNATURE)
            return CommandResult(Outcome.BAD_SIGNATURE)
        began = perf_counter()
        # The account pays when the order is proven, admitted and new: nobody else can make it pay.
        result = await self._exchange.place(order, self._limits.order)
        self._measures.acknowledged(perf_counter() - began)
        self._measures.decided(result.outcome)
        return result

    async def cancel(self, account: bytes, order_id: int) -> CommandResult:
        """Take one order of ``account`` off the book."""
        self._limits.cancel(account)
        return await self._exchange.cancel(account, order_id)

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
        self._pool.shutdown(wait=False)


def recovered_order(domain: Domain, order: SignedOrder) -> SignedOrder:
    """Return ``order`` with digest and signer filled in."""
    digest = order_digest(domain, order)
    signer = recover(digest, order.signature) or b""
    return msgspec.structs.replace(order, digest=digest, signer=signer)
