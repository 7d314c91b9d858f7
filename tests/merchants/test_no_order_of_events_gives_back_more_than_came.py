"""Whatever order shop, customer, chain and clock act in: per token no more is given back than came,
no refund is paid twice or to another address than was claimed, and left alone each one ends."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.commands import Kind
from merchants.records.refunds import Refund, RefundState, RefundVariant, RefundWithdrawal
from merchants.records.rejection import Rejection
from merchants.records.tables import Credit, Invoice
from settlement.protocol.evidence import SignedWithdrawal, decode
from tests.merchants.fixtures import DOLLAR, LOT, MERCHANT, TOKEN, USD, World, address_bytes
from tests.merchants.refunding import (
    CUSTOMER_WALLET,
    ELSEWHERE,
    chain_pays,
    claimed,
    opened,
    paid,
    part_claimed,
    wallet_signs,
)

ACTIONS = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(list(RefundVariant))),
    st.tuples(st.just("part"), st.integers(1, 20)),
    st.tuples(st.just("unapproved"), st.integers(1, 20)),
    st.tuples(st.just("claim"), st.sampled_from([CUSTOMER_WALLET, ELSEWHERE])),
    st.tuples(st.just("claim_part"), st.integers(1, 40)),
    st.tuples(st.sampled_from(["approve", "cancel", "by_hand", "compose", "sign"]), st.just(0)),
    st.tuples(st.just("key"), st.integers(0, 100)),
    st.tuples(st.just("lose"), st.integers(0, 1)),
    st.tuples(st.just("more"), st.integers(1, 30)),
    st.tuples(st.just("pass"), st.sampled_from([1, 61, 1900, 90_000, 31 * 86_400])),
    st.tuples(st.sampled_from(["tick", "chain", "restart"]), st.just(0)),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(ACTIONS, min_size=8, max_size=35), st.randoms(use_true_random=False))
def test_random_refunds(actions, dice):
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        store = world.venue.approved_store(webhook_url="", floor_price=500 * DOLLAR)
        invoice = paid(world, store)
        world.venue.fund(MERCHANT, TOKEN, 40 * LOT)
        for action, argument in actions:
            act(world, store, invoice, dice, action, argument)
            check(world)
        ended(world, store)


def act(world, store, invoice, dice, action, argument):
    refunding = world.venue.merchants.refunding
    refunds = world.venue.merchants.reader.list_refunds(store.store_id)
    one = dice.choice(refunds) if refunds else None
    match action:
        case "open":
            opened(world, store, invoice, argument, custom_pips=LOT)
        case "part" | "unapproved":
            is_approved = action == "part"
            fields = {"custom_pips": argument * LOT, "is_approved": is_approved}
            opened(world, store, invoice, RefundVariant.CUSTOM, **fields)
        case "claim" if one:
            claimed(world, one, argument)
        case "claim_part" if one:
            part_claimed(world, one, argument * LOT // 4)
        case "approve" if one:
            refunding.refunds.approve(store.store_id, one.id, one.revision)
        case "cancel" if one:
            refunding.refunds.cancel(store.store_id, one.id)
        case "by_hand" if one:
            refunding.refunds.mark_paid(store.store_id, one.id, "")
        case "compose" if one:
            refunding.payouts.compose(store.store_id, one.id)
        case "sign" if one:
            wallet_signs(world, store, one)
        case "key":
            funds = refunding.keys.create(store.store_id, 86_400, 10_000)
            world.transfer(funds.top_up_address, argument * 10**6 + 1, USD, confirmations=3)
            world.venue.watch()
            world.venue.settle_sweeps()
        case "lose":
            lose(world, invoice, argument)
        case "more":
            world.transfer(address_bytes(invoice.deposit_address), argument * 10**15)
            world.confirm(3)
            world.venue.watch()
            world.venue.tick()
            world.venue.settle_sweeps()
        case "pass":
            world.pass_time(argument)
        case "tick":
            world.venue.tick()
        case "chain":
            chain_pays(world)
        case "restart":
            world.restart()


def lose(world, invoice, keep):
    """Let the chain take bookings back, as long as nothing is given back of them for good."""
    with Session(world.venue.database) as session, session.begin():
        refunds = session.scalars(select(Refund).where(Refund.state != RefundState.CANCELLED))
        gone = {RefundState.IN_PROGRESS, RefundState.COMPLETED}
        if any(one.state in gone for one in refunds) or live(session):
            return
        for credit in session.scalars(select(Credit)).all()[keep:]:
            session.delete(credit)
        row = session.get_one(Invoice, invoice.id)
        world.venue.merchants.refunding.refunds.weigh(session, row)


def live(session):
    open_rows = select(RefundWithdrawal).where(RefundWithdrawal.outcome.is_(None))
    return session.scalar(open_rows.limit(1)) is not None


def check(world):
    """No more than came, and each payment once, to whom it was claimed for."""
    world.venue.engine.check()
    debited = [
        decode(attachment) for row, attachment in world.entries if row["kind"] == Kind.WITHDRAW
    ]
    with Session(world.venue.database) as session:
        came, back = Counter(), Counter()
        for credit in session.scalars(select(Credit)):
            came[credit.token] += credit.amount_pips
        refunds = {one.id: one for one in session.scalars(select(Refund))}
        for refund in refunds.values():
            if refund.state is not RefundState.CANCELLED:
                back[refund.of_token] += refund.of_pips
        assert all(back[token] <= came[token] for token in back), (came, back)
        for whole in refunds.values():
            parts = [one.pips for one in refunds.values() if one.part_of == whole.id]
            assert whole.pips + sum(parts) == (whole.whole_pips or whole.pips)
        by_digest = {row.digest: row for row in session.scalars(select(RefundWithdrawal))}
        payments = Counter()
        for signed in debited:
            assert isinstance(signed, SignedWithdrawal)
            row = by_digest.get(signed.digest)
            if row is None or row.refund_id is None or row.outcome != 0:
                continue
            refund = refunds[row.refund_id]
            payments[refund.id] += 1
            assert (signed.to, signed.token) == (refund.receiver, refund.token)
            assert signed.amount == refund.pips
        assert set(payments.values()) <= {1}, "paid once"
        assert all(
            refunds[name].state in (RefundState.IN_PROGRESS, RefundState.COMPLETED)
            for name in payments
        )


def ended(world, store):
    """Left alone with a shop that signs and customers who claim, every refund ends."""
    refunding = world.venue.merchants.refunding
    world.withdrawal_words = {None: "final"}
    for _ in range(40):
        open_ones = [
            one
            for one in world.venue.merchants.reader.list_refunds(store.store_id)
            if one.status not in ("completed", "cancelled")
        ]
        if not open_ones:
            break
        one = open_ones[0]
        if one.status == "awaiting_approval":
            refunding.refunds.approve(store.store_id, one.id, one.revision)
        if one.receiver is None:
            claimed(world, one)
        world.venue.fund(MERCHANT, TOKEN, 40 * LOT)
        world.venue.fund(MERCHANT, USD, 100 * DOLLAR)
        if isinstance(wallet_signs(world, store, one), Rejection):
            world.pass_time(1900)
        for _ in range(3):
            world.venue.tick()
            world.pass_time(6)
        world.pass_time(60)
    check(world)
    states = {one.status for one in world.venue.merchants.reader.list_refunds(store.store_id)}
    assert states <= {"completed", "cancelled"}, states
