"""What has settlement decided to do on chain, and how far is each of it?

An action is what the chain is to do: one call of one contract. Its content never changes once it is
here; only its state moves, SEALED to SIGNED to BROADCAST to MINED to FINAL. Raw bytes are stored
before they are sent, so whatever crashes, the next start knows every transaction that can exist.
SQLite with full synchronisation: what a method has returned from is on disk.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from settlement.chain.chain import Receipt
from settlement.outbox import tables
from settlement.outbox.actions import (
    Action,
    ActionKind,
    ActionState,
    Batch,
    BatchState,
    Call,
    Change,
    Mined,
    states_before,
)
from settlement.outbox.rows import (
    ACTION_COLUMNS,
    BATCH_COLUMNS,
    action_of,
    add,
    are,
    last_batch_in,
    log_change,
    place_of,
)
from settlement.outbox.tables import open_database

IN_FLIGHT: Final = (ActionState.SIGNED, ActionState.BROADCAST)


class Outbox:
    """The outbox file. Any thread may call; writes take turns, reads do not wait for them."""

    def __init__(
        self, path: Path, observe: Callable[[ActionState, bool], None] | None = None
    ) -> None:
        """``observe`` hears of every change of state twice, with the new state: False just before
        it is on disk, True just after. What it must not do is write to the outbox itself."""
        self._engine = open_database(path)
        self._writing = threading.RLock()
        self._observe = observe

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction for somebody who keeps a table of its own in this file."""
        with self._writing, self._engine.begin() as db:
            yield db

    def reading(self) -> sa.Connection:
        """Open a connection for somebody who only looks."""
        return self._engine.connect()

    @contextmanager
    def changing(self, state: ActionState) -> Iterator[sa.Connection]:
        """Open the transaction that brings something into ``state``."""
        with self._writing:
            with self._engine.begin() as db:
                yield db
                self._announce(state, False)
            self._announce(state, True)

    def _announce(self, state: ActionState, is_stored: bool) -> None:
        if self._observe is not None:
            self._observe(state, is_stored)

    # Decide.

    def enqueue(self, call: Call, now_ns: int) -> int:
        """Add an action unless ``(kind, key)`` is there already; return its id either way."""
        with self._writing:
            known = self.find(call.kind, call.key)
            if known is not None:
                return known.id
            with self.changing(ActionState.SEALED) as db:
                return add(db, call, now_ns)

    def seal(self, batch: Batch, call: Call, now_ns: int) -> int:
        """Add a batch and its action in one transaction; return the action's id.

        The batch must follow the last one without a gap in number, trades, sequences and heads.
        """
        with self.changing(ActionState.SEALED) as db:
            last = last_batch_in(db)
            if last is not None:
                assert batch.number == last.number + 1, "batch numbers have no gap"
                assert batch.first_trade == last.last_trade + 1, "trades have no gap"
                assert batch.first_sequence == last.last_sequence + 1, "sequences have no gap"
                assert batch.prev_head == last.head, "heads are chained"
            action_id = add(db, call, now_ns)
            db.execute(tables.batches.insert().values(**batch._asdict(), action_id=action_id))
            return action_id

    def batch_key(self, number: int) -> str:
        """Return the key for the action of batch ``number``: it names the attempt after the first.

        ``batch_number`` reads it back.
        """
        query = sa.select(sa.func.count()).where(tables.batches.c.number == number)
        with self._engine.connect() as db:
            attempts = int(db.execute(query).scalar_one())
        return f"{number}.{attempts + 1}" if attempts else str(number)

    def abandon(self, number: int, now_ns: int) -> None:
        """Give up batch ``number`` and all after it, in one transaction. None may still land."""
        with self.changing(ActionState.ABANDONED) as db:
            given_up = sa.and_(tables.batches.c.number >= number, ~tables.batches.c.is_abandoned)
            action_ids = list(
                db.execute(sa.select(tables.batches.c.action_id).where(given_up)).scalars()
            )
            db.execute(tables.batches.update().where(given_up).values(is_abandoned=True))
            for action_id in action_ids:
                self._move(db, action_id, ActionState.ABANDONED, now_ns)

    # Move on.

    def signed(
        self,
        action_id: int,
        nonce: int,
        raw: bytes,
        tx_hash: bytes,
        fee_max: int,
        tip_max: int,
        now_ns: int,
    ) -> None:
        """Store a transmission before it is sent: the first, or a dearer one at the same nonce.

        The same bytes may have been signed before, for this action or another: where a nonce was
        given up and a reorganisation has made it free again, what is signed at it is the same, and
        whatever fills a gap is as empty as what has filled it before. It is this one's now.
        """
        with self.changing(ActionState.SIGNED) as db:
            last = db.execute(sa.select(sa.func.max(tables.transmissions.c.id))).scalar_one()
            sent = tables.transmissions.c
            db.execute(tables.transmissions.delete().where(sent.tx_hash == tx_hash))
            db.execute(
                tables.transmissions.insert().values(
                    tx_hash=tx_hash, id=(last or 0) + 1, action_id=action_id, nonce=nonce
                )
            )
            self._move(
                db,
                action_id,
                ActionState.SIGNED,
                now_ns,
                nonce=nonce,
                raw=raw,
                fee_max=fee_max,
                tip_max=tip_max,
                sent_ns=now_ns,
                error=None,
            )

    def broadcast(self, action_id: int, now_ns: int) -> None:
        """The node has it, or a reorganisation has thrown it back to there."""
        with self.changing(ActionState.BROADCAST) as db:
            self._move(
                db,
                action_id,
                ActionState.BROADCAST,
                now_ns,
                block_number=None,
                block_hash=None,
                mined_hash=None,
                gas_used=None,
                mined_ns=None,
                final_ns=None,
                error=None,
            )

    def mined(self, action_id: int, receipt: Receipt, now_ns: int) -> None:
        """It is in a block and succeeded."""
        with self.changing(ActionState.MINED) as db:
            self._move(
                db,
                action_id,
                ActionState.MINED,
                now_ns,
                **place_of(receipt),
                mined_ns=now_ns,
            )

    def final(self, action_id: int, now_ns: int) -> None:
        """It is deep enough."""
        with self.changing(ActionState.FINAL) as db:
            self._move(db, action_id, ActionState.FINAL, now_ns, final_ns=now_ns)

    def rejected(self, action_id: int, reason: str, now_ns: int) -> None:
        """The contract would refuse it, so it is not sent."""
        with self.changing(ActionState.FAILED) as db:
            self._move(db, action_id, ActionState.FAILED, now_ns, error=reason)

    def failed(self, action_id: int, receipt: Receipt, reason: str, now_ns: int) -> None:
        """It is in a block and the contract refused it."""
        with self.changing(ActionState.FAILED) as db:
            self._move(
                db,
                action_id,
                ActionState.FAILED,
                now_ns,
                **place_of(receipt),
                mined_ns=now_ns,
                error=reason,
            )

    def unsigned(self, action_id: int, reason: str, now_ns: int) -> None:
        """Its nonce went to a transaction that is not ours: sign it again at another."""
        with self.changing(ActionState.SEALED) as db:
            self._move(
                db, action_id, ActionState.SEALED, now_ns, nonce=None, raw=None, error=reason
            )

    def voided(self, action_id: int, reason: str, nonce: int, void: Call, now_ns: int) -> None:
        """It failed, for no block can carry it; ``void`` is to be signed at its nonce."""
        with self.changing(ActionState.FAILED) as db:
            nothing = {"nonce": None, "raw": None}
            self._move(db, action_id, ActionState.FAILED, now_ns, error=reason, **nothing)
            self._add_void(db, void, nonce, now_ns)

    def fill(self, nonce: int, void: Call, now_ns: int) -> None:
        """A nonce is free again that was given up: ``void`` is to be signed at it."""
        with self.changing(ActionState.SEALED) as db:
            self._add_void(db, void, nonce, now_ns)

    @staticmethod
    def _add_void(db: sa.Connection, void: Call, nonce: int, now_ns: int) -> None:
        void_id = add(db, void, now_ns)
        db.execute(
            tables.actions.update().where(tables.actions.c.id == void_id).values(nonce=nonce)
        )

    def noted(self, action_id: int, reason: str) -> None:
        """Write down what the node said, without a change of state."""
        with self._writing, self._engine.begin() as db:
            db.execute(
                tables.actions.update().where(tables.actions.c.id == action_id).values(error=reason)
            )

    @staticmethod
    def _move(
        db: sa.Connection, action_id: int, state: ActionState, now_ns: int, **columns: Any
    ) -> None:
        is_allowed = tables.actions.c.state.in_(states_before(state))
        moved = db.execute(
            tables.actions.update()
            .where(tables.actions.c.id == action_id, is_allowed)
            .values(state=state, **columns)
            .returning(tables.actions.c.kind, tables.actions.c.key)
        ).one_or_none()
        assert moved is not None, f"no edge to {state} from where action {action_id} is"
        log_change(db, action_id, moved.kind, moved.key, state, now_ns)

    # Look.

    def action(self, action_id: int) -> Action:
        """Return one action; it must exist."""
        with self._engine.connect() as db:
            query = sa.select(*ACTION_COLUMNS).where(tables.actions.c.id == action_id)
            return action_of(db.execute(query).one())

    def find(self, kind: ActionKind, key: str) -> Action | None:
        """Return the action with that key."""
        query = sa.select(*ACTION_COLUMNS).where(
            tables.actions.c.kind == kind, tables.actions.c.key == key
        )
        with self._engine.connect() as db:
            row = db.execute(query).one_or_none()
        return None if row is None else action_of(row)

    def newest(self, kind: ActionKind, prefix: str) -> Action | None:
        """Return the last action of ``kind`` whose key begins with ``prefix``."""
        query = (
            sa.select(*ACTION_COLUMNS)
            .where(
                tables.actions.c.kind == kind,
                tables.actions.c.key.startswith(prefix, autoescape=True),
            )
            .order_by(tables.actions.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as db:
            row = db.execute(query).one_or_none()
        return None if row is None else action_of(row)

    def in_state(
        self, *states: ActionState, limit: int, kind: ActionKind | None = None
    ) -> list[Action]:
        """Return the oldest ``limit`` actions in ``states``, in the order they were decided.

        Whoever looks for one kind has to name it: what is in the way of others must not hide it.
        """
        query = (
            sa.select(*ACTION_COLUMNS)
            .where(are(states, kind))
            .order_by(tables.actions.c.id)
            .limit(limit)
        )
        with self._engine.connect() as db:
            return [action_of(row) for row in db.execute(query)]

    def in_flight(self, limit: int) -> list[Action]:
        """Return what is signed and in no block, the lowest nonces first: others wait for them."""
        query = (
            sa.select(*ACTION_COLUMNS)
            .where(are(IN_FLIGHT))
            .order_by(tables.actions.c.nonce)
            .limit(limit)
        )
        with self._engine.connect() as db:
            return [action_of(row) for row in db.execute(query)]

    def names(
        self, *states: ActionState, kind: ActionKind | None = None
    ) -> list[tuple[int, ActionKind, str]]:
        """Return id, kind and key of every action in ``states``, the oldest first: all of them, for
        they are small."""
        columns = tables.actions.c.id, tables.actions.c.kind, tables.actions.c.key
        query = sa.select(*columns).where(are(states, kind)).order_by(tables.actions.c.id)
        with self._engine.connect() as db:
            return [(row[0], ActionKind(row[1]), row[2]) for row in db.execute(query)]

    def last_block(self, kind: ActionKind, *states: ActionState) -> int:
        """Return the highest block of the actions of ``kind`` in ``states``; 0 if none has one."""
        query = sa.select(sa.func.max(tables.actions.c.block_number)).where(are(states, kind))
        with self._engine.connect() as db:
            return int(db.execute(query).scalar() or 0)

    def beyond(self, kind: ActionKind, block: int) -> list[Action]:
        """Return all actions of ``kind`` that have not happened on chain up to ``block``."""
        happened = sa.and_(
            tables.actions.c.state.in_((ActionState.MINED, ActionState.FINAL)),
            tables.actions.c.block_number <= block,
        )
        query = (
            sa.select(*ACTION_COLUMNS)
            .where(tables.actions.c.kind == kind, ~happened)
            .order_by(tables.actions.c.id)
        )
        with self._engine.connect() as db:
            return [action_of(row) for row in db.execute(query)]

    def totals(self) -> tuple[dict[ActionState, int], int]:
        """Return how many actions are in each state, and the gas that all mined ones have used."""
        state, gas_used = tables.actions.c.state, tables.actions.c.gas_used
        # In halves: what a node says of one transaction fits 64 bits, and SQLite's sum may not.
        halves = sa.func.sum(gas_used.op(">>")(32)), sa.func.sum(gas_used.op("&")(2**32 - 1))
        query = sa.select(state, sa.func.count(), *halves).group_by(state)
        with self._engine.connect() as db:
            rows = list(db.execute(query))
        found = {ActionState(row[0]): int(row[1]) for row in rows}
        return {s: found.get(s, 0) for s in ActionState}, sum(
            (int(row[2] or 0) << 32) + int(row[3] or 0) for row in rows
        )

    def count(self, *states: ActionState, kind: ActionKind | None = None) -> int:
        """Return how many actions, all or of one kind, are in ``states``."""
        query = sa.select(sa.func.count()).where(are(states, kind))
        with self._engine.connect() as db:
            return int(db.execute(query).scalar_one())

    def in_blocks(self, above: int) -> list[Mined]:
        """Return the actions that are MINED, and those that came to their end in a block higher
        than ``above``; without their bulky content."""
        ended = tables.actions.c.state.in_((ActionState.FINAL, ActionState.FAILED))
        query = (
            sa.select(
                tables.actions.c.id,
                tables.actions.c.state,
                tables.actions.c.block_number,
                tables.actions.c.block_hash,
            )
            .where(
                sa.or_(
                    tables.actions.c.state == ActionState.MINED,
                    sa.and_(ended, tables.actions.c.block_number > above),
                )
            )
            .order_by(tables.actions.c.id)
        )
        with self._engine.connect() as db:
            rows = list(db.execute(query))
        return [Mined(row[0], ActionState(row[1]), row[2], row[3]) for row in rows]

    def block_before(self, action_id: int) -> int:
        """Return a block that was mined before action ``action_id`` was decided; 0 if none is."""
        query = sa.select(sa.func.max(tables.actions.c.block_number)).where(
            tables.actions.c.id < action_id, tables.actions.c.mined_ns < self._sealed_ns(action_id)
        )
        with self._engine.connect() as db:
            return int(db.execute(query).scalar() or 0)

    @staticmethod
    def _sealed_ns(action_id: int) -> sa.ScalarSelect[int]:
        return (
            sa.select(tables.actions.c.sealed_ns)
            .where(tables.actions.c.id == action_id)
            .scalar_subquery()
        )

    def tx_hashes(self, action: Action, *, is_present: bool = True) -> list[bytes]:
        """Return every hash sent for an action at its present nonce, newest first, or at others."""
        sent = tables.transmissions.c
        at_present = sent.nonce.is_not_distinct_from(action.nonce)
        query = (
            sa.select(sent.tx_hash)
            .where(sent.action_id == action.id, at_present == is_present)
            .order_by(sent.id.desc())
        )
        with self._engine.connect() as db:
            return list(db.execute(query).scalars())

    def nonces_out(self) -> list[int]:
        """Return the nonces of all that is in flight, the lowest first."""
        query = (
            sa.select(tables.actions.c.nonce).where(are(IN_FLIGHT)).order_by(tables.actions.c.nonce)
        )
        with self._engine.connect() as db:
            return list(db.execute(query).scalars())

    def nonces_held(self, start: int) -> set[int]:
        """Return the nonces from ``start`` on that a transaction of ours has or is to have: what is
        on its way its own, what has landed the one that it has landed with."""
        actions, sent = tables.actions.c, tables.transmissions.c
        on_its_way = sa.select(actions.nonce).where(
            are((ActionState.SEALED, *IN_FLIGHT)), actions.nonce >= start
        )
        landed = (
            sa.select(sent.nonce)
            .join(tables.actions, actions.mined_hash == sent.tx_hash)
            .where(
                are((ActionState.MINED, ActionState.FINAL, ActionState.FAILED)), sent.nonce >= start
            )
        )
        with self._engine.connect() as db:
            return set(db.execute(sa.union(on_its_way, landed)).scalars())

    def others_at(self, nonce: int, action_id: int) -> list[tuple[int, bytes]]:
        """Return id and hash of what other actions have sent at ``nonce``."""
        sent = tables.transmissions.c
        query = sa.select(sent.action_id, sent.tx_hash).where(
            sent.nonce == nonce, sent.action_id != action_id
        )
        with self._engine.connect() as db:
            return [(row[0], row[1]) for row in db.execute(query)]

    def next_nonce(self) -> int | None:
        """Return the account nonce after the last one given out; None when none was."""
        with self._engine.connect() as db:
            highest = db.execute(sa.select(sa.func.max(tables.actions.c.nonce))).scalar()
        return None if highest is None else int(highest) + 1

    def last_key(self, kind: ActionKind) -> str | None:
        """Return the key of the newest action of ``kind``."""
        query = (
            sa.select(tables.actions.c.key)
            .where(tables.actions.c.kind == kind)
            .order_by(tables.actions.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as db:
            return db.execute(query).scalar()

    def last_batch(self) -> Batch | None:
        """Return the newest batch."""
        with self._engine.connect() as db:
            return last_batch_in(db)

    def batch_states(self, *where: Any, limit: int) -> list[BatchState]:
        """Return batches that are not abandoned, newest first."""
        return self._batch_states(~tables.batches.c.is_abandoned, *where, limit=limit)

    def batch_of_action(self, action_id: int) -> BatchState:
        """Return the batch of an action, abandoned or not."""
        return self._batch_states(tables.batches.c.action_id == action_id, limit=1)[0]

    def _batch_states(self, *where: Any, limit: int) -> list[BatchState]:
        newest = (
            sa.select(tables.transmissions.c.tx_hash)
            .where(tables.transmissions.c.action_id == tables.actions.c.id)
            .order_by(tables.transmissions.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        columns = (
            tables.batches.c.action_id,
            tables.actions.c.state,
            sa.func.coalesce(tables.actions.c.mined_hash, newest),
            tables.actions.c.block_number,
            tables.actions.c.gas_used,
            tables.actions.c.error,
        )
        query = (
            sa.select(*BATCH_COLUMNS, *columns)
            .join(tables.actions, tables.actions.c.id == tables.batches.c.action_id)
            .where(*where)
            .order_by(tables.batches.c.number.desc())
            .limit(limit)
        )
        width = len(BATCH_COLUMNS)
        with self._engine.connect() as db:
            return [
                BatchState(
                    Batch(*row[:width]), row[width], ActionState(row[width + 1]), *row[width + 2 :]
                )
                for row in db.execute(query)
            ]

    def batch_of_trade(self, trade_id: int) -> BatchState | None:
        """Return the batch that settles trade ``trade_id``; None while it is not sealed."""
        found = self.batch_states(
            tables.batches.c.first_trade <= trade_id,
            tables.batches.c.last_trade >= trade_id,
            limit=1,
        )
        return found[0] if found else None

    def batch_by_head(self, head: bytes) -> BatchState | None:
        """Return the batch that makes the chain's head ``head``."""
        found = self.batch_states(tables.batches.c.head == head, limit=1)
        return found[0] if found else None

    def last_final_batch(self, block: int | None = None) -> BatchState | None:
        """Return the newest batch that is final, of those in blocks up to ``block`` if given."""
        is_deep = sa.true() if block is None else tables.actions.c.block_number <= block
        found = self.batch_states(tables.actions.c.state == ActionState.FINAL, is_deep, limit=1)
        return found[0] if found else None

    def calldata(self, number: int) -> bytes:
        """Return what batch ``number`` sends; it must be sealed."""
        query = (
            sa.select(tables.actions.c.calldata)
            .join(tables.batches, tables.actions.c.id == tables.batches.c.action_id)
            .where(tables.batches.c.number == number, ~tables.batches.c.is_abandoned)
        )
        with self._engine.connect() as db:
            return bytes(db.execute(query).scalar_one())

    def batch(self, number: int) -> BatchState | None:
        """Return batch ``number``."""
        found = self.batch_states(tables.batches.c.number == number, limit=1)
        return found[0] if found else None

    def changes(self, since: int, limit: int) -> list[Change]:
        """Return the first ``limit`` changes with an id above ``since``."""
        query = (
            sa.select(tables.changes)
            .where(tables.changes.c.id > since)
            .order_by(tables.changes.c.id)
        )
        with self._engine.connect() as db:
            return [
                Change(
                    row.id,
                    row.action_id,
                    ActionKind(row.kind),
                    row.key,
                    ActionState(row.state),
                    row.at_ns,
                )
                for row in db.execute(query.limit(limit))
            ]

    def cursor(self, name: str) -> int | None:
        """Return a stored position."""
        with self._engine.connect() as db:
            return db.execute(
                sa.select(tables.cursors.c.value).where(tables.cursors.c.name == name)
            ).scalar()

    def move_cursor(self, name: str, value: int) -> None:
        """Store a position; it only goes forward."""
        with self._writing, self._engine.begin() as db:
            known = db.execute(
                sa.select(tables.cursors.c.value).where(tables.cursors.c.name == name)
            ).scalar()
            if known is None:
                db.execute(tables.cursors.insert().values(name=name, value=value))
            elif value > known:
                db.execute(
                    tables.cursors.update().where(tables.cursors.c.name == name).values(value=value)
                )
