"""Whatever happens on the way, a refund is paid once: kills, resends, an owner who sends it
himself, a withdrawal that comes back."""

import asyncio
from collections import Counter

import msgspec
import pytest

from engine.commands import Kind, command
from engine.journal.reader import Position
from engine.types import Outcome
from merchants.records.lost_end import SoldInWhatIsLost, step_back
from merchants.records.refunds import RefundVariant
from merchants.records.rejection import Rejection
from settlement.protocol.eip712 import sign, withdrawal_digest
from settlement.protocol.evidence import SignedWithdrawal, WithdrawalReturned
from tests.merchants.fixtures import (
    DOLLAR,
    DOMAIN,
    LOT,
    MERCHANT,
    MERCHANT_SECRET,
    TOKEN,
    USD,
    Killed,
    World,
    address_bytes,
    sole,
)
from tests.merchants.refunding import (
    CUSTOMER_WALLET,
    chain_pays,
    claimed,
    look,
    opened,
    paid,
    wallet_signs,
    withdrawals,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def store(world):
    return world.venue.approved_store()


def due(world, store, token="USD"):
    """Return a refund that has its address and waits to be signed."""
    refund = opened(world, store, paid(world, store, "12.34", token=token))
    claimed(world, refund)
    return refund


def debited(world):
    """Return the withdrawals that were carried out."""
    return [int(row["amount"]) for row, _ in world.entries if row["kind"] == Kind.WITHDRAW]


def test_the_wallets_signature_is_checked_and_taken_once(world, store):
    refund = due(world, store)
    wrong = wallet_signs(world, store, refund, secret=b"\x05" * 32)
    assert isinstance(wrong, Rejection) and wrong.outcome == Outcome.BAD_SIGNATURE
    payouts = world.venue.merchants.refunding.payouts
    asked = payouts.compose(store.store_id, refund.id)
    assert payouts.compose(store.store_id, refund.id) == asked, "the same until it has expired"
    assert asked.typed.message["amount"] == str(1234 * 10**6)
    signature = sign(asked.digest, MERCHANT_SECRET)
    for _ in range(2):
        assert payouts.sign(store.store_id, refund.id, signature).state == "in_progress"
    assert payouts.compose(store.store_id, refund.id).outcome == Outcome.INVOICE_CLOSED
    world.venue.tick()
    world.venue.tick()
    assert debited(world) == [1234 * 10**6]


def test_nothing_else_happens_to_it_while_a_withdrawal_may_be_taken(world, store):
    refund = due(world, store)
    world.venue.merchants.refunding.payouts.compose(store.store_id, refund.id)
    refunds = world.venue.merchants.refunding.refunds
    assert refunds.cancel(store.store_id, refund.id).outcome == Outcome.INVOICE_CLOSED
    assert refunds.mark_paid(store.store_id, refund.id, "").outcome == Outcome.INVOICE_CLOSED
    world.pass_time(1800 + 61)
    world.venue.tick()
    assert refunds.cancel(store.store_id, refund.id).status == "cancelled"


def test_an_owner_who_sends_it_himself_has_paid_it(world, store):
    refund = due(world, store)
    asked = world.venue.merchants.refunding.payouts.compose(store.store_id, refund.id)
    fields = asked.typed.message
    withdrawal = SignedWithdrawal(
        account=MERCHANT,
        token=USD,
        to=address_bytes(CUSTOMER_WALLET),
        amount=int(fields["amount"]),
        nonce=int(fields["nonce"]),
        expiry=int(fields["expiry"]),
        signature=sign(asked.digest, MERCHANT_SECRET),
        digest=asked.digest,
    )
    assert asyncio.run(world.venue.exchange.withdraw(withdrawal)).accepted
    assert look(world, store, refund).status == "in_progress"
    chain_pays(world)
    assert look(world, store, refund).status == "completed"


def test_a_nonce_that_another_withdrawal_took_is_asked_for_anew(world, store):
    refund = due(world, store)
    world.venue.fund(MERCHANT, TOKEN, DOLLAR)
    asked = world.venue.merchants.refunding.payouts.compose(store.store_id, refund.id)
    other = SignedWithdrawal(
        account=MERCHANT,
        token=TOKEN,
        to=address_bytes(CUSTOMER_WALLET),
        amount=5,
        nonce=int(asked.typed.message["nonce"]),
        expiry=asked.expiry,
        signature=b"",
        digest=b"",
    )
    digest = withdrawal_digest(DOMAIN, other)
    other = msgspec.structs.replace(other, digest=digest, signature=sign(digest, MERCHANT_SECRET))
    assert asyncio.run(world.venue.exchange.withdraw(other)).accepted
    wallet_signs(world, store, refund)
    world.venue.tick()
    assert look(world, store, refund).status == "in_progress", "we may not have read of it yet"
    world.pass_time(61)
    world.venue.tick()
    waits = look(world, store, refund)
    assert (waits.status, waits.note) == ("awaiting_payment", "NONCE_USED")
    wallet_signs(world, store, refund)
    world.venue.tick()
    chain_pays(world)
    assert look(world, store, refund).status == "completed"
    assert debited(world) == [5, 1234 * 10**6]


def test_what_the_account_has_not_is_said_and_signed_again(world, store):
    refund = opened(world, store, paid(world, store))
    claimed(world, refund)
    wallet_signs(world, store, refund)
    world.venue.tick()
    waits = look(world, store, refund)
    assert (waits.status, waits.note) == ("awaiting_payment", "INSUFFICIENT_BALANCE")
    world.venue.fund(MERCHANT, TOKEN, 25 * LOT)
    wallet_signs(world, store, refund)
    world.venue.tick()
    assert look(world, store, refund).status == "in_progress"


def test_a_withdrawal_that_came_back_is_paid_again(world, store):
    refund = due(world, store)
    wallet_signs(world, store, refund)
    world.venue.tick()
    sequence = max(
        number for number, (row, _) in enumerate(world.entries, 1) if row["kind"] == Kind.WITHDRAW
    )
    row = command(
        Kind.DEPOSIT,
        account=world.venue.catalog.account_number(MERCHANT),
        token=1,
        amount=1234 * 10**6,
    )
    world.venue.submit(row, WithdrawalReturned(sequence, "ReceiverRefused()"))
    waits = look(world, store, refund)
    assert (waits.status, waits.note) == ("awaiting_payment", "ReceiverRefused()")
    wallet_signs(world, store, refund)
    world.venue.tick()
    chain_pays(world)
    assert look(world, store, refund).status == "completed"
    assert len(debited(world)) == 2


def test_a_refund_that_a_cut_log_has_lost_is_not_taken_for_paid(world, store):
    refund = due(world, store)
    wallet_signs(world, store, refund)
    before = world.venue.trading.sequencer.sequence
    world.venue.tick()
    with pytest.raises(SoldInWhatIsLost, match=f"a refund by command {before + 1}, which is lost"):
        step_back(world.directory / "merchants.sqlite", Position(before, bytes(32)))


def funded_key(world, store, usd=0, token=0):
    """Make a refund account that has something."""
    funds = world.venue.merchants.refunding.keys.create(store.store_id, 86_400, 10_000)
    for address, pips in ((USD, usd), (TOKEN, token)):
        if pips:
            scale = world.venue.catalog.token_by_address(address)
            world.transfer(funds.top_up_address, scale.raw_of(pips), address, confirmations=3)
    world.venue.watch()
    world.venue.settle_sweeps()
    return world.venue.merchants.refunding.keys.funds(store.store_id)


def test_a_refund_key_pays_what_was_put_there_without_the_wallet(world, store):
    funds = funded_key(world, store, usd=20 * DOLLAR)
    assert funds.balances == {"USD": 20 * DOLLAR}
    before = world.venue.pips(MERCHANT, USD)
    refund = due(world, store)
    world.venue.tick()
    chain_pays(world)
    done = look(world, store, refund)
    assert (done.status, done.payer) == ("completed", "key")
    assert world.venue.pips(funds.key_address, USD) == 20 * DOLLAR - 1234 * 10**6
    assert world.venue.pips(MERCHANT, USD) == before + 1234 * 10**6, "the wallet paid nothing"
    assert world.venue.merchants.refunding.payouts.waiting == set()


def test_dust_in_a_refund_account_is_not_worth_a_sweep(world, store):
    world.least_withdrawals["USD"] = DOLLAR
    funds = world.venue.merchants.refunding.keys.create(store.store_id, 86_400, 10_000)
    world.transfer(funds.top_up_address, 10**6 - 1, USD, confirmations=3)
    world.venue.watch()
    assert world.sweeps_wanted == {}
    world.transfer(funds.top_up_address, 10**6, USD, confirmations=3)
    world.venue.watch()
    assert len(world.sweeps_wanted) == 1


def test_a_refund_key_buys_what_it_has_not_and_never_over_its_limit(world, store):
    funds = funded_key(world, store, usd=60 * DOLLAR)
    refund = opened(world, store, paid(world, store))
    claimed(world, refund)
    world.venue.tick()
    world.venue.tick()
    chain_pays(world)
    assert look(world, store, refund).status == "completed"
    bought = [row for row, _ in world.entries if row["kind"] == Kind.PLACE][-1]
    assert int(bought["amount"]) == 25
    assert int(bought["price_ticks"]) == 202_000, "a hundredth over what was traded"
    assert sole(withdrawals(world)).amount == 25 * LOT
    assert world.venue.pips(funds.key_address, TOKEN) == 0


def test_a_refund_key_that_has_too_little_waits_and_tells(world, store):
    funded_key(world, store, usd=10 * DOLLAR)
    refund = opened(world, store, paid(world, store))
    claimed(world, refund)
    world.venue.tick()
    waits = look(world, store, refund)
    assert (waits.status, waits.note) == ("awaiting_payment", "INSUFFICIENT_BALANCE")
    assert debited(world) == []
    wallet_signs(world, store, refund)
    world.venue.fund(MERCHANT, TOKEN, 25 * LOT)
    world.venue.tick()
    assert look(world, store, refund).payer == "wallet"


def test_after_its_end_a_refund_key_pays_the_wallet_alone(world, store):
    funds = funded_key(world, store, usd=20 * DOLLAR)
    refund = due(world, store, token="TOKEN")
    world.pass_time(86_401)
    world.venue.tick()
    world.venue.tick()
    back = sole(withdrawals(world))
    assert (back.account, back.to, back.amount) == (funds.key_address, MERCHANT, 20 * DOLLAR)
    assert look(world, store, refund).status == "awaiting_payment"
    assert world.venue.merchants.refunding.keys.funds(store.store_id).balances == {}


class Story:
    """A refund from key money or the wallet's, in as many lives as it takes."""

    def __init__(self, world, kills):
        self.world, self.kills, self.deaths = world, kills, 0
        self.store = world.venue.approved_store(webhook_url="")
        self.invoice = paid(world, self.store)

    def tell(self):
        world = self.world
        world.kill_at = next((k for k in self.kills if k > world.crossings), None)
        chapters = [self.fill, self.open, self.claim, self.live, self.live, self.pay]
        for chapter in chapters:
            while True:
                try:
                    chapter()
                    break
                except Killed:
                    self.deaths += 1
                    world.kill_at = None
                    world.restart()
        self.told_at, world.kill_at = world.crossings, None
        for _ in range(6):
            world.pass_time(700)
            self.live()

    def fill(self):
        keys = self.world.venue.merchants.refunding.keys
        if keys.funds(self.store.store_id) is None:
            keys.create(self.store.store_id, 86_400, 10_000)
        funds = keys.funds(self.store.store_id)
        if not any(one.to == funds.top_up_address for one in self.world.transfers):
            self.world.transfer(funds.top_up_address, 60 * 10**6, USD, confirmations=3)
        self.live()
        self.world.venue.settle_sweeps()

    def open(self):
        if not self.refunds():
            opened(self.world, self.store, self.invoice, RefundVariant.RATE_THEN)

    def claim(self):
        claimed(self.world, sole(self.refunds()))

    def live(self):
        self.world.venue.watch()
        self.world.venue.tick()

    def pay(self):
        self.world.withdrawal_words = {None: "final"}
        self.world.pass_time(6)
        self.live()

    def refunds(self):
        return self.world.venue.merchants.reader.list_refunds(self.store.store_id)


def test_one_kill_at_every_step_of_a_refund(tmp_path):
    whole = Story(World(make(tmp_path, "whole")), [])
    first = whole.world.crossings
    whole.tell()
    last = whole.told_at
    ended(whole)
    assert last - first > 15, "the story crosses many seams"
    for seam in range(first + 1, last + 1):
        story = Story(World(make(tmp_path, f"at{seam}")), [seam])
        story.tell()
        assert story.deaths <= 1
        ended(story)


def ended(story):
    world = story.world
    refund = sole(story.refunds())
    assert refund.status == "completed", refund
    assert debited(world) == [25 * LOT], "paid once, whatever happened"
    buys = [int(row["amount"]) for row, _ in world.entries if row["kind"] == Kind.PLACE]
    assert Counter(buys)[25] == 2, "sold once and bought once"
    types = world.venue.types(story.store)
    assert types.count("refund.completed") == 1
    world.venue.engine.check()


def make(path, name):
    directory = path / name
    directory.mkdir()
    return directory
