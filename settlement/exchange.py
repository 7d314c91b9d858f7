"""What can be asked of the exchange, whoever asks: REST, WebSocket, merchants or the watcher?

One object with plain verbs over the pipeline. What can be refused comes back as a
``CommandResult``; nothing here raises for what a client did, unless the ``charge`` of an order
does.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import numpy as np

from engine.command_result import CommandResult
from engine.commands import Kind, command, exit_end, list_market
from engine.events import EventKind
from engine.sequencer.pipeline import Pipeline
from engine.types import ALL_MARKETS, MONEY_MAX, MoneyFlag, Outcome, Phase, Side
from settlement.batches.encode import Bust
from settlement.orders.admission import Admission
from settlement.orders.catalog import Catalog, Market, Token
from settlement.orders.nonces import NS, Rejection
from settlement.orders.session_keys import GrantedKey
from settlement.orders.withdrawals import Withdrawals
from settlement.ports import AccountNonces, Balance, LaneNonce, awaited
from settlement.protocol.eip712 import Domain
from settlement.protocol.evidence import (
    AccountOpened,
    AnyAttachment,
    DepositEvidence,
    ExitEvidence,
    MarketListing,
    OperatorAction,
    Request,
    SignedOrder,
    SignedWithdrawal,
    TokenListing,
    WithdrawalPaid,
    WithdrawalReturned,
    encode,
)
from settlement.repair.busts import bust_command, bust_evidence
from settlement.repair.reversals import LatePayment, Reversal

# To read a member of an enum costs Python 3.11 more than the question it is for.
PLACE: Final = Kind.PLACE
CANCEL: Final = Kind.CANCEL

ORDER_ID_MAX: Final = 2**63 - 1


SWEEPS_MAX: Final = 16
"""How often a CANCEL_ALL is repeated while it leaves some. Once is enough where an account may have
fewer orders than a command may cancel, as it is in journals with the usual limits."""

CANCELLED_ALL: Final = int(EventKind.CANCELLED_ALL)


class Book(Protocol):
    """What the exchange reads from the engine."""

    def available(self, account: int, token: int) -> int:
        """Return free pips."""

    def held(self, account: int, token: int) -> int:
        """Return reserved pips."""

    def supply(self, token: int) -> int:
        """Return pips deposited and not withdrawn."""

    def depth(self, market: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots), best first."""


class Exchange:
    """The book and the ledger with every check in front (``settlement.ports.ExchangePort``)."""

    def __init__(
        self,
        pipeline: Pipeline,
        book: Callable[[], Book],
        catalog: Catalog,
        admission: Admission,
        domain: Domain,
        clock_ns: Callable[[], int],
        withdrawals: Withdrawals,
    ) -> None:
        """``book`` returns the engine as it is now: after a poisoned command it is another."""
        self.catalog = catalog
        self.domain = domain
        self._pipeline = pipeline
        self._book = book
        self._admission = admission
        self._clock_ns = clock_ns
        self._withdrawals = withdrawals
        self._opening = asyncio.Lock()
        self._full_at: int | None = None
        """How many accounts there were when the ledger had no room for one more."""
        self._in_flight: dict[bytes, asyncio.Future[CommandResult]] = {}
        self.halts: Counter[int] = Counter()
        """How often each market was to be halted since this start."""

    async def place(
        self, order: SignedOrder, charge: Callable[[bytes], None] | None = None
    ) -> CommandResult:
        """Admit and sequence one signed order; the same digest again gives the first answer.

        ``charge`` is told whose order is about to be written, and may raise to prevent it.
        """
        return await awaited(self.offer(order, charge))

    def offer(
        self, order: SignedOrder, charge: Callable[[bytes], None] | None = None
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """As ``place``; what is answered later is a future, which others may share.

        A nonce is spent for an order that will be in the journal, and orders are queued in the
        order of their admission: nothing is awaited in between.
        """
        known = self._known(order)
        if known is not None:
            return known
        full = self._pipeline.rejection(PLACE)
        if full is not None:
            return full
        judged = self._admission.judge(order, self._clock_ns())
        if isinstance(judged, Rejection):
            return CommandResult(judged.outcome, detail=judged.detail)
        if charge is not None:
            charge(order.account)
        self._admission.reserve(order)
        answer = self._pipeline.enqueue(judged, encode(order))
        self._in_flight[order.digest] = answer
        answer.add_done_callback(partial(self._answered, order.digest))
        return answer

    async def cancel(self, account: bytes, order_id: int, asked: Request) -> CommandResult:
        """Take one resting order of ``account`` off the book; ``asked`` is who wants that."""
        return await awaited(self.offer_cancel(account, order_id, asked))

    def offer_cancel(
        self, account: bytes, order_id: int, asked: Request
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """As ``cancel``; what is answered later is a future, as with ``offer``."""
        number = self.catalog.account_number(account)
        if number is None or not 0 < order_id <= ORDER_ID_MAX:
            return CommandResult(Outcome.NOT_RESTING, detail={"order_id": str(order_id)})
        full = self._pipeline.rejection(CANCEL)
        if full is not None:
            return full
        frees_lane = self._admission.cancel_queued(account, order_id)
        row = command(CANCEL, account=number, order_id=order_id)
        answer = self._pipeline.enqueue(row, encode(asked))
        if frees_lane:
            answer.add_done_callback(lambda _: self._admission.cancel_answered(order_id))
        return answer

    def order_named(
        self, account: bytes, client_id: str
    ) -> int | asyncio.Future[CommandResult] | None:
        """Return the engine's id of an account's order by its client id; the answer that it will
        have while it is on its way; None if none of that name stands or has ended lately."""
        digest, order_id = self._admission.order_named(account, client_id)
        return order_id or self._in_flight.get(digest)

    def offer_cancel_named(
        self, account: bytes, client_id: str, asked: Request
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """As ``offer_cancel``, by the trader's own name. The cancel of an order that is on its way
        is queued when that is answered, whatever stands behind it by then."""
        named = self.order_named(account, client_id)
        if named is None:
            return CommandResult(Outcome.NOT_RESTING, detail={"client_id": client_id})
        if isinstance(named, int):
            return with_order_id(self.offer_cancel(account, named, asked), named)
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()

        def placed(coming: asyncio.Future[CommandResult]) -> None:
            order_id = coming.result().order_id
            said = self.offer_cancel(account, order_id, asked)
            pass_on(with_order_id(said, order_id), answer)

        named.add_done_callback(placed)
        return answer

    def offer_amend(
        self, account: bytes, order_id: int, lots: int, asked: Request
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """Leave an order of ``account`` fewer ``lots`` open than it has; it keeps its place."""
        number = self.catalog.account_number(account)
        if number is None or not 0 < order_id <= ORDER_ID_MAX:
            return CommandResult(Outcome.NOT_RESTING, detail={"order_id": str(order_id)})
        row = command(Kind.AMEND, account=number, order_id=order_id, amount=lots)
        return self._offer(row, asked)

    def offer_cancel_after(
        self, account: bytes, deadline_ns: int, asked: Request
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """Set when all orders of ``account`` are cancelled unless this is called again; 0 takes it
        back."""
        number = self.catalog.account_number(account)
        if number is None:
            return CommandResult(Outcome.UNKNOWN_ACCOUNT)
        return self._offer(command(Kind.CANCEL_AFTER, account=number, expiry_ns=deadline_ns), asked)

    def offer_cancel_all(
        self, account: bytes, market: Market | None, asked: Request
    ) -> CommandResult | asyncio.Future[CommandResult]:
        """Cancel all orders of ``account``, of one market or of all. One command may not cancel any
        number, so it is repeated until none is left; ``detail`` says how many went and are left."""
        number = self.catalog.account_number(account)
        if number is None:
            return CommandResult(Outcome.ACCEPTED, detail={"cancelled": "0", "left": "0"})
        meant = ALL_MARKETS if market is None else market.number
        row = command(Kind.CANCEL_ALL, account=number, market=meant)
        full = self._pipeline.rejection(Kind.CANCEL_ALL)
        if full is not None:
            return full
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._sweep(row, encode(asked), answer, 0, SWEEPS_MAX)
        return answer

    def _sweep(
        self,
        row: np.void,
        asked: bytes,
        answer: asyncio.Future[CommandResult],
        gone: int,
        rounds: int,
    ) -> None:
        """Queue a CANCEL_ALL, which may be; answer when it has left none, or was the last."""

        def swept(said: asyncio.Future[CommandResult]) -> None:
            result = said.result()
            row_of_all = next(
                (e for e in result.events or () if e.kind == CANCELLED_ALL and e.outcome == 0), None
            )
            left = 0 if row_of_all is None else row_of_all.order_left
            total = gone + (0 if row_of_all is None else row_of_all.amount)
            if left and rounds > 1 and self._pipeline.rejection(Kind.CANCEL_ALL) is None:
                self._sweep(row, asked, answer, total, rounds - 1)
            elif not answer.done():
                counts = {"cancelled": str(total), "left": str(left)}
                answer.set_result(
                    msgspec.structs.replace(result, detail=counts) if row_of_all else result
                )

        self._pipeline.enqueue(row.copy(), asked).add_done_callback(swept)

    def _offer(self, row: np.void, asked: Request) -> CommandResult | asyncio.Future[CommandResult]:
        return self._pipeline.rejection(int(row["kind"])) or self._pipeline.enqueue(
            row, encode(asked)
        )

    async def withdraw(self, withdrawal: SignedWithdrawal) -> CommandResult:
        """Debit the owner; settlement pays on chain after all earlier trades."""
        token = self.catalog.token_by_address(withdrawal.token)
        account = self.catalog.account_number(withdrawal.account)
        if token is None or account is None:
            unknown = Outcome.UNKNOWN_TOKEN if token is None else Outcome.UNKNOWN_ACCOUNT
            return CommandResult(unknown)
        if withdrawal.expiry * NS <= self._clock_ns():
            return CommandResult(Outcome.ORDER_EXPIRED, detail={"expiry": str(withdrawal.expiry)})
        if not 0 < withdrawal.amount <= MONEY_MAX:
            return CommandResult(Outcome.AMOUNT_OUT_OF_RANGE)
        if token.pips_of(token.raw_of(withdrawal.amount)) != withdrawal.amount:
            return CommandResult(
                Outcome.AMOUNT_OUT_OF_RANGE,
                detail={"why": f"{token.symbol} has {token.decimals} decimals on chain"},
            )
        if self.catalog.token_by_address(withdrawal.to) is not None:
            detail = {"to": f"0x{withdrawal.to.hex()}", "why": "what is paid there is lost"}
            return CommandResult(Outcome.BAD_RECEIVER, detail=detail)
        full = self._pipeline.rejection(Kind.WITHDRAW)
        if full is not None:
            return full
        now_ns = self._clock_ns()
        rejection = self._withdrawals.rejection(withdrawal, token, now_ns)
        rejection = rejection or self._admission.admit_withdrawal(withdrawal, now_ns)
        if rejection is not None:
            return CommandResult(rejection.outcome, detail=rejection.detail)
        row = command(Kind.WITHDRAW, account=account, token=token.number, amount=withdrawal.amount)
        self._withdrawals.begun(withdrawal)
        answer = self._pipeline.enqueue(row, encode(withdrawal))
        answer.add_done_callback(partial(self._answered, withdrawal.digest))
        answer.add_done_callback(lambda _: self._withdrawals.answered(withdrawal))
        return await asyncio.shield(answer)

    async def credit(
        self, address: bytes, token: bytes, amount: int, evidence: DepositEvidence
    ) -> CommandResult:
        """Credit a deposit seen on chain, opening the account if it is the first.

        What the ledger has no room for is refused here, so that asking again costs no command.
        """
        listed = self.catalog.token_by_address(token)
        if listed is None:
            return CommandResult(Outcome.UNKNOWN_TOKEN)
        if not 0 < amount <= MONEY_MAX - self._book().supply(listed.number):
            return CommandResult(Outcome.AMOUNT_OUT_OF_RANGE)
        account = await self._account(address)
        if isinstance(account, CommandResult):
            return account
        row = command(Kind.DEPOSIT, account=account, token=listed.number, amount=amount)
        return await self._submit(row, evidence)

    async def begin_exit(self, address: bytes, evidence: ExitEvidence) -> CommandResult:
        """Freeze an account that asked for its money on chain."""
        account = await self._account(address)
        if isinstance(account, CommandResult):
            return account
        return await self._submit(command(Kind.EXIT_BEGIN, account=account), evidence)

    async def end_exit(
        self, address: bytes, token: bytes, amount: int, evidence: ExitEvidence
    ) -> CommandResult:
        """Book what the chain has paid out (0 if the exit was withdrawn) and thaw the account.

        It was there first: what the account does not have any more was that of a withdrawal which
        is not paid yet.
        """
        listed = self.catalog.token_by_address(token)
        account = self.catalog.account_number(address)
        if listed is None or account is None:
            return CommandResult(Outcome.UNKNOWN_ACCOUNT)
        if not 0 <= amount <= MONEY_MAX:
            return CommandResult(Outcome.AMOUNT_OUT_OF_RANGE)
        unpaid = self._withdrawals.unpaid(address, token)
        left = unpaid.left if unpaid else 0
        row = exit_end(account, listed.number, amount, unpaid_pips=left)
        if unpaid:
            evidence = msgspec.structs.replace(evidence, withdrawal=unpaid.sequence)
        return await self._submit(row, evidence)

    async def bust(self, bust: Bust) -> CommandResult:
        """Undo a trade that the contract refuses. A side that has spent what it has to give back
        loses its orders, and owes what is missing then."""
        return await self._submit(bust_command(self.catalog, bust.trade), bust_evidence(bust))

    async def give_back(self, due: Reversal) -> CommandResult:
        """Credit a withdrawal that the contract never paid and can pay no more."""
        account = self.catalog.account_number(due.account)
        token = self.catalog.token_by_address(due.token)
        assert account is not None and token is not None, "it was debited"
        if due.amount > MONEY_MAX - self._book().supply(token.number):
            return CommandResult(Outcome.AMOUNT_OUT_OF_RANGE)
        row = command(Kind.DEPOSIT, account=account, token=token.number, amount=due.amount)
        return await self._submit(row, WithdrawalReturned(due.sequence, due.reason))

    async def charge_late(self, paid: LatePayment) -> CommandResult:
        """Charge for a withdrawal that was paid though an exit had taken it before."""
        account = self.catalog.account_number(paid.account)
        token = self.catalog.token_by_address(paid.token)
        assert account is not None and token is not None, "it was debited"
        row = command(
            Kind.WITHDRAW,
            account=account,
            token=token.number,
            amount=paid.amount,
            flags=MoneyFlag.ALWAYS,
        )
        return await self._submit(row, WithdrawalPaid(paid.sequence))

    async def halt_market(
        self, market: Market, by: OperatorAction | None = None, phase: Phase = Phase.HALTED
    ) -> CommandResult:
        """Take no more orders in ``market`` until an operator opens it again; ``phase`` is HALTED,
        or CANCEL_ONLY if what rests may still shrink."""
        self.halts[market.number] += 1
        return await self.operate(_phase(market, phase), by)

    async def open_market(
        self, market: Market, by: OperatorAction | None = None, phase: Phase = Phase.OPEN
    ) -> CommandResult:
        """Take orders in ``market``; where its book is crossed, its auction comes first."""
        return await self.operate(_phase(market, phase), by)

    async def operate(self, row: np.void, by: OperatorAction | None) -> CommandResult:
        """Sequence what an operator asks for, with his name beside it; nobody's if ``by`` is None:
        then it is we who ask."""
        return await self._submit(row, by)

    async def list_token(
        self, listing: TokenListing, by: OperatorAction | None = None
    ) -> CommandResult:
        """List the next token."""
        row = command(Kind.LIST_TOKEN, token=len(self.catalog.tokens))
        return await self._submit(row, _named(listing, by))

    async def list_market(
        self,
        symbol: str,
        base: str,
        quote: str,
        *,
        lot_pips: int,
        tick_pips: int,
        maker_fee_ppm: int,
        taker_fee_ppm: int,
        least_notional_pips: int = 0,
        by: OperatorAction | None = None,
    ) -> CommandResult:
        """List the next market between two listed tokens.

        A negative maker fee is a rebate, never more than the taker pays. No order may be worth
        less than ``least_notional_pips`` of quote.
        """
        base_token, quote_token = self.catalog.token(base), self.catalog.token(quote)
        if base_token is None or quote_token is None:
            return CommandResult(Outcome.UNKNOWN_TOKEN)
        row = list_market(
            len(self.catalog.markets),
            base_token.number,
            quote_token.number,
            lot_pips=lot_pips,
            tick_pips=tick_pips,
            maker_fee_ppm=maker_fee_ppm,
            taker_fee_ppm=taker_fee_ppm,
            least_notional_pips=least_notional_pips,
        )
        return await self._submit(row, _named(MarketListing(symbol), by))

    async def tick(self) -> CommandResult:
        """Let engine time pass, so that expired orders leave the book."""
        return await self._submit(command(Kind.CLOCK))

    def balance(self, account: bytes, token: bytes) -> Balance:
        """Return the ledger's view of one account (both arguments are addresses)."""
        number, listed = self.catalog.account_number(account), self.catalog.token_by_address(token)
        if number is None or listed is None:
            return Balance(0, 0)
        return Balance(
            self._book().available(number, listed.number), self._book().held(number, listed.number)
        )

    def depth(self, market: Market, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots), best first."""
        return self._book().depth(market.number, side, levels)

    def least_withdrawal(self, token: Token) -> int:
        """Return the least pips of ``token`` that are paid out."""
        return self._withdrawals.least(token)

    def is_lost(self, to: bytes) -> bool:
        """Return whether what is paid to ``to`` is lost: nobody, a contract of ours, a token."""
        return self._withdrawals.is_lost(to) or self.catalog.token_by_address(to) is not None

    def key_notional_left(self, account: bytes, key: bytes) -> int | None:
        """Return what a session key may still trade; None while it is not known yet."""
        return self._admission.key_notional_left(account, key)

    def keys_of(self, account: bytes) -> list[GrantedKey]:
        """Return the session keys that ``account`` has granted, the first granted first."""
        return self._admission.keys_of(account)

    def refuse_key(self, account: bytes, key: bytes) -> None:
        """Take no new order of a session key, from now on; see ``ExchangePort``."""
        self._admission.refuse_key(account, key)

    def next_nonce(self, account: bytes) -> int:
        """Return a single-shot nonce that ``account`` may use now."""
        return self._admission.next_nonce(account)

    def nonces(self, account: bytes, lanes: Sequence[int]) -> AccountNonces:
        """Return the nonces that ``account`` may use now, those of ``lanes`` for both halves."""
        admission = self._admission
        halves = [(lane, upper) for lane in lanes for upper in (False, True)]
        return AccountNonces(
            admission.next_nonce(account),
            admission.next_withdrawal_nonce(account),
            [
                LaneNonce(lane, upper, *admission.lane_now(account, lane, upper))
                for lane, upper in halves
            ],
        )

    def now_ns(self) -> int:
        """Return the exchange's clock."""
        return self._clock_ns()

    async def _submit(self, row: np.void, attachment: AnyAttachment | None = None) -> CommandResult:
        return await self._pipeline.submit(row, encode(attachment))

    def _answered(self, digest: bytes, answer: asyncio.Future[CommandResult]) -> None:
        self._in_flight.pop(digest, None)
        if not answer.cancelled() and answer.result().outcome == Outcome.DISK_LOW:
            self._admission.roll_back(digest)

    def _known(self, order: SignedOrder) -> CommandResult | asyncio.Future[CommandResult] | None:
        pending = self._in_flight.get(order.digest)
        if pending is not None:
            return pending
        first = self._admission.first(order.digest)
        if first is None or self._admission.may_try_again(order, self._clock_ns()):
            return None
        return CommandResult(
            first.outcome, first.sequence, first.time_ns, first.order_id, first.events()
        )

    async def _account(self, address: bytes) -> int | CommandResult:
        """Return the number of ``address``, opened if need be, or why it cannot be opened."""
        # One at a time: an account's number is the count of accounts before it.
        async with self._opening:
            number = self.catalog.account_number(address)
            if number is not None:
                return number
            if self._full_at == self.catalog.account_count:
                return CommandResult(Outcome.CAPACITY)
            row = command(Kind.OPEN_ACCOUNT, account=self.catalog.account_count)
            result = await self._submit(row, AccountOpened(address))
            number = self.catalog.account_number(address)
            if result.outcome is Outcome.CAPACITY:
                self._full_at = self.catalog.account_count
            return result if number is None else number


def with_order_id(
    answer: CommandResult | asyncio.Future[CommandResult], order_id: int
) -> CommandResult | asyncio.Future[CommandResult]:
    """Return ``answer`` with the id of the order that it is about, now or later."""
    if isinstance(answer, CommandResult):
        return msgspec.structs.replace(answer, order_id=order_id)
    named: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
    answer.add_done_callback(
        lambda said: named.set_result(msgspec.structs.replace(said.result(), order_id=order_id))
    )
    return named


def pass_on(
    answer: CommandResult | asyncio.Future[CommandResult], to: asyncio.Future[CommandResult]
) -> None:
    """Let ``to`` have ``answer``, now or when it comes."""
    if isinstance(answer, CommandResult):
        to.set_result(answer)
    else:
        answer.add_done_callback(lambda said: to.set_result(said.result()))


def _phase(market: Market, phase: Phase) -> np.void:
    return command(Kind.SET_PHASE, market=market.number, amount=phase)


def _named(
    listing: TokenListing | MarketListing, by: OperatorAction | None
) -> TokenListing | MarketListing | OperatorAction:
    """Return what stands beside a listing: what it is called, and who asked for it if anybody."""
    return listing if by is None else msgspec.structs.replace(by, listing=listing)
