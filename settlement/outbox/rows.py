"""How is a row of the outbox written, and how is it read?"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from settlement.chain.chain import Receipt
from settlement.outbox import tables
from settlement.outbox.actions import Action, ActionKind, ActionState, Batch, Call

ACTION_COLUMNS: Final = [tables.actions.c[name] for name in Action._fields]
BATCH_COLUMNS: Final = [tables.batches.c[name] for name in Batch._fields]


def are(states: tuple[ActionState, ...], kind: ActionKind | None = None) -> sa.ColumnElement[bool]:
    """Return the condition that an action is in ``states``, and of ``kind`` if one is given."""
    in_states = tables.actions.c.state.in_(states)
    return in_states if kind is None else sa.and_(in_states, tables.actions.c.kind == kind)


def add(db: sa.Connection, call: Call, now_ns: int) -> int:
    """Add an action that is SEALED; return its id."""
    row = db.execute(
        tables.actions.insert()
        .values(**call._asdict(), state=ActionState.SEALED, sealed_ns=now_ns)
        .returning(tables.actions.c.id)
    )
    action_id = int(row.scalar_one())
    log_change(db, action_id, call.kind, call.key, ActionState.SEALED, now_ns)
    return action_id


def log_change(
    db: sa.Connection, action_id: int, kind: str, key: str, state: ActionState, now_ns: int
) -> None:
    """Write down that an action has entered ``state``."""
    db.execute(
        tables.changes.insert().values(
            action_id=action_id, kind=kind, key=key, state=state, at_ns=now_ns
        )
    )


def last_batch_in(db: sa.Connection) -> Batch | None:
    """Return the newest batch that is not abandoned."""
    query = (
        sa.select(*BATCH_COLUMNS)
        .where(~tables.batches.c.is_abandoned)
        .order_by(tables.batches.c.number.desc())
        .limit(1)
    )
    row = db.execute(query).one_or_none()
    return None if row is None else Batch(*row)


def action_of(row: Sequence[Any]) -> Action:
    """Return the action of a row of ``ACTION_COLUMNS``."""
    action = Action(*row)
    return action._replace(kind=ActionKind(action.kind), state=ActionState(action.state))


def place_of(receipt: Receipt) -> dict[str, Any]:
    """Return the columns that say where a transaction has landed."""
    return {
        "block_number": receipt.block_number,
        "block_hash": receipt.block_hash,
        "mined_hash": receipt.tx_hash,
        "gas_used": receipt.gas_used,
    }
