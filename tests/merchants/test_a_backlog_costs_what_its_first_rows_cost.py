"""Whatever has piled up, a step looks at what is first of it and at nobody's rest.

Counted in steps of SQLite's own machine, which are the same on every computer.
"""

import asyncio
import json
import random
from contextlib import closing
from sqlite3 import connect

from sqlalchemy import event, inspect

from merchants.records.states import DeliveryState
from merchants.webhooks.deliver import AGE_MAX_NS, GIVEN_UP_MAX, Deliveries
from merchants.webhooks.egress import Answer
from tests.merchants.fixtures import LOT, TOKEN, World
from tests.merchants.older import made_first
from tests.merchants.test_no_sum_outgrows_what_holds_it import paid_straight

FEW, MANY = 120, 4_000
STEPS = 100
"""How many steps of SQLite's machine are counted at once."""

PER_INVOICE = 5


class Hanging:
    """An endpoint that takes what comes and never answers."""

    def __init__(self):
        self.taken = []

    async def post(self, url, headers, body):
        self.taken.append(json.loads(body))
        await asyncio.Event().wait()


class Counted:
    """Counts what the database does, however many connections it has."""

    def __init__(self, database):
        self.steps = 0
        event.listen(database, "checkout", self._watch)

    def _watch(self, connection, record, proxy):
        connection.set_progress_handler(self._tick, STEPS)

    def _tick(self):
        self.steps += 1

    def of(self, act):
        """Return how many hundred steps ``act`` takes."""
        before = self.steps
        act()
        return self.steps - before


def pile_up(world, store_id, count, *, age_ns=0):
    """Write ``count`` events that are due to the outbox of a store, five an invoice."""
    created_ns = world.now_ns - age_ns
    with closing(connect(world.directory / "merchants.sqlite")) as file, file:
        (first,) = file.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM events").fetchone()
        ids = range(first, first + count)
        invoices = [f"inv_{number // PER_INVOICE}" for number in ids]
        columns = [row[1] for row in file.execute("PRAGMA table_info(invoices)")]
        for number in sorted(set(invoices)):
            row = {"id": f"'{number}'", "store_id": f"'{store_id}'"}
            row |= {"ref": f"x'{number.encode().hex()}'", "state": "'new'", "due_raw": "'0'"}
            row |= {"deposit_address": row["ref"], "exception": "'none'", "details": "'{}'"}
            values = ", ".join(row.get(column, "0") for column in columns)
            file.execute(f"INSERT OR IGNORE INTO invoices VALUES ({values})")
        file.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?, 'x', ?, ?, ?)",
            [
                (i, store_id, of, i, f"msg_{i}", created_ns, json.dumps({"store": store_id}))
                for i, of in zip(ids, invoices, strict=True)
            ],
        )
        file.executemany(
            "INSERT INTO webhook_deliveries (event_id, endpoint_id, store_id, subject_id, state,"
            " created_ns, attempts, next_attempt_ns, last_status, last_error)"
            " SELECT ?, id, store_id, ?, 'pending', ?, 0, ?, 0, '' FROM endpoints"
            " WHERE store_id = ?",
            [
                (i, of, created_ns, created_ns, store_id)
                for i, of in zip(ids, invoices, strict=True)
            ],
        )


def cost_of_a_step(tmp_path, count):
    """Return what the second step costs, with one delivery in the air that is never answered."""
    tmp_path.mkdir()
    world = World(tmp_path)
    store = world.venue.approved_store()
    pile_up(world, store.store_id, count)
    counted = Counted(world.venue.database)

    async def play():
        egress = Hanging()
        deliveries = Deliveries(world.venue.database, egress, world.clock, random.Random(1))
        first = counted.of(deliveries.start_due)
        second = counted.of(deliveries.start_due)
        return first, second

    return asyncio.run(play())


def test_found_a_shop_that_hangs_cost_more_with_each_event(tmp_path):
    few = cost_of_a_step(tmp_path / "few", FEW)
    many = cost_of_a_step(tmp_path / "many", MANY)
    for little, much in zip(few, many, strict=True):
        assert much <= 2 * little + 4, (few, many)


def test_the_longest_due_leaves_first_and_each_invoices_earliest(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    pile_up(world, store.store_id, 3 * PER_INVOICE, age_ns=10**9)
    with closing(connect(tmp_path / "merchants.sqlite")) as file, file:
        file.execute("UPDATE webhook_deliveries SET next_attempt_ns = next_attempt_ns - event_id")

    async def play():
        deliveries = Deliveries(world.venue.database, Hanging(), world.clock, random.Random(1))
        deliveries.start_due()
        rows = world.venue.merchants.reader.webhook_deliveries(store.store_id)
        return sorted(row.event_id for row in rows if row.attempts)

    assert asyncio.run(play()) == [1, 5, 10, 15], "one an invoice, numbered five by five"


def test_an_event_is_given_up_when_it_is_old_though_its_turn_never_came(tmp_path):
    world = World(tmp_path)
    slow, quick = (world.venue.approved_store(webhook_url=f"https://{n}/") for n in "ab")
    pile_up(world, slow.store_id, GIVEN_UP_MAX + 50, age_ns=AGE_MAX_NS)
    pile_up(world, slow.store_id, 20, age_ns=AGE_MAX_NS - 1)
    pile_up(world, quick.store_id, 1)
    deliveries = Deliveries(world.venue.database, Hanging(), world.clock, random.Random(1))

    async def play():
        deliveries.start_due()
        deliveries.start_due()

    asyncio.run(play())
    with closing(connect(tmp_path / "merchants.sqlite")) as file:
        states = dict(file.execute("SELECT state, COUNT(*) FROM webhook_deliveries GROUP BY state"))
    assert states == {"dead": GIVEN_UP_MAX + 50, "pending": 21}


def test_what_is_old_is_looked_for_in_front_alone(tmp_path):
    """One old event in front of many young ones is not looked for behind them."""
    costs = []
    for count in (FEW, MANY):
        (tmp_path / str(count)).mkdir()
        world = World(tmp_path / str(count))
        store = world.venue.approved_store()
        pile_up(world, store.store_id, 1, age_ns=AGE_MAX_NS)
        pile_up(world, store.store_id, count)
        counted = Counted(world.venue.database)
        deliveries = Deliveries(world.venue.database, Hanging(), world.clock, random.Random(1))

        async def play(deliveries=deliveries, counted=counted):
            costs.append(counted.of(deliveries.start_due))

        asyncio.run(play())
    assert costs[1] <= 2 * costs[0] + GIVEN_UP_MAX, costs


def test_an_endpoint_that_is_gone_is_buried_some_at_a_time(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    pile_up(world, store.store_id, 3 * GIVEN_UP_MAX)

    class Gone:
        async def post(self, url, headers, body):
            return Answer(410)

    deliveries = Deliveries(world.venue.database, Gone(), world.clock, random.Random(1))

    async def play():
        deliveries.start_due()
        await deliveries.drain()
        for _ in range(4):
            assert deliveries.start_due() == 0

    asyncio.run(play())
    with closing(connect(tmp_path / "merchants.sqlite")) as file:
        states = dict(file.execute("SELECT state, COUNT(*) FROM webhook_deliveries GROUP BY state"))
    assert states == {DeliveryState.DEAD.value: 3 * GIVEN_UP_MAX}


def test_found_a_wallet_with_much_to_sell_kept_other_shops_waiting(tmp_path):
    """The step took those that were due first, whosever they were."""
    world = World(tmp_path)
    venue = world.venue
    first, second = venue.approved_store(), venue.approved_store()
    rich, other = venue.invoice(first), venue.invoice(second)
    for _ in range(6):
        paid_straight(venue, rich, TOKEN, 25 * LOT)
    world.pass_time(1)
    paid_straight(venue, other, TOKEN, 25 * LOT)
    asyncio.run(venue.merchants.conversions.execute_due(4, 10**9))
    sales = venue.merchants.reader.invoice(rich.id).conversions
    assert sum(sale.attempts for sale in sales) == 3
    assert venue.merchants.reader.invoice(other.id).conversions[0].attempts == 1


def more_of(world, table, count, **changes):
    """Write ``count`` copies of the first row of ``table``, each with an id of its own."""
    with closing(connect(world.directory / "merchants.sqlite")) as file, file:
        columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
        taken = ", ".join(changes.get(column, column) for column in columns)
        file.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
            f" INSERT INTO {table} SELECT {taken} FROM n, (SELECT * FROM {table} LIMIT 1)",
            (count,),
        )


def test_found_a_step_went_through_all_invoices_that_ever_expired(tmp_path):
    world = World(tmp_path)
    world.venue.invoice(world.venue.approved_store())
    world.venue.tick()
    counted = Counted(world.venue.database)
    before = counted.of(world.venue.tick)
    more_of(
        *(world, "invoices", MANY),
        id="'inv_' || i",
        ref="CAST('r' || i AS BLOB)",
        deposit_address="CAST('d' || i AS BLOB)",
        state="'expired'",
    )
    assert counted.of(world.venue.tick) <= before + 3


def test_found_a_step_went_through_all_sales_to_see_whose_they_are(tmp_path):
    world = World(tmp_path)
    store = world.venue.approved_store()
    paid_straight(world.venue, world.venue.invoice(store), TOKEN, 25 * LOT)
    world.venue.tick()
    counted = Counted(world.venue.database)
    before = counted.of(world.venue.tick)
    for first, state in ((MANY, "pending"), (2 * MANY, "final")):
        more_of(
            *(world, "conversions", MANY),
            id=f"'{state}' || i",
            number=f"{first} + i",
            state=f"'{state}'",
            next_attempt_ns=str(2**62),
            following="0",
        )
    assert counted.of(world.venue.tick) <= before + 3


def test_found_a_sale_did_not_wait_to_be_read_of_in_the_log(tmp_path):
    """Who reads the log comes a turn of the loop behind its answers. The order was asked for again
    and again until the step's time was up, without a turn in which it could be read of."""
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store(webhook_url="")
    invoices = [venue.invoice(store) for _ in range(4)]
    for invoice in invoices:
        paid_straight(venue, invoice, TOKEN, 25 * LOT)
    venue.reads_late = True

    async def play():
        sales = asyncio.create_task(venue.merchants.conversions.execute_due(4, 10**9))
        while not sales.done():
            await asyncio.sleep(0)
            venue.read()
        return await sales

    assert asyncio.run(play())
    sales = [venue.merchants.reader.invoice(invoice.id).conversions[0] for invoice in invoices]
    assert [sale.attempts for sale in sales] == [1, 1, 1, 1]
    assert [sale.status for sale in sales] == ["filled"] * 4


def test_an_older_file_gets_the_indexes_and_whose_its_sales_are(tmp_path):
    world = World(tmp_path)
    venue = world.venue
    store = venue.approved_store()
    paid_straight(venue, venue.invoice(store), TOKEN, 25 * LOT)
    venue.database.dispose()
    made_first(tmp_path / "merchants.sqlite")
    with closing(connect(tmp_path / "merchants.sqlite")) as old, old:
        for index in ("deliveries_waiting", "deliveries_waiting_by_age", "deliveries_by_store"):
            old.execute(f"DROP INDEX {index}")
        old.execute("DROP INDEX conversions_waiting")
        old.execute("CREATE INDEX deliveries_due ON deliveries (state, next_attempt_ns)")
        old.execute("ALTER TABLE conversions DROP COLUMN store_id")
    world.restart()
    known = inspect(world.venue.database).get_indexes("webhook_deliveries")
    waiting = {"webhooks_waiting", "webhooks_waiting_of_subject", "webhooks_waiting_by_age"}
    assert waiting <= {index["name"] for index in known}
    world.venue.tick()
    assert world.venue.types(store).count("conversion.filled") == 1, "it is sold, and told"
    assert len(world.received) == len(world.venue.types(store))
