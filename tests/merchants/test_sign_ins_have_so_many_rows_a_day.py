"""Who signs in again and again fills no disk, and the log says how often it was."""

import pytest

from merchants.people.audit import ROWS_A_DAY, own_log
from merchants.people.sessions import Origin
from merchants.records.database import reading
from merchants.records.people import AuditRow
from tests.merchants.fixtures import MERCHANT, World
from tests.merchants.people_site import signing_up

DAY_S = 86_400
HOME, OTHER = Origin("203.0.113.0/24", "browser"), Origin("198.51.100.0/24", "browser")


@pytest.fixture
def world(tmp_path):
    return signing_up(World(tmp_path))


@pytest.fixture
def people(world):
    world.pass_time(DAY_S - world.now_ns // 10**9 % DAY_S)  # Midnight.
    return world.venue.merchants.people


def rows_of(world, kind):
    with reading(world.venue.database) as session:
        return session.query(AuditRow).filter_by(kind=kind).order_by(AuditRow.id).all()


def sign_in(world, people, times, origin=HOME, wallet=MERCHANT):
    for _ in range(times):
        world.pass_time(1)
        opened = people.sign_in_wallet(wallet, "", origin)
    return opened


def test_rows_of_one_person_and_day_are_bounded_and_count_on(world, people):
    sign_in(world, people, ROWS_A_DAY + 7)
    rows = rows_of(world, "session.opened by wallet")
    assert len(rows) == ROWS_A_DAY
    assert [row.times for row in rows] == [1] * (ROWS_A_DAY - 1) + [8]
    newest = own_log(world.venue.database, rows[0].user_id, None, 1)[0]
    assert (newest.id, newest.times) == (rows[-1].id, 8)


def test_of_what_is_counted_the_row_stays_what_it_was(world, people):
    opened = sign_in(world, people, ROWS_A_DAY)
    (before,) = rows_of(world, "session.opened by wallet")[-1:]
    sign_in(world, people, 3, OTHER)
    (after,) = rows_of(world, "session.opened by wallet")[-1:]
    assert (after.subject, after.network) == (opened.session_id, HOME.network)
    assert (after.id, after.at_ns, after.times) == (before.id, before.at_ns, before.times + 3)


def test_the_next_day_another_person_and_another_deed_have_rows_of_their_own(world, people):
    opened = sign_in(world, people, ROWS_A_DAY + 1)
    kind = "session.opened by wallet"
    user_id = rows_of(world, kind)[0].user_id
    sign_in(world, people, 2, wallet=b"\x5a" * 20)
    assert len(rows_of(world, kind)) == ROWS_A_DAY + 2
    sessions = people.sessions.of(user_id)
    assert people.sessions.end(person_of(user_id, opened), sessions[0].id)
    assert len(rows_of(world, "session.ended")) == 1
    world.pass_time(DAY_S)
    sign_in(world, people, 1)
    assert len(rows_of(world, kind)) == ROWS_A_DAY + 3
    assert rows_of(world, kind)[-1].times == 1


def person_of(user_id, opened):
    from merchants.people.roles import Person

    return Person(user_id, opened.session_id, HOME.network, recovered=False)
