"""One store, many tokens: each has a grant of its own, renewed, widened and taken back for ever."""

import asyncio

import pytest

from engine.types import Outcome
from merchants.records.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from merchants.stores.grants import GrantMade, GrantRequest, key_grant
from merchants.stores.stores import StoreRequest
from settlement.protocol.eip712 import revocation_digest, sign
from tests.merchants.fixtures import (
    CONFIRMATIONS,
    DOLLAR,
    DOMAIN,
    MAKER_SECRET,
    MERCHANT,
    MERCHANT_SECRET,
    TOKEN,
    USD,
    World,
    address_bytes,
    due_raw,
    sole,
)

CENT = DOLLAR // 100


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def grants(world):
    return world.venue.merchants.grants


def made(grant):
    return GrantMade(grant.id, key_grant(grant))


def ask(world, store, **fields):
    """Ask for a grant of TOKEN; return its row."""
    grant = world.venue.merchants.grants.ask(store.store_id, GrantRequest("TOKEN", **fields))
    assert not isinstance(grant, Rejection), grant
    return grant


def renew(world, store, **fields):
    """Ask for a grant and let the wallet sign it; return its row."""
    grant = world.venue.approve(store.store_id, made(ask(world, store, **fields)))
    assert grant.relayed
    return grant


def taken_back(world, store, grant, nonce=None, secret=MERCHANT_SECRET):
    """Let the wallet take a key back; return what comes of it."""
    grants = world.venue.merchants.grants
    revocation = grants.revocation_of(grant)
    revocation = revocation._replace(nonce=revocation.nonce if nonce is None else nonce)
    signature = sign(revocation_digest(DOMAIN, revocation), secret)
    return grants.take_back(store.store_id, grant.id, revocation.nonce, signature)


def statuses(world, store):
    """Return the states of a store's grants, the newest first."""
    grants = world.venue.merchants.grants
    return [grants.status_of(held) for held in grants.held(grants.of_store(store.store_id))]


def sold(world, invoice):
    """Pay an invoice and let its sale run; return the address that signed the order."""
    venue = world.venue
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
    venue.tick()
    assert sole(venue.merchants.reader.invoice(invoice.id).conversions).status == "filled"


def test_a_store_without_a_grant_takes_its_stablecoin_alone(world):
    venue = world.venue
    store = venue.merchants.create_store(StoreRequest(MERCHANT, "USD"))
    assert store.grants == ()
    refused = venue.merchants.create_invoice(store.store_id, InvoiceRequest("5", tokens=("TOKEN",)))
    assert refused.outcome == Outcome.UNKNOWN_TOKEN
    assert sole(venue.invoice(store, "5", "USD").options).amount_due == "5"
    renew(world, store)
    assert sole(venue.invoice(store, "5", "TOKEN").options).token == "TOKEN"


@pytest.mark.parametrize(
    ("settle", "tokens"), [("TOKEN", ()), ("NONE", ()), ("USD", ("NONE",)), ("USD", ("USD",))]
)
def test_what_no_market_sells_for_the_stablecoin_makes_no_store(world, settle, tokens):
    refused = world.venue.merchants.create_store(StoreRequest(MERCHANT, settle, tokens))
    assert refused.outcome == Outcome.UNKNOWN_TOKEN and refused.detail["why"]


def test_a_renewed_grant_has_another_key_and_the_next_sale_is_its(world):
    venue = world.venue
    store = venue.approved_store()
    first = sole(store.grants).grant
    world.pass_time(1)
    second = renew(world, store)
    assert second.key_address != first.key and second.nonce > first.nonce
    assert statuses(world, store) == ["live", "replaced"]
    sold(world, venue.invoice(store))
    left = venue.exchange.key_notional_left
    assert left(MERCHANT, first.key) == first.notional_cap
    assert left(MERCHANT, second.key_address) < second.notional_cap


def test_a_key_is_widened_by_what_it_has_sold_and_never_narrowed(world, grants):
    venue = world.venue
    store = venue.approved_store(notional_cap=1000 * DOLLAR)
    first = sole(store.grants).grant
    sold(world, venue.invoice(store, "100"))
    left = venue.exchange.key_notional_left(MERCHANT, first.key)
    used = 1000 * DOLLAR - left
    assert 99 * DOLLAR < used <= 100 * DOLLAR
    world.pass_time(1)
    for narrower in (
        {"notional_cap": 1000 * DOLLAR - 1},
        {"floor_price": first.floor_price + 1},
        {"key_lifetime_s": 3600},
    ):
        refused = grants.ask(store.store_id, GrantRequest("TOKEN", same_key=True, **narrower))
        assert refused.outcome == Outcome.KEY_SCOPE, narrower
    wider = renew(world, store, same_key=True)
    assert wider.key_address == first.key and wider.floor_price <= first.floor_price
    assert wider.notional_cap == 10**6 * DOLLAR + used
    assert venue.exchange.key_notional_left(MERCHANT, first.key) == 10**6 * DOLLAR
    sold(world, venue.invoice(store, "100"))


def test_no_key_that_was_not_approved_is_widened(world, grants):
    store = world.venue.open_store()
    refused = grants.ask(store.store_id, GrantRequest("TOKEN", same_key=True))
    assert refused.outcome == Outcome.UNKNOWN_KEY


def test_asking_again_before_the_wallet_has_signed_leaves_one_grant_and_one_key(
    world, grants, tmp_path
):
    store = world.venue.open_store()
    first = sole(store.grants)
    for cap in (5, 6, 7):
        again = ask(world, store, notional_cap=cap * DOLLAR)
    assert again.id == first.grant_id and again.notional_cap == 7 * DOLLAR
    assert len(list((tmp_path / "keys").iterdir())) == 1
    stale = world.venue.approve(store.store_id, first)
    assert stale.outcome == Outcome.BAD_SIGNATURE, "the wallet has signed other terms"
    assert world.venue.approve(store.store_id, made(again)).relayed


def test_a_grant_behind_a_later_one_is_asked_for_again(world):
    """The contract takes nonces that rise only, whichever store they are for."""
    venue = world.venue
    early, late = venue.open_store(), venue.open_store()
    assert venue.approve(late.store_id, sole(late.grants)).relayed
    refused = venue.approve(early.store_id, sole(early.grants))
    assert refused.outcome == Outcome.NONCE_USED
    assert world.grant_calls == 1
    assert renew(world, early).relayed


def test_only_the_wallet_takes_a_key_back_and_then_nothing_is_sold_with_it(world):
    venue = world.venue
    store = venue.approved_store()
    grant = sole(venue.merchants.grants.of_store(store.store_id))
    forged = taken_back(world, store, grant, secret=MAKER_SECRET)
    assert forged.outcome == Outcome.BAD_SIGNATURE
    assert taken_back(world, store, grant, nonce=grant.nonce).outcome == Outcome.BAD_NONCE
    assert statuses(world, store) == ["live"] and world.revocations == []

    assert taken_back(world, store, grant).revoked_ns
    refused = venue.merchants.create_invoice(
        store.store_id, InvoiceRequest("50", tokens=("TOKEN",))
    )
    assert refused.outcome == Outcome.CANNOT_SELL
    for _ in range(2):
        asyncio.run(venue.merchants.grants.relay_revocations())
    ((revocation, _),) = world.revocations
    assert (revocation.account, revocation.key) == (MERCHANT, grant.key_address)
    assert statuses(world, store) == ["revoked"]
    world.pass_time(1)
    assert renew(world, store).key_address != grant.key_address
    sold(world, venue.invoice(store))


def test_a_revocation_that_was_taken_before_a_restart_is_handed_on_after_it(world):
    store = world.venue.approved_store()
    grant = sole(world.venue.merchants.grants.of_store(store.store_id))
    assert taken_back(world, store, grant).revoked_ns
    world.restart()
    world.venue.tick()
    assert len(world.revocations) == 1


def test_what_was_paid_waits_for_a_key_and_is_sold_with_the_next(world):
    """The wallet has taken its key back between the invoice and its sale."""
    venue = world.venue
    store = venue.approved_store()
    invoice = venue.invoice(store)
    grant = sole(venue.merchants.grants.of_store(store.store_id))
    assert taken_back(world, store, grant).revoked_ns
    world.transfer(
        address_bytes(invoice.deposit_address), due_raw(invoice), confirmations=CONFIRMATIONS
    )
    for _ in range(3):
        venue.watch()
        venue.tick()
        venue.settle_sweeps()
    (waiting,) = venue.merchants.reader.invoice(invoice.id).conversions
    assert (waiting.status, waiting.attempts) == ("pending", 0)
    renew(world, store)
    venue.tick()
    (done,) = venue.merchants.reader.invoice(invoice.id).conversions
    assert done.status == "filled" and venue.pips(MERCHANT, USD) > 49 * DOLLAR
    assert venue.pips(MERCHANT, TOKEN) == 0


def test_another_stores_grant_does_not_exist(world, grants):
    mine, theirs = world.venue.approved_store(), world.venue.open_store()
    its = sole(theirs.grants)
    assert world.venue.approve(mine.store_id, its).outcome == Outcome.NOT_FOUND
    assert grants.take_back(mine.store_id, its.grant_id, 0, b"").outcome == Outcome.NOT_FOUND
    assert grants.take_back(theirs.store_id, its.grant_id, 0, b"").revoked_ns
    assert world.venue.approve(theirs.store_id, its).outcome == Outcome.NONCE_USED
