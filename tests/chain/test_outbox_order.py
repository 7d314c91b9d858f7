"""The outbox takes each decision once and keeps it, whichever thread asks."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from settlement.chain.chain import Receipt
from settlement.outbox.actions import Action, ActionKind, ActionState, Batch, Call
from settlement.outbox.outbox import Outbox

SWEEP = Call(ActionKind.SWEEP, "a", b"\x01" * 20, b"\x02", 100_000)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite")
    yield opened
    opened.close()


def batch(number: int) -> Batch:
    plain = {
        "number": number,
        "first_trade": number * 10 + 1,
        "last_trade": number * 10 + 10,
        "first_sequence": number * 100 + 1,
        "last_sequence": number * 100 + 100,
        "prev_head": bytes([number - 1]) * 32,
        "head": bytes([number]) * 32,
        "close_time": 5,
        "log_root": bytes(32),
        "trades_root": bytes(32),
    }
    return Batch(**plain)  # type: ignore[arg-type]


def call(number: int) -> Call:
    return Call(ActionKind.BATCH, str(number), b"\x01" * 20, b"", 1)


def receipt(tx_hash: bytes, block: int = 7) -> Receipt:
    return Receipt(tx_hash, block, b"\x0b" * 32, True, 21_000, 10**9, None)


def test_the_same_key_is_one_action(outbox: Outbox):
    first = outbox.enqueue(SWEEP, 1)

    assert outbox.enqueue(SWEEP, 2) == first
    assert outbox.enqueue(SWEEP._replace(kind=ActionKind.GRANT), 3) != first
    assert [change.state for change in outbox.changes(0, 9)] == [ActionState.SEALED] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("number", 3), ("first_trade", 22), ("first_sequence", 200), ("prev_head", bytes(32))],
)
def test_a_batch_with_a_gap_is_refused_and_nothing_is_written(
    outbox: Outbox, field: str, value: int | bytes
):
    outbox.seal(batch(1), call(1), 1)
    with pytest.raises(AssertionError):
        outbox.seal(batch(2)._replace(**{field: value}), call(2), 2)

    assert outbox.last_batch() == batch(1)
    assert len(outbox.in_state(ActionState.SEALED, limit=9)) == 1
    outbox.seal(batch(2), call(2), 3)
    assert outbox.last_batch() == batch(2)


def test_an_action_keeps_its_content_and_all_its_hashes(outbox: Outbox):
    action_id = outbox.enqueue(SWEEP, 1)
    outbox.signed(action_id, 4, b"raw1", b"\xa1" * 32, 100, 10, 2)
    outbox.broadcast(action_id, 3)
    outbox.signed(action_id, 4, b"raw2", b"\xa2" * 32, 113, 12, 4)
    outbox.broadcast(action_id, 5)
    action = outbox.action(action_id)

    assert (action.to, action.calldata, action.gas_limit) == SWEEP[2:]
    assert (action.raw, action.fee_max, action.tip_max, action.sent_ns) == (b"raw2", 113, 12, 4)
    assert outbox.tx_hashes(action) == [b"\xa2" * 32, b"\xa1" * 32]
    assert outbox.next_nonce() == 5
    outbox.mined(action_id, receipt(b"\xa1" * 32), 6)
    mined = outbox.action(action_id)
    assert (mined.state, mined.mined_hash, mined.block_number) == ("mined", b"\xa1" * 32, 7)
    outbox.broadcast(action_id, 7)
    assert outbox.action(action_id).block_number is None, "a reorganisation takes it all back"


def test_what_nodes_say_of_gas_is_added_up_however_much_it_is(outbox: Outbox):
    """Each fits its column; SQLite's own sum of two of them does not."""
    for number in range(2):
        action_id = outbox.enqueue(SWEEP._replace(key=str(number)), 1)
        outbox.signed(action_id, number, b"raw", bytes([number]) * 32, 100, 10, 2)
        outbox.broadcast(action_id, 3)
        mined = receipt(bytes([number]) * 32)._replace(gas_used=2**63 - 1)
        outbox.mined(action_id, mined, 6)
    assert outbox.totals()[1] == 2**64 - 2


def test_a_nonce_that_was_lost_takes_its_hashes_along(outbox: Outbox):
    action_id = outbox.enqueue(SWEEP, 1)
    outbox.signed(action_id, 4, b"raw1", b"\xa1" * 32, 100, 10, 2)
    outbox.unsigned(action_id, "taken", 3)
    outbox.signed(action_id, 5, b"raw2", b"\xa2" * 32, 100, 10, 4)

    assert outbox.tx_hashes(outbox.action(action_id)) == [b"\xa2" * 32]


def test_trades_are_found_in_their_batch_with_the_newest_hash(outbox: Outbox):
    action_id = outbox.seal(batch(1), call(1), 1)
    outbox.seal(batch(2), call(2), 1)
    outbox.signed(action_id, 0, b"raw", b"\xa1" * 32, 100, 10, 2)

    for trade_id, number in ((11, 1), (20, 1), (21, 2), (30, 2)):
        found = outbox.batch_of_trade(trade_id)
        assert found is not None and found.batch.number == number
    assert outbox.batch_of_trade(10) is None and outbox.batch_of_trade(31) is None
    (second, first) = outbox.batch_states(limit=5)
    assert (second.tx_hash, first.tx_hash) == (None, b"\xa1" * 32)
    assert [state.batch.number for state in outbox.batch_states(limit=1)] == [2]


def test_everything_is_there_after_reopening(outbox: Outbox, tmp_path: Path):
    action_id = outbox.seal(batch(1), call(1), 1)
    outbox.signed(action_id, 0, b"raw", b"\xa1" * 32, 100, 10, 2)
    outbox.move_cursor("here", 5)
    outbox.move_cursor("here", 3)
    before = (outbox.action(action_id), outbox.last_batch(), outbox.changes(0, 9))
    outbox.close()
    again = Outbox(tmp_path / "outbox.sqlite")

    assert (again.action(action_id), again.last_batch(), again.changes(0, 9)) == before
    assert again.cursor("here") == 5 and again.cursor("there") is None
    assert again.find(ActionKind.BATCH, "1") == before[0]
    again.close()


def test_two_threads_write_and_one_reads_without_losing_anything(outbox: Outbox):
    count, failures = 60, []

    def enqueue(name: str) -> None:
        try:
            for i in range(count):
                outbox.enqueue(SWEEP._replace(key=f"{name}{i}"), i)
                outbox.enqueue(SWEEP._replace(key=f"shared{i}"), i)
        except AssertionError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=enqueue, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    seen: list[Action] = []
    while any(thread.is_alive() for thread in threads):
        seen = outbox.in_state(ActionState.SEALED, limit=1_000)
        assert [action.id for action in seen] == sorted(action.id for action in seen)
    for thread in threads:
        thread.join()

    assert not failures
    assert len(outbox.in_state(ActionState.SEALED, limit=1_000)) == 3 * count
    assert len(outbox.changes(0, 1_000)) == 3 * count


def test_it_is_synced_in_full(outbox: Outbox):
    import sqlalchemy as sa

    with outbox._engine.connect() as db:
        assert db.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert db.execute(sa.text("PRAGMA synchronous")).scalar() == 2


def test_found_the_same_empty_transaction_filled_a_gap_twice(outbox: Outbox):
    """Found by life 1099 of the reorganisations: what fills a gap has the same bytes each time."""
    voids = [Call(ActionKind.VOID, f"7.{n}", b"\x01" * 20, b"", 21_000) for n in range(2)]
    found = []
    for void in voids:
        outbox.fill(7, void, 1)
        ((action_id, _, _),) = outbox.names(ActionState.SEALED)
        outbox.signed(action_id, 7, b"raw", b"\xaa" * 32, 5, 1, 2)
        found.append(outbox.action(action_id))
    outbox.fill(8, Call(ActionKind.VOID, "8.2", b"\x01" * 20, b"", 21_000), 3)
    ((another, _, _),) = outbox.names(ActionState.SEALED)
    outbox.signed(another, 8, b"other", b"\xbb" * 32, 5, 1, 4)

    assert [outbox.tx_hashes(action) for action in found] == [[], [b"\xaa" * 32]]
    assert outbox.tx_hashes(outbox.action(another)) == [b"\xbb" * 32]
    assert outbox.others_at(7, found[0].id) == [(found[1].id, b"\xaa" * 32)]
