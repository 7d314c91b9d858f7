"""What has come in for an account, and what becomes of what it takes out?"""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from gateway.api.dependencies import Here, Me, charged
from gateway.api.v1.encoding import decimal_text, hexed
from gateway.api.v1.money_schemas import DepositRow, Deposits, WithdrawalRow, Withdrawals
from gateway.api.v1.openapi import Answer, documented
from gateway.views.transfers import Deposit, Withdrawal
from settlement.orders.catalog import Token
from settlement.outbox.actions import WithdrawalState
from settlement.protocol.evidence import ZERO_REF

PAGE_MAX: Final = 100

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


@router.get("/deposits", openapi_extra=documented(Deposits, rejections=(400, 401, 429)))
async def list_deposits(services: Here, me: Me, limit: Limit = 50, before: Before = LAST) -> Answer:
    """Return the account's last deposits before command ``before``, newest first."""
    view = services.transfers
    found = view.deposits(me.account, before, limit)
    rows = [_deposit_row(view.token_of(deposit), deposit) for deposit in found]
    return Answer(Deposits(rows, found[-1].sequence if len(found) == limit else None))


@router.get("/withdrawals", openapi_extra=documented(Withdrawals, rejections=(400, 401, 429)))
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
