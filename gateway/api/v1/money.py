"""What has come in for an account, and what becomes of what it takes out?"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from engine.types import Outcome
from gateway.api.dependencies import Here, Me, charged, client_of
from gateway.api.v1.encoding import decimal_text, hexed
from gateway.api.v1.money_schemas import DepositRow, Deposits, WithdrawalRow, Withdrawals
from gateway.api.v1.openapi import Answer, documented
from gateway.trading.rejection import Rejection
from gateway.views.transfers import Deposit, Withdrawal
from settlement.audit.proofs import TradeProof
from settlement.orders.catalog import Token
from settlement.outbox.actions import WithdrawalState
from settlement.protocol.evidence import ZERO_REF

PAGE_MAX: Final = 100

RECEIPT_COST: Final = 10
"""Requests: a whole batch is decoded for it, milliseconds of a thread."""

STATES: Final = {
    "sealed": "countersigned",
    "signed": "countersigned",
    "broadcast": "submitted",
    "failed": "refused",
    "abandoned": "refused",
}
"""What the outbox calls it, where that is not what we do."""

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Before = Annotated[int, Query(ge=1, lt=2**63)]
LAST: Final = 2**63 - 1

router = APIRouter(prefix="/v1", tags=["trading"], dependencies=[Depends(charged)])


@router.get(
    "/deposits", openapi_extra=documented(Deposits, rejections=(400, 401, 429), proof="session")
)
async def list_deposits(services: Here, me: Me, limit: Limit = 50, before: Before = LAST) -> Answer:
    """Return the account's last deposits before command ``before``, newest first."""
    view = services.transfers
    found = view.deposits(me.account, before, limit)
    rows = [_deposit_row(view.token_of(deposit), deposit) for deposit in found]
    return Answer(Deposits(rows, found[-1].sequence if len(found) == limit else None))


@router.get(
    "/withdrawals",
    openapi_extra=documented(Withdrawals, rejections=(400, 401, 429), proof="session"),
)
async def list_withdrawals(
    services: Here, me: Me, limit: Limit = 50, before: Before = LAST
) -> Answer:
    """Return the account's last withdrawals before command ``before``, newest first, and how far
    each is."""
    view = services.transfers
    found = view.withdrawals(me.account, before, limit)
    asked = [withdrawal.sequence for withdrawal in found if not withdrawal.returned_sequence]
    states: dict[int, WithdrawalState] = {}
    if asked:  # One question for all of them, on a thread: it is for a database.
        states = await asyncio.to_thread(services.settlement.withdrawal_states, asked)
    rows = [_withdrawal_row(view.token_of(each), each, states.get(each.sequence)) for each in found]
    return Answer(Withdrawals(rows, found[-1].sequence if len(found) == limit else None))


def _deposit_row(token: Token, deposit: Deposit) -> DepositRow:
    return DepositRow(
        sequence=deposit.sequence,
        time_ns=str(deposit.time_ns),
        symbol=token.symbol,
        token=hexed(token.address),
        amount=decimal_text(deposit.amount),
        amount_pips=str(deposit.amount),
        tx_hash=hexed(deposit.tx_hash),
        block_number=deposit.block_number,
        ref=None if deposit.ref == ZERO_REF else hexed(deposit.ref),
    )


def _withdrawal_row(
    token: Token, withdrawal: Withdrawal, found: WithdrawalState | None
) -> WithdrawalRow:
    is_back = bool(withdrawal.returned_sequence)
    state = "debited" if found is None else STATES.get(found.state, found.state)
    tx_hash = None if found is None or found.tx_hash is None else hexed(found.tx_hash)
    refused = found.error if found is not None and state == "refused" else None
    return WithdrawalRow(
        sequence=withdrawal.sequence,
        time_ns=str(withdrawal.time_ns),
        digest=hexed(withdrawal.digest),
        symbol=token.symbol,
        token=hexed(token.address),
        amount=decimal_text(withdrawal.amount),
        amount_pips=str(withdrawal.amount),
        to=hexed(withdrawal.to),
        nonce=str(withdrawal.nonce),
        expiry=withdrawal.expiry,
        state="returned" if is_back else state,
        tx_hash=tx_hash,
        returned_pips=str(withdrawal.returned) if is_back else None,
        reason=withdrawal.reason if is_back else refused,
    )


@router.get(
    "/fills/{trade_id}/receipt",
    openapi_extra=documented(TradeProof, rejections=(400, 401, 404, 429), proof="session"),
)
async def read_receipt(
    request: Request, services: Here, me: Me, trade_id: Annotated[int, Path(ge=1, lt=2**63)]
) -> Answer:
    """Return the proof that one of the account's fills is in a batch: both orders as they were
    signed, the trade, its path and the batch's header. It costs ten requests."""
    client = client_of(request)
    for _ in range(RECEIPT_COST - 1):
        services.limits.request(client)
    mine = services.user_stream.fills(me.account, 1, trade_id + 1)
    if not mine or mine[0].trade_id != trade_id:
        raise Rejection(Outcome.NOT_FOUND, "no such trade is among the last of this account")
    if mine[0].is_busted:
        raise Rejection(Outcome.NOT_FOUND, "the trade was undone: no batch carries it")
    proof = await asyncio.to_thread(services.settlement.receipt, trade_id)
    if proof is None:
        raise Rejection(Outcome.NOT_FOUND, "no batch carries the trade yet; ask again later")
    return Answer(proof)
