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
from tests.chain.road import ALICE, BOB, LANE, TAKER_FEE_PPM, Road, number
from tests.chain.test_receipts import REF, head_on_chain, the_contract_believes, verdict
from tests.chain.test_reconciliation import reconciler
from tests.chain.test_verify_command import verify

REBATE_PPM = -333
"""Of odd amounts it is never a whole pip."""

Build = Callable[[int], Road]


@pytest.fixture
def build(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Build]:
    """Build an exchange whose makers pay so much, with money on both sides for both."""
    built: list[Road] = []

    def road(maker_fee_ppm: int) -> Road:
        one = funded(Road(tmp_path, devchain, clock, maker_fee_ppm=maker_fee_ppm))
        built.append(one)
        return one

    yield road
    for one in built:
        one.close()


def funded(road: Road) -> Road:
    road.fund()
    road.deposit(ALICE, road.token, 10 * 10**18)
    road.deposit(BOB, road.usd, 10**12)
    road.credit()
    return road


def settle(road: Road) -> None:
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert road.settler.halted is None
    assert {state.state for state in road.settler.batches(9)} == {ActionState.FINAL}


def agrees(road: Road) -> None:
    """Ledger, vault and fees are the same to the pip, by both ways of asking."""
    road.assert_books_agree()
    fees = encode_call("feesOf", road.usd)
    usd = road.catalog.token_by_address(road.usd)
    assert usd is not None
    on_chain = number(road.devchain.chain.call(road.domain.contract, fees))
    assert on_chain == road.engine.fees(usd.number)
    judge, block = reconciler(road), road.devchain.chain.head().number
    assert judge.compare(judge.cut(), block) + judge.compare(judge.cut(), block) == []


def traded(
    road: Road, maker_sells: bool, lots: int, ticks: int, turn: int, ref: bytes = ZERO_REF
) -> Events:
    """Bob rests, Alice takes; return the trades."""
    mine, other = (Side.SELL, Side.BUY) if maker_sells else (Side.BUY, Side.SELL)
    road.place(BOB, mine, ticks, lots, nonce=1, lane=LANE + turn)
    events = road.place(ALICE, other, ticks, lots, nonce=turn, ref=ref)
    return events[events["kind"] == EventKind.TRADE]


@pytest.mark.parametrize("maker_sells", [True, False], ids=["seller", "buyer"])
def test_a_rebate_is_settled_to_the_pip_on_either_side(build: Build, maker_sells: bool):
    road = build(REBATE_PPM)
    for turn, (lots, ticks) in enumerate(((1, 2_501), (7, 2_333), (13, 2_777)), start=1):
        (trade,) = traded(road, maker_sells, lots, ticks, turn)
        quote = lots * ticks * 10**4
        assert trade["maker_fee_pips"] == -(quote * -REBATE_PPM // 10**6) < 0
        assert trade["fee_pips"] == quote * TAKER_FEE_PPM // 10**6
    settle(road)

    agrees(road)


def test_a_rebate_of_all_that_the_taker_pays_leaves_the_house_nothing(build: Build):
    road = build(-TAKER_FEE_PPM)
    (trade,) = traded(road, maker_sells=True, lots=7, ticks=2_333, turn=1)
    assert trade["maker_fee_pips"] == -trade["fee_pips"] < 0
    settle(road)

    agrees(road)
    assert road.engine.fees(0) == 0


def test_in_an_auction_nobody_pays_and_nobody_earns_a_rebate(build: Build):
    road = build(REBATE_PPM)
    road.commit(command(Kind.SET_PHASE, amount=Phase.AUCTION))
    road.place(BOB, Side.SELL, 2_400, 5, nonce=1, lane=LANE)
    road.place(ALICE, Side.BUY, 2_500, 9, nonce=1, lane=LANE)
    events = road.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    trade = events[0]
    assert trade["outcome"] == Outcome.AUCTION
    assert trade["fee_pips"] == trade["maker_fee_pips"] == 0
    # What the auction left is an ordinary maker again.
    taken = road.place(BOB, Side.SELL, 2_400, 4, nonce=1)
    (trade,) = taken[taken["kind"] == EventKind.TRADE]
    assert trade["maker_fee_pips"] < 0 < trade["fee_pips"]
    settle(road)

    agrees(road)


def test_a_busted_trade_takes_its_rebate_back(build: Build):
    road = build(REBATE_PPM)
    traded(road, maker_sells=True, lots=7, ticks=2_333, turn=1)
    (trade,), _ = road.queue.unsettled()
    assert trade.sell_fee_ppm == REBATE_PPM
    evidence = TradeBusted(trade.trade_id, "as a test wishes")
    answer = road.commit(bust_command(road.catalog, trade), evidence)
    assert answer[0]["kind"] == EventKind.TRADE_BUSTED
    traded(road, maker_sells=True, lots=3, ticks=2_501, turn=2)
    settle(road)

    agrees(road)


def test_a_receipt_shows_the_rebate_and_is_proven(build: Build):
    road = build(REBATE_PPM)
    (event,) = traded(road, maker_sells=True, lots=7, ticks=2_333, turn=1, ref=REF)
    settle(road)
    (receipt,) = road.settler.receipts(ALICE.address, REF, [int(event["trade_id"])])

    rebate = signed_fee_pips(int(receipt.trade.quote_amount), REBATE_PPM)
    assert int(receipt.trade.sell_fee) == rebate == event["maker_fee_pips"] < 0
    assert why_refused(receipt, head_on_chain(road, receipt)) is None
    assert the_contract_believes(road, receipt)
    larger = msgspec.structs.replace(receipt.trade, sell_fee=str(rebate - 1))
    forged = msgspec.structs.replace(receipt, trade=larger)
    assert why_refused(forged, head_on_chain(road, forged)) is not None
    assert not the_contract_believes(road, forged)


def test_other_peoples_programs_and_verify_agree_on_rebates(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    road = funded(Road(tmp_path, anvil, clock, maker_fee_ppm=REBATE_PPM))
    (event,) = traded(road, maker_sells=True, lots=7, ticks=2_333, turn=1, ref=REF)
    traded(road, maker_sells=False, lots=13, ticks=2_777, turn=2)
    road.commit(command(Kind.SET_PHASE, amount=Phase.AUCTION))
    road.place(BOB, Side.SELL, 2_400, 5, nonce=1, lane=LANE)
    road.place(ALICE, Side.BUY, 2_500, 5, nonce=1, lane=LANE)
    road.commit(command(Kind.SET_PHASE, amount=Phase.OPEN))
    settle(road)

    (receipt,) = road.settler.receipts(ALICE.address, REF, [int(event["trade_id"])])
    proof = json.loads(msgspec.json.encode(receipt))
    assert proof["trade"]["sellFee"].startswith("-")
    assert verdict(road, proof) == "proven"
    paid_by_maker = {**proof["trade"], "sellFee": proof["trade"]["sellFee"][1:]}
    assert verdict(road, {**proof, "trade": paid_by_maker}).startswith("the chain has head")
    code, output = verify(road, road.directory / "journal")
    assert code == 0 and "3 trades in the log" in output, output
    road.close()
