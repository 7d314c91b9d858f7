"""How far are these withdrawals on their way to the chain?

One question for many, for a page that shows them.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from settlement.outbox import tables
from settlement.outbox.actions import ActionKind, ActionState, WithdrawalState
from settlement.outbox.outbox import Outbox


def withdrawal_states(outbox: Outbox, sequences: Sequence[int]) -> dict[int, WithdrawalState]:
    """Return the states of those that were countersigned, by the sequence of their command."""
    actions, sent = tables.actions.c, tables.transmissions
    newest = (
        sa.select(sent.c.tx_hash)
        .where(sent.c.action_id == actions.id)
        .order_by(sent.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = sa.select(actions.key, actions.state, actions.mined_hash, newest, actions.error).where(
        actions.kind == ActionKind.WITHDRAWAL, actions.key.in_(map(str, sequences))
    )
    with outbox.reading() as db:
        rows = db.execute(query).all()
    return {
        int(key): WithdrawalState(ActionState(state).value, mined or tx_hash, error)
        for key, state, mined, tx_hash, error in rows
    }
