"""At once, over a threshold, in slices, or not all of it: as the store says, to the unit, whatever
is killed; and what another policy would have brought is shown beside."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from engine.types import PPM, Side
from merchants.records.policies import ConversionPolicy, PolicyKind
from merchants.records.pots import Gift
from merchants.records.rejection import Rejection
from merchants.sales.backtest import History, Paid, replayed
from merchants.sales.policies import PolicyRequest, misfit
from merchants.sales.recent_trades import Row, Step, TapeMemory
from tests.merchants.fixtures import (
    DOLLAR,
    LOT,
    MERCHANT,
    TOKEN,
    USD,
    Killed,
    World,
    lots_in_journal,
    pips_of_decimal,
    sole,
)
from tests.merchants.site import site
from tests.merchants.test_amounts_and_quotes import MARKET
from tests.merchants.test_sale_from_invoice_to_final import paid

THRESHOLD = PolicyRequest(PolicyKind.THRESHOLD, worth_pips=70 * DOLLAR, age_s=3600)
TWAP = PolicyRequest(PolicyKind.TWAP, slices=5, period_s=300)
KEEP = PolicyRequest(PolicyKind.KEEP, keep_ppm=250_000)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def store_of(world, policy):
    store = world.venue.approved_store()
    assert not isinstance(world.venue.merchants.policies.change(store.store_id, policy), Rejection)
    return store


def let_pass(world, seconds):
    world.pass_time(seconds)
    world.venue.tick()


def bids_again(world):
    """Let the bids be as deep as at first, and old enough to count."""
    world.venue.quote(Side.BUY, 200_000, 1000)
    let_pass(world, 5)


def nets(world, store):
    """Return what each invoice has brought, and hold their sum against the account."""
    rows = world.venue.merchants.reader.list_invoices(store.store_id)
    each = [pips_of_decimal(row.net) for row in rows]
    assert sum(each) == world.venue.pips(MERCHANT, USD)
    return each


def test_a_threshold_gathers_until_it_is_worth_a_sale(world):
    store = store_of(world, THRESHOLD)
    for _ in range(2):
        shown = paid(world, world.venue.invoice(store, "25"))
        assert (shown.status, shown.conversions) == ("settled", [])
    assert lots_in_journal(world) == []
    world.restart()
    paid(world, world.venue.invoice(store, "25"))
    assert lots_in_journal(world) == [37], "12.5 lots of each"
    assert sorted(nets(world, store)) == [2_394_000_000, 2_493_750_000, 2_493_750_000]


def test_what_is_gathered_is_sold_when_it_is_old(world):
    store = store_of(world, THRESHOLD)
    paid(world, world.venue.invoice(store, "50"))
    let_pass(world, 3590)
    assert lots_in_journal(world) == []
    let_pass(world, 20)
    let_pass(world, 1)
    assert lots_in_journal(world) == [25]
    assert nets(world, store) == [4_987_500_000]


def test_a_run_over_time_is_sold_in_slices_each_at_its_price(world):
    bids_again(world)
    store = store_of(world, TWAP)
    paid(world, world.venue.invoice(store, "100"))
    assert lots_in_journal(world) == [10]
    paid(world, world.venue.invoice(store, "40"))
    assert lots_in_journal(world) == [10], "it joins the run"
    for _ in range(2):
        let_pass(world, 61)
    world.restart()
    for _ in range(3):
        let_pass(world, 61)
    assert lots_in_journal(world) == [10, 15, 15, 15, 15]
    assert world.venue.pips(MERCHANT, TOKEN) == 0 and sum(nets(world, store))
    paid(world, world.venue.invoice(store, "20"))
    assert lots_in_journal(world)[-1] == 2, "a new run"


def test_a_part_of_each_payment_stays_as_it_came(world):
    store = store_of(world, KEEP)
    shown = paid(world, world.venue.invoice(store, "50"))
    assert sole(shown.conversions).sold == "0.018"
    given = sole(shown.gathered)
    assert (given.kept, given.waiting, given.amount) == ("0.00625", "0.00075", "0.007")
    assert world.venue.pips(MERCHANT, TOKEN) == 7 * LOT


def test_a_change_of_mind_sells_what_was_gathered(world):
    store = store_of(world, THRESHOLD)
    paid(world, world.venue.invoice(store, "50"))
    world.venue.merchants.policies.change(store.store_id, PolicyRequest(PolicyKind.AT_ONCE))
    world.venue.tick()
    assert lots_in_journal(world) == [25]


@pytest.mark.parametrize("policy", [THRESHOLD, TWAP, KEEP], ids=lambda policy: policy.kind)
def test_killed_at_any_step_the_same_is_sold(tmp_path, policy):
    """As a sale at once: the row of a sale before its order, the order before it is placed."""

    def told(directory, kill_at):
        directory.mkdir()
        world = World(directory)
        bids_again(world)
        store = store_of(world, policy)
        invoices = [world.venue.invoice(store, "45") for _ in range(2)]
        before = world.crossings
        world.kill_at = None if kill_at is None else before + kill_at
        for invoice in invoices:
            until(world, lambda invoice=invoice: paid(world, invoice))
        for _ in range(10):
            world.pass_time(61)
            until(world, lambda: alive(world))
        with Session(world.venue.database) as session:
            waiting = session.scalar(
                select(func.sum(Gift.pips)).where(Gift.conversion_id.is_(None))
            )
        return world.crossings - before, sum(nets(world, store)), waiting, lots_in_journal(world)

    steps, *plain = told(tmp_path / "plain", None)
    for kill_at in range(1, steps, 7):
        _, *killed = told(tmp_path / str(kill_at), kill_at)
        assert killed[:2] == plain[:2], f"killed at {kill_at}"
        assert sum(killed[2]) == sum(plain[2]), f"killed at {kill_at}"


def until(world, chapter):
    """Tell a chapter, and once more in a new life if it kills."""
    try:
        chapter()
    except Killed:
        world.kill_at = None
        world.restart()
        alive(world)


def alive(world):
    world.confirm(3)
    world.venue.watch()
    world.venue.tick()
    world.venue.settle_sweeps()
    world.venue.tick()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (PolicyRequest(PolicyKind.AT_ONCE, keep_ppm=1), "takes no keep_ppm"),
        (PolicyRequest(PolicyKind.THRESHOLD), "an amount above 0"),
        (PolicyRequest(PolicyKind.TWAP, slices=1, period_s=10), "2 to"),
        (PolicyRequest(PolicyKind.TWAP, slices=20, period_s=10), "a second apart"),
        (PolicyRequest(PolicyKind.KEEP), "a share above 0"),
    ],
)
def test_figures_that_do_not_fit_are_refused_and_change_nothing(world, request_, why):
    store = store_of(world, TWAP)
    refused = world.venue.merchants.policies.change(store.store_id, request_)
    assert isinstance(refused, Rejection) and why in misfit(request_)
    assert world.venue.merchants.policies.of(store.store_id).kind == PolicyKind.TWAP


MINUTE = 60 * 10**9


def fallen():
    """Return a market that fell from 2000 to 1900 and rose to 2100, a minute each."""
    rows = [Row(100, 200_000, 5), Row(101, 190_000, 5), Row(102, 210_000, 5)]
    return History(MARKET, TapeMemory(rows, [Step(100 * 12, 400_200, 400_200)]))


def policy(kind, **figures):
    return ConversionPolicy(**{**PolicyRequest(kind)._asdict(), "store_id": "sto", **figures})


def test_a_replay_sells_when_the_policy_would_have(world):
    payments = [Paid(100 * MINUTE, 10 * LOT), Paid(101 * MINUTE, 10 * LOT)]
    now = 103 * MINUTE
    at_once = replayed(policy(PolicyKind.AT_ONCE), payments, fallen(), now)
    assert at_once.brought_pips == 10 * (200_000 + 190_000) * 1000
    assert at_once.worth_pips == 20 * 200_100 * 1000
    assert at_once.slippage_ppm == (200_100 - 195_000) * PPM // 200_100
    gathered = policy(PolicyKind.THRESHOLD, worth_pips=10**12, age_s=120)
    late = replayed(gathered, payments, fallen(), now)
    assert (late.sales, late.brought_pips) == (1, 20 * 210_000 * 1000)
    assert late.slippage_ppm < 0 < at_once.slippage_ppm and late.variance == 0
    sliced = replayed(policy(PolicyKind.TWAP, slices=2, period_s=120), payments, fallen(), now)
    assert sliced.brought_pips == (5 * 200_000 + 10 * 190_000 + 5 * 210_000) * 1000
    kept = replayed(policy(PolicyKind.KEEP, keep_ppm=PPM // 2), payments, fallen(), now)
    assert (kept.left_pips, kept.left_worth_pips) == (10 * LOT, 10 * 210_000 * 1000)


def test_a_policy_is_read_changed_and_tried_by_rest(world):
    client = TestClient(site(world.venue))
    store = world.venue.approved_store()
    headers = {"Authorization": f"Bearer {store.api_key}"}
    path = f"/v1/stores/{store.store_id}/conversion-policy"
    assert client.get(path, headers=headers).json()["kind"] == "at_once"
    body = {"kind": "threshold", "worth": "70", "age_s": 3600}
    changed = client.put(path, json=body, headers=headers)
    assert changed.status_code == 200 and changed.json() == client.get(path, headers=headers).json()
    assert client.put(path, json={"kind": "twap"}, headers=headers).status_code in (400, 422)
    other = {"Authorization": f"Bearer {world.venue.approved_store().api_key}"}
    assert client.get(path, headers=other).status_code == 404

    def tried(**params):
        return client.get(f"{path}/simulation", params={"token": "TOKEN"} | params, headers=headers)

    nothing = tried(kind="threshold", worth="40").json()
    assert (nothing["payments"], nothing["held_since"]) == (0, None)
    assert "no trades" in nothing["note"]
    client.put(path, json={"kind": "at_once"}, headers=headers)
    for _ in range(2):
        paid(world, world.venue.invoice(store, "25"))
    found = tried(kind="threshold", worth="40").json()
    assert [row["kind"] for row in found["policies"]] == ["at_once", "threshold"]
    assert (found["payments"], [row["sales"] for row in found["policies"]]) == (2, [2, 1])
    assert tried(kind="threshold").status_code == 400
    assert tried(kind="keep", keep_ppm=1, token="WAT").status_code == 404
