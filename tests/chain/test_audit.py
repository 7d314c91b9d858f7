"""Whoever has the log and a node finds out whether it is what was settled."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.commands import COMMAND, Kind, command
from engine.events import EventKind
from engine.log_entries import Committed, event_rows
from engine.reference import Engine
from engine.types import Side
from settlement.audit.audit import Audit
from settlement.audit.onchain import KeyChange, Published, read_published
from settlement.audit.priority import Priority
from settlement.chain.dev.devchain import start_devchain
from settlement.orders.admission import Admission
from settlement.orders.session_keys import SessionKeys
from settlement.protocol.evidence import DepositEvidence, SignedOrder, decode, encode
from tests.asked import login_of
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, LANE, LIMITS, NS, SECRETS, Venue

Log = list[tuple[Any, bytes]]
"""Command rows with their attachments."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Venue, Log, Published]]:
    """A day with everything in it, settled in several batches."""
    directory, clock = tmp_path_factory.mktemp("audit"), Clock()
    with start_devchain(directory / "chain", "eth-tester", clock) as chain:
        venue = Venue(directory, chain, clock)
        live(venue, clock)
        log = [
            (entry.row, entry.attachment)
            for committed in venue.history()
            for entry in committed.entries
        ]
        published = read_published(chain.chain, venue.deployment)
        assert len(published.batches) >= 4 and not published.faults
        yield venue, log, published
        venue.close()


def live(venue: Venue, clock: Clock) -> None:
    venue.fund()
    venue.deposit(CAROL, venue.usd, 10**12)
    venue.credit()
    for turn in range(1, 5):
        for i in range(3):
            venue.place(BOB, Side.SELL, 2_500 + i, 10, nonce=turn, lane=LANE + i)
        venue.place(CAROL, Side.BUY, 2_400, 5, nonce=turn, lane=LANE)
        venue.place(ALICE, Side.BUY, 2_501, 15, nonce=2 * turn - 1)
        resting = venue.place(CAROL, Side.BUY, 2_300, 1, nonce=turn, lane=LANE + 1)
        order_id = int(resting[-1]["order_id"])
        asked = login_of(venue.domain, SECRETS[CAROL.address], clock() // NS)
        venue.commit(command(Kind.CANCEL, account=2, order_id=order_id), asked)
        venue.withdraw(BOB, venue.usd, 10**7, nonce=turn)
        venue.place(BOB, Side.SELL, 2_400, 5, nonce=turn)
        venue.place(ALICE, Side.BUY, 2_502, 15, nonce=2 * turn)
        venue.commit(command(Kind.CLOCK))
        clock.ahead_ns += 3 * NS
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())
    assert venue.settler.halted is None
    # An empty batch commits to what came after the last trade.
    clock.ahead_ns += 25 * 3_600 * NS
    venue.devchain.mine()  # A batch waits for the chain's time to come near its own.
    until(lambda: not venue.settler.step())


def audited(venue: Venue, log: Log, published: Published) -> Audit:
    """Replay ``log`` with its sequences made dense, as a forger would, and audit it."""
    commands = np.array([row for row, _ in log], COMMAND)
    commands["sequence"] = np.arange(1, len(log) + 1)
    attachments = [attachment for _, attachment in log]
    events = Engine(LIMITS).apply(commands)
    audit = Audit(venue.domain, published)
    audit.consume(Committed(1, commands, attachments, events, []))
    return audit


def test_an_honest_log_is_found_honest(story: tuple[Venue, Log, Published]):
    venue, log, published = story
    audit = audited(venue, log, published)

    assert audit.judge() == []
    assert audit.settled_count == audit.command_count == len(log) > 50
    assert audit.trade_count == 20


def edited(row: Any, name: str, change: int) -> Any:
    forged = row.copy()
    forged[name] += change
    return forged


def forgeries(log: Log, dice: random.Random) -> Iterator[tuple[str, Log]]:
    """Yield what can be done to a log: each kind, at many places."""
    for at in range(len(log)):
        row, attachment = log[at]
        yield f"dropped {at}", log[:at] + log[at + 1 :]
        yield f"inserted {at}", [*log[:at], log[dice.randrange(len(log))], *log[at:]]
        if at + 1 < len(log) and (log[at][0]["kind"], log[at + 1][0]["kind"]) != (8, 8):
            yield f"swapped {at}", [*log[:at], log[at + 1], log[at], *log[at + 2 :]]
        name = dice.choice(("amount", "price_ticks", "account", "side", "time_ns", "expiry_ns"))
        yield (
            f"edited {at}: {name}",
            [*log[:at], (edited(row, name, 1), attachment), *log[at + 1 :]],
        )
        if attachment:
            place = dice.randrange(len(attachment))
            other = attachment[place] ^ 1 << dice.randrange(8)
            changed = attachment[:place] + bytes([other]) + attachment[place + 1 :]
            yield f"edited attachment {at}", [*log[:at], (row, changed), *log[at + 1 :]]


def is_found(venue: Venue, log: Log, published: Published) -> bool:
    try:
        return bool(audited(venue, log, published).judge())
    except (ValueError, IndexError, KeyError, TypeError, AssertionError):
        return True  # A log that cannot even be read is no log of ours.


def test_every_kind_of_forgery_is_found(story: tuple[Venue, Log, Published]):
    venue, log, published = story
    tried = {}
    for what, forged in forgeries(log, random.Random(5)):
        tried[what.split()[0]] = tried.get(what.split()[0], 0) + 1
        assert is_found(venue, forged, published), what

    assert min(tried.values()) >= 40 and set(tried) == {"dropped", "inserted", "swapped", "edited"}


def test_the_last_records_cannot_be_cut_off(story: tuple[Venue, Log, Published]):
    venue, log, published = story
    for count in (1, 5, len(log) // 2):
        audit = audited(venue, log[:-count], published)
        assert any("the log ends at" in fault for fault in audit.judge())


def test_an_order_that_nobody_signed_is_named(story: tuple[Venue, Log, Published]):
    """Even where no batch commits to the record, its owner's signature does."""
    venue, log, published = story
    at = next(i for i, (row, _) in enumerate(log) if row["kind"] == Kind.PLACE)
    order = decode(log[at][1])
    assert isinstance(order, SignedOrder)
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    unsettled = published._replace(batches=[], money=published.money)
    for name, value, words in (
        ("base_amount", order.base_amount * 2, "the digest is not the order's"),
        ("signature", b"\x01" * 64 + b"\x1b", "the signature is not the signer's"),
        ("account", CAROL.address, "the order is another account's"),
    ):
        forged = encode(SignedOrder(**{**fields, name: value}))
        audit = audited(venue, [*log[:at], (log[at][0], forged)], unsettled)
        assert any(words in fault for fault in audit.judge()), name
    audit = audited(venue, [*log[:at], (log[at][0], b"")], unsettled)
    assert any("an order without a signature" in fault for fault in audit.judge())


def test_an_order_that_is_made_to_replace_another_is_named(story: tuple[Venue, Log, Published]):
    """Else an order that its owner has signed would do for a cancel that he never asked for."""
    venue, log, published = story
    at = max(i for i, (row, _) in enumerate(log) if row["kind"] == Kind.PLACE)
    forged = log[at][0].copy()
    forged["kind"], forged["market"], forged["side"], forged["order_id"] = Kind.REPLACE, 0, 0, 7
    unsettled = published._replace(batches=[])

    faults = audited(venue, [*log[:at], (forged, log[at][1])], unsettled).judge()

    assert any("it takes order 7 off the book, and no signature" in fault for fault in faults)


def test_an_order_signed_by_a_key_that_nobody_granted_is_named(
    story: tuple[Venue, Log, Published],
):
    """Found: any key passed for its owner's."""
    venue, log, published = story
    at = next(i for i, (row, _) in enumerate(log) if row["kind"] == Kind.PLACE)
    order = decode(log[at][1])
    assert isinstance(order, SignedOrder)
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    fields |= {"signer": CAROL.address, "signature": CAROL.sign_digest(order.digest)}
    forged = [*log[:at], (log[at][0], encode(SignedOrder(**fields))), *log[at + 1 :]]
    pair, words = (order.account, CAROL.address), "had no right to sign for"
    for history, is_lawful in (
        ([], False),
        ([KeyChange(True, 0)], True),
        ([KeyChange(True, 0), KeyChange(False, 1)], False),
        ([KeyChange(True, 0), KeyChange(False, 2**40)], True),
        ([KeyChange(True, 2**40)], False),
        ([KeyChange(True, 0), KeyChange(False, 1), KeyChange(True, 2)], True),
    ):
        on_chain = published._replace(batches=[], keys={pair: history})
        faults = audited(venue, forged, on_chain).judge()
        assert any(words in fault for fault in faults) != is_lawful, history


def test_a_deposit_whose_log_has_moved_is_the_same_and_another_reference_is_not(
    story: tuple[Venue, Log, Published],
):
    """A reorganisation gives a log another index; what it says is what counts."""
    venue, log, published = story
    at = next(i for i, (row, _) in enumerate(log) if row["kind"] == Kind.DEPOSIT)
    evidence = decode(log[at][1])
    assert isinstance(evidence, DepositEvidence)
    unsettled = published._replace(batches=[])
    for changes, is_lawful in (({"log_index": 77}, True), ({"ref": b"\x01" * 32}, False)):
        moved = encode(msgspec.structs.replace(evidence, **changes))
        forged = [*log[:at], (log[at][0], moved), *log[at + 1 :]]
        assert (audited(venue, forged, unsettled).judge() == []) == is_lawful, changes


def test_a_deposit_that_was_kept_out_of_the_log_is_found(story: tuple[Venue, Log, Published]):
    venue, log, published = story
    first = next(i for i, (row, _) in enumerate(log) if row["kind"] == Kind.DEPOSIT)
    unsettled = published._replace(batches=[])
    kept = [entry for i, entry in enumerate(log) if i != first]
    faults = audited(venue, kept, unsettled).judge()

    assert any("is on chain and not in the log" in fault for fault in faults)


def test_found_an_order_traded_behind_what_had_replaced_it(tmp_path: Path, clock: Clock):
    """In one batch the contract takes both orders of a lane half, whichever traded first."""
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        venue = Venue(tmp_path, chain, clock)
        venue.fund()
        venue.place(BOB, Side.SELL, 2_500, 10, nonce=1, lane=LANE)
        venue.place(ALICE, Side.BUY, 2_500, 4, nonce=1)
        venue.admission = Admission(venue.catalog, SessionKeys())  # One that forgets the lane.
        venue.place(BOB, Side.SELL, 2_400, 10, nonce=2, lane=LANE)
        for nonce in (2, 3):
            venue.place(ALICE, Side.BUY, 2_500, 10, nonce=nonce)
        clock.ahead_ns += 3 * NS
        venue.settler.seal_now()
        until(lambda: not venue.settler.step())
        published = read_published(chain.chain, venue.deployment)
        log = [(entry.row, entry.attachment) for each in venue.history() for entry in each.entries]
        faults = audited(venue, log, published).judge()
        venue.close()
    assert sum(len(batch.trades) for batch in published.batches) == 3, "all of it is settled"
    assert [fault.split(": ")[1] for fault in faults] == [
        f"trade 3 fills the order of nonce 1 of 0x{BOB.address.hex()}, which nonce 2 had replaced"
    ]


def test_the_wrong_maker_is_seen_in_the_events_alone(story: tuple[Venue, Log, Published]):
    """An engine that cheats would hash to what it settles: the line itself is what convicts it."""
    _, log, _ = story
    commands = np.array([row for row, _ in log], COMMAND)
    events = Engine(LIMITS).apply(commands)
    assert list(Priority().follow(event_rows(events))) == []
    trades = np.flatnonzero(events["kind"] == EventKind.TRADE)
    asks = events[(events["kind"] == EventKind.RESTED) & (events["side"] == Side.SELL)]
    cheated = events.copy()
    cheated[trades[0]]["maker_id"] = asks[1]["order_id"]
    cheated[trades[0]]["price_ticks"] = asks[1]["price_ticks"]
    faults = list(Priority().follow(event_rows(cheated)))
    assert f"trade 1 passed over order {asks[0]['order_id']}" in faults[0]

    dearer = events.copy()
    dearer[trades[0]]["price_ticks"] += 1
    assert "its maker rests at" in next(Priority().follow(event_rows(dearer)))


def test_a_node_that_shows_other_calldata_is_not_believed(tmp_path: Path, clock: Clock):
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        venue = Venue(tmp_path, chain, clock)
        live(venue, clock)
        first = venue.outbox.calldata(1)

        class Liar:
            """Answers everything truly but the content of transactions."""

            def __getattr__(self, name: str) -> Any:
                return getattr(chain.chain, name)

            def calldata(self, tx_hash: bytes) -> bytes:
                true = chain.chain.calldata(tx_hash)
                return true if true == first else true[:-1] + bytes([true[-1] ^ 1])

        liar: Any = Liar()
        faults = read_published(liar, venue.deployment).faults
        assert any("is not what the contract settled" in fault for fault in faults)
        venue.close()
