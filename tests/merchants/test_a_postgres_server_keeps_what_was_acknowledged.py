"""The shops' rows on a real Postgres server: what happens when it goes, crashes, or is an old copy.

That the rest of the shops' promises hold there is said by the same tests as on SQLite: see
``conftest.py``.
"""

import socket
import threading
from contextlib import closing

import pytest

from engine.core import Engine
from engine.journal.reader import Position
from engine.journal.snapshot import write_snapshot
from engine.sequencer.places import NotOfThisLog
from merchants.records.database import (
    is_there,
    move_cursor,
    open_database,
    place_in,
    reading,
    transaction,
)
from settlement.storage.server import BadAddress, ServerLost, open_server
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    MERCHANT,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    sole,
)

pytestmark = pytest.mark.postgres


@pytest.fixture
def name(server):
    """The name of a fresh database of ours."""
    made = server.fresh("shops")
    yield made
    server.drop(made)


@pytest.fixture
def shop(server, name, tmp_path):
    """A world whose shops' rows are on the server."""
    (tmp_path / "merchants.url").write_text(server.url(name))
    world = World(tmp_path, machine=Engine)
    yield world
    world.venue.database.dispose()


def sold(world):
    """Let a customer pay a new invoice until all is final; return how it ended."""
    venue = world.venue
    invoice = venue.invoice(venue.approved_store())
    pay(world, invoice)
    return world.venue.merchants.reader.invoice(invoice.id)


def pay(world, invoice):
    raw = due_raw(invoice)
    world.transfer(address_bytes(invoice.deposit_address), raw, TOKEN, CONFIRMATIONS)
    for _ in range(2):
        world.venue.watch()
        world.venue.tick()
        world.venue.settle_sweeps()
    world.venue.tick()
    world.trades_are("final")
    world.venue.tick()


def test_a_server_that_was_restarted_between_two_steps_is_reached_again(server, shop):
    before = sold(shop)
    server.stop()
    server.start()
    assert shop.venue.merchants.reader.invoice(before.id) == before
    assert sold(shop).status == "settled"


def test_a_server_that_comes_up_late_is_waited_for(server, name):
    server.stop()
    opened = []
    waiting = threading.Thread(target=lambda: opened.append(open_database(server.url(name))))
    waiting.start()
    server.start()
    waiting.join(30)
    with closing_engine(opened[0]) as engine, reading(engine) as session:
        assert place_in(session) == Position(0, b"")


def closing_engine(engine):
    engine.close = engine.dispose
    return closing(engine)


def test_who_loses_the_server_in_the_middle_hears_of_it_and_the_next_start_goes_on(server, shop):
    venue = shop.venue
    invoice = venue.invoice(venue.approved_store())
    usd = venue.pips(MERCHANT, USD)
    lost = pytest.raises(ServerLost, match="was lost in the middle")
    with lost, transaction(venue.database) as session:
        move_cursor(session, Position(10**9, b"never"))
        session.flush()
        server.stop("immediate")
    server.start()
    venue.database.dispose()
    shop.restart()
    assert shop.venue.merchants.place().sequence < 10**9, "nothing of it was kept"
    pay(shop, invoice)
    after = shop.venue.merchants.reader.invoice(invoice.id)
    assert after.status == "settled"
    assert shop.venue.pips(MERCHANT, USD) > usd, "sold, once"
    assert len(after.conversions) == 1


def test_an_older_copy_is_shown_what_it_missed_and_one_of_another_log_is_refused(
    server, shop, tmp_path
):
    invoice = shop.venue.invoice(shop.venue.approved_store())
    first = snapshot(shop)
    older = copied(server, shop)
    pay(shop, invoice)
    snapshot(shop)
    newer = copied(server, shop)

    (tmp_path / "merchants.url").write_text(server.url(older))
    log = shop.storage.copy()
    shop.restart()
    sequencer = shop.venue.trading.sequencer
    assert sequencer.resumed_at == first, "the newer snapshot is passed over"
    assert f"{older} at a socket has seen commands up to {first} only" in "".join(
        sequencer.snapshots_refused
    )
    paid = sole(shop.venue.merchants.reader.invoice(invoice.id).options)
    assert paid.credited == paid.amount_due
    shop.venue.database.dispose()

    (tmp_path / "merchants.url").write_text(server.url(newer))
    engine = open_database(server.url(newer))
    with transaction(engine) as session:
        move_cursor(session, Position(place_in(session).sequence, b"another"))
    engine.dispose()
    shop.storage = log
    with pytest.raises(NotOfThisLog, match="has seen another command"):
        shop.restart()


def snapshot(world):
    """Keep one as the snapshotter does; return how far it is."""
    pipeline, sequencer = world.venue.pipeline, world.venue.trading.sequencer
    pipeline.prepare()
    write_snapshot(world.snapshots, sequencer.snapshot(pipeline.checkpoints()))
    return sequencer.applied


def copied(server, world):
    """Return a copy of the database as it is now, as a backup would be."""
    world.venue.database.dispose()
    return server.fresh(world.venue.database.url.database)


def test_one_writes_at_a_time_and_who_reads_waits_for_nobody(server, name):
    with closing_engine(open_database(server.url(name))) as engine:
        seen = []

        def write_too():
            with transaction(engine) as session:
                seen.append(place_in(session).sequence)

        with transaction(engine) as session:
            move_cursor(session, Position(7, b""))
            session.flush()
            other = threading.Thread(target=write_too)
            other.start()
            waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not server.said(waiting, name)[0][0]:
                pass
            with reading(engine) as reader:
                assert place_in(reader).sequence == 0
            assert seen == []
        other.join(30)
        assert seen == [7], "it began behind the other's commit"


def test_names_that_no_database_can_keep_are_not_there(server, name):
    with closing_engine(open_database(server.url(name))) as engine:
        assert not is_there(engine, "SELECT 1 FROM invoices WHERE id = ?", "inv_\0")
        assert not is_there(engine, "SELECT 1 FROM api_keys WHERE hash = ?", b"\0")


def test_a_server_that_forgets_what_was_committed_is_refused(server, name):
    server.said("ALTER SYSTEM SET fsync = off")
    server.said("SELECT pg_reload_conf()")
    while server.said("SHOW fsync")[0][0] != "off":
        pass
    with pytest.raises(BadAddress, match="fsync off"):
        open_database(server.url(name))
    server.said("ALTER SYSTEM RESET fsync")
    server.said("SELECT pg_reload_conf()")
    while server.said("SHOW fsync")[0][0] != "on":
        pass


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("mysql://a:secret@localhost/x", "mysql is no database"),
        ("not a url:secret", "is named by a URL"),
        ("postgresql://a:secret@localhost/x?sslmode=prefer", "host and sslmode"),
        ("postgresql://a:secret@localhost/x?options=-c", "host and sslmode"),
    ],
)
def test_an_address_that_is_none_is_refused_in_one_line_without_its_password(address, word):
    with pytest.raises(BadAddress, match=word) as refused:
        open_server(address)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_that_is_not_there_is_said_at_once(server):
    with pytest.raises(BadAddress, match=r"nowhere.*does not exist"):
        open_database(server.url("nowhere"))


def test_a_password_is_in_no_message(server):
    address = f"postgresql://nobody:secret@/postgres?host={server.directory}"
    with pytest.raises(BadAddress) as refused:
        open_database(address)
    assert "secret" not in str(refused.value)


def test_over_a_network_it_is_reached_with_tls_alone():
    """The stranger in between who says that there is none is not told the password."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        said = []

        def refuse():
            connection, _ = listening.accept()
            with connection:
                said.append(connection.recv(8))
                connection.sendall(b"N")
                said.append(connection.recv(1))

        server = threading.Thread(target=refuse)
        server.start()
        address = f"postgresql://a:secret@127.0.0.1:{listening.getsockname()[1]}/x"
        with pytest.raises(BadAddress, match="refuses SSL") as refused:
            open_server(address + "?sslmode=verify-full").connect()
        server.join(10)
    assert said == [b"\0\0\0\x08\x04\xd2\x16\x2f", b""], "asked for TLS, then went"
    assert "secret" not in str(refused.value)
