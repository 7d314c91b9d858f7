"""What a maker is paid for resting is settled to the pip, and anybody can check it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.commands import Kind, command
from engine.events import EventKind, Events
from engine.types import Outcome, Phase, Side
from settlement.audit.proofs import why_refused
from settlement.batches.encode import signed_fee_pips
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.outbox import ActionState
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import ZERO_REF, TradeBusted
from settlement.repair.busts import bust_command
from tests.chain.conftest import Clock, until
from tests.chain.test_receipts import REF, head_on_chain, the_contract_believes, verdict
from tests.chain.test_reconciliation import reconciler
from tests.chain.test_verify_command import verify
from tests.chain.venue import ALICE, BOB, LANE, TAKER_FEE_PPM, Venue, number

REBATE_PPM = -333
"""Of odd amounts it is never a whole pip."""

Build = Callable[[int], Venue]


@pytest.fixture
def build(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Build]:
    """Build an exchange whose makers pay so much, with money on both sides for both."""
    built: list[Venue] = []

    def venue(maker_fee_ppm: int) -> Venue:
        one = funded(Venue(tmp_path, devchain, clock, maker_fee_ppm=maker_fee_ppm))
        built.append(one)
        return one

    yield venue
    for one in built:
        one.close()


def funded(venue: Venue) -> Venue:
    venue.fund()
    venue.deposit(ALICE, venue.token, 10 * 10**18)
    venue.deposit(BOB, venue.usd, 10**12)
    venue.credit()
    return venue


def settle(venue: Venue) -> None:
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert venue.settler.halted is None
    assert {state.state for state in venue.settler.batches(9)} == {ActionState.FINAL}


def agrees(venue: Venue) -> None:
    """Ledger, vault and fees are the same to the pip, by both ways of asking."""
    venue.assert_books_agree()
    fees = encode_call("feesOf", venue.usd)
    usd = venue.catalog.token_by_address(venue.usd)
    assert usd is not None
    on_chain = number(venue.devchain.chain.call(venue.domain.contract, fees))
    assert on_chain == venue.engine.fees(usd.number)
    judge, block = reconciler(venue), venue.devchain.chain.head().number
    assert judge.compare(judge.cut(), block) + judge.compare(judge.cut(), block) == []


def traded(
    venue: Venue, maker_sells: bool, lots: int, ticks: int, turn: int, ref: bytes = ZERO_REF
) -> Events:
    """Bob rests, Alice takes; return the trades."""
    mine, other = (Side.SELL, Side.BUY) if maker_sells else (Side.BUY, Side.SELL)
    venue.place(BOB, mine, ticks, lots, nonce=1, lane=LANE + turn)
    events = venue.place(ALICE, other, ticks, lots, nonce=turn, ref=ref)
    return events[events["kind"] == EventKind.TRADE]


@pytest.mark.parametrize("maker_sells", [True, False], ids=["seller", "buyer"])
def test_a_rebate_is_settled_to_the_pip_on_either_side(build: Build, maker_sells: bool):
    venue = build(REBATE_PPM)
    for turn, (lots, ticks) in enumerate(((1, 2_501), (7, 2_333), (13, 2_777)), start=1):
        (trade,) = traded(venue, maker_sells, lots, ticks, turn)
        quote = lots * ticks * 10**4
        assert trade["maker_fee_pips"] == -(quote * -REBATE_PPM // 10**6) < 0
        assert trade["fee_pips"] == quote * TAKER_FEE_PPM // 10**6
    settle(venue)

    agrees(venue)


def test_a_rebate_of_all_that_the_taker_pays_leaves_the_house_nothing(build: Build):
    venue = build(-TAKER_FEE_PPM)
    (trade,) = traded(venue, maker_sells=True, lots=7, ticks=2_333, turn=1)
    assert trade["maker_fee_pips"] == -trade["fee_pips"] < 0
    settle(venue)

    agrees(venue)
    assert venue.engine.fees(0) == 0


def test_in_an_auction_nobody_pays_and_nobody_earns_a_rebate(build: Build):
    venue = build(REBATE_PPM)
    venue.commit(command(Kind.SET_PHASE, amount=Phase.AUCTION))
    venue.place(BOB, Side.SELL, 2_400, 5, nonce=1, lane=LANE)
    venue.place(ALICE, Side.BUY, 2_500, 9, nonce=1, lane=LANE)
    events = venue.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    trade = events[0]
    assert trade["outcome"] == Outcome.AUCTION
    assert trade["fee_pips"] == trade["maker_fee_pips"] == 0
    # What the auction left is an ordinary maker again.
    taken = venue.place(BOB, Side.SELL, 2_400, 4, nonce=1)
    (trade,) = taken[taken["kind"] == EventKind.TRADE]
    assert trade["maker_fee_pips"] < 0 < trade["fee_pips"]
    settle(venue)

    agrees(venue)


def test_a_busted_trade_takes_its_rebate_back(build: Build):
    venue = build(REBATE_PPM)
    traded(venue, maker_sells=True, lots=7, ticks=2_333, turn=1)
    (trade,), _ = venue.queue.unsettled()
    assert trade.sell_fee_ppm == REBATE_PPM
    evidence = TradeBusted(trade.trade_id, "as a test wishes")
    answer = venue.commit(bust_command(venue.catalog, trade), evidence)
    assert answer[0]["kind"] == EventKind.TRADE_BUSTED
    traded(venue, maker_sells=True, lots=3, ticks=2_501, turn=2)
    settle(venue)

    agrees(venue)


def test_a_receipt_shows_the_rebate_and_is_proven(build: Build):
    venue = build(REBATE_PPM)
    (event,) = traded(venue, maker_sells=True, lots=7, ticks=2_333, turn=1, ref=REF)
    settle(venue)
    (receipt,) = venue.settler.receipts(ALICE.address, REF, [int(event["trade_id"])])

    rebate = signed_fee_pips(int(receipt.trade.quote_amount), REBATE_PPM)
    assert int(receipt.trade.sell_fee) == rebate == event["maker_fee_pips"] < 0
    assert why_refused(receipt, head_on_chain(venue, receipt)) is None
    assert the_contract_believes(venue, receipt)
    larger = msgspec.structs.replace(receipt.trade, sell_fee=str(rebate - 1))
    forged = msgspec.structs.replace(receipt, trade=larger)
    assert why_refused(forged, head_on_chain(venue, forged)) is not None
    assert not the_contract_believes(venue, forged)


def test_other_peoples_programs_and_verify_agree_on_rebates(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = funded(Venue(tmp_path, anvil, clock, maker_fee_ppm=REBATE_PPM))
    (event,) = traded(venue, maker_sells=True, lots=7, ticks=2_333, turn=1, ref=REF)
    traded(venue, maker_sells=False, lots=13, ticks=2_777, turn=2)
    venue.commit(command(Kind.SET_PHASE, amount=Phase.AUCTION))
    venue.place(BOB, Side.SELL, 2_400, 5, nonce=1, lane=LANE)
    venue.place(ALICE, Side.BUY, 2_500, 5, nonce=1, lane=LANE)
    venue.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    settle(venue)

    (receipt,) = venue.settler.receipts(ALICE.address, REF, [int(event["trade_id"])])
    proof = json.loads(msgspec.json.encode(receipt))
    assert proof["trade"]["sellFee"].startswith("-")
    assert verdict(venue, proof) == "proven"
    paid_by_maker = {**proof["trade"], "sellFee": proof["trade"]["sellFee"][1:]}
    assert verdict(venue, {**proof, "trade": paid_by_maker}).startswith("the chain has head")
    code, output = verify(venue, venue.directory / "journal")
    assert code == 0 and "3 trades in the log" in output, output
    venue.close()
