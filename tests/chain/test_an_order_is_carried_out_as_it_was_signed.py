"""Is an operator found who gives the engine another order than its owner signed?

He has all that an operator has: his own journal writer, which makes every hash right again, and his
own batches, which settle what the other order has done.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.journal import DirectoryReader
from engine.types import OrderFlag, Side, TimeInForce
from settlement.audit.verify import Verdict
from settlement.audit.verify import verify as verified
from settlement.chain.dev.devchain import start_devchain
from settlement.protocol.evidence import OrderBits, SignedOrder, decode
from tests.chain.conftest import Clock
from tests.chain.test_refused_batches import settle
from tests.chain.test_verify_command import written
from tests.chain.venue import ALICE, BOB, LANE, Venue

pytestmark = pytest.mark.node

STOP, ICEBERG, POST_ONLY = OrderBits.STOP, OrderBits.ICEBERG, OrderBits.POST_ONLY
REPRICE, IMMEDIATE, FOK = OrderBits.REPRICE, OrderBits.IMMEDIATE, OrderBits.FILL_OR_KILL
BOTH, DECREMENT = OrderBits.SELF_EXPIRE_BOTH, OrderBits.SELF_DECREMENT
RESTING_LEAVES = OrderBits.SELF_EXPIRE_RESTING
LOTS, PRICE, TRIGGER, SHOWN = 9, 2_500, 2_520, 3
TICK_PIPS, LOT_PIPS = 10**4, 10**6


class Lie(NamedTuple):
    """What was signed beside side, amount and price, and what the engine is given instead."""

    bits: OrderBits
    instead: dict[str, int]
    is_shot: bool = False


LIES = {
    "a stop is triggered early": Lie(STOP, {"order_id": TRIGGER - 10}),
    "a stop is triggered late": Lie(STOP, {"order_id": TRIGGER + 10}),
    "a stop does not wait": Lie(STOP, {"flags": 0, "order_id": 0}),
    "an order waits like a stop": Lie(
        OrderBits(0), {"flags": int(OrderFlag.STOP), "order_id": TRIGGER}
    ),
    "what a stop leaves stays": Lie(STOP | IMMEDIATE, {"tif": int(TimeInForce.GTC)}),
    "what a stop leaves is dropped": Lie(STOP, {"tif": int(TimeInForce.IOC)}),
    "a stop is filled in part": Lie(STOP | FOK, {"tif": int(TimeInForce.IOC)}),
    "an iceberg is shown whole": Lie(ICEBERG, {"flags": 0, "order_id": 0}),
    "an iceberg shows less": Lie(ICEBERG, {"order_id": SHOWN - 1}),
    "an iceberg shows more": Lie(ICEBERG, {"order_id": SHOWN + 1}),
    "an order is hidden": Lie(OrderBits(0), {"flags": int(OrderFlag.ICEBERG), "order_id": 1}),
    "fill or kill is ignored": Lie(FOK, {"tif": int(TimeInForce.IOC)}, is_shot=True),
    "an order is killed": Lie(OrderBits(0), {"tif": int(TimeInForce.FOK)}, is_shot=True),
    "a single shot rests": Lie(
        OrderBits(0), {"tif": int(TimeInForce.GTC), "flags": 0}, is_shot=True
    ),
    "a self-trade mode is ignored": Lie(DECREMENT, {"flags": 0}),
    "a self-trade mode is another": Lie(BOTH, {"flags": int(OrderFlag.SELF_EXPIRE_MAKER)}),
    "a self-trade mode is invented": Lie(OrderBits(0), {"flags": int(OrderFlag.SELF_EXPIRE_BOTH)}),
    "the resting order leaves": Lie(RESTING_LEAVES, {"flags": int(OrderFlag.SELF_DECREMENT)}),
    "post only is dropped": Lie(POST_ONLY, {"flags": 0}),
    "post only is invented": Lie(OrderBits(0), {"flags": int(OrderFlag.POST_ONLY)}),
    "re-price is dropped": Lie(POST_ONLY | REPRICE, {"flags": int(OrderFlag.POST_ONLY)}),
    "re-price is invented": Lie(POST_ONLY, {"flags": int(OrderFlag.POST_ONLY | OrderFlag.REPRICE)}),
    "the fee cap is raised": Lie(OrderBits(0), {"fee_cap_ppm": 5_001}),
}


def day(directory: Path, venue: Venue, clock: Clock, is_honest: bool) -> dict[str, int]:
    """Let a stop, a post-only order and all the others come in and trade, and settle it; return
    which command each was."""
    venue.fund()
    sequences = {}
    for number, (name, lie) in enumerate(LIES.items()):
        special = 0
        if lie.bits & STOP:
            special = LOTS * TRIGGER * TICK_PIPS
        elif lie.bits & ICEBERG:
            special = SHOWN * LOT_PIPS
        venue.place(
            ALICE,
            Side.BUY,
            PRICE - (0 if lie.bits & STOP else number + 1),
            LOTS,
            nonce=number + 1,
            lane=0 if lie.is_shot else LANE + number,
            bits=lie.bits,
            special=special,
            instead={} if is_honest else lie.instead,
        )
        sequences[name] = venue.history()[-1].last_sequence
    for turn, price in enumerate((PRICE, TRIGGER - 10, TRIGGER, TRIGGER + 10), 1):
        venue.place(BOB, Side.SELL, price, 2, nonce=turn, lane=LANE)
        venue.place(ALICE, Side.BUY, price, 2, nonce=100 + turn)
    for turn in range(10):
        venue.place(BOB, Side.SELL, PRICE - turn, 25, nonce=100 + turn)
    assert settle(venue, clock) == [], "and the contract takes all of it"
    return sequences


class Told(NamedTuple):
    """A day on a chain, with the operator's whole log."""

    venue: Venue
    sequences: dict[str, int]
    directory: Path

    def verdict(self, log: Path) -> Verdict:
        deployment = self.venue.directory / "deployment.json"
        url = str(self.venue.devchain.rpc_url)
        return verified(log, url, deployment, None, lambda _: None)

    def rewritten(self, name: str, lied: bool) -> Path:
        """Write the log anew where order ``name`` is another than the engine has had."""
        log = [
            (entry.row.copy(), entry.attachment)
            for committed in self.venue.history()
            for entry in committed.entries
        ]
        row, attachment = log[self.sequences[name] - 1]
        order = decode(attachment)
        assert isinstance(order, SignedOrder)
        assert order.flags & ~OrderBits.SINGLE_SHOT == LIES[name].bits
        for column, value in (LIES[name].instead if lied else honest_columns(name)).items():
            row[column] = value
        source = DirectoryReader(self.venue.directory / "journal")
        return written(source, self.directory / name.replace(" ", "-"), log)


def honest_columns(name: str) -> dict[str, int]:
    """Return what stands in the columns that a lie changes if nobody lies."""
    bits, instead, is_shot = LIES[name]
    tif = TimeInForce.GTC
    flags = OrderFlag.SINGLE_SHOT if is_shot else OrderFlag.NONE
    for bit, flag in (
        *[(STOP, OrderFlag.STOP), (ICEBERG, OrderFlag.ICEBERG), (REPRICE, OrderFlag.REPRICE)],
        *[(POST_ONLY, OrderFlag.POST_ONLY), (RESTING_LEAVES, OrderFlag.SELF_EXPIRE_MAKER)],
        (BOTH, OrderFlag.SELF_EXPIRE_BOTH),
    ):
        flags |= flag if bits & bit else OrderFlag.NONE
    if is_shot or bits & IMMEDIATE:
        tif = TimeInForce.IOC
    if bits & FOK:
        tif = TimeInForce.FOK
    special = TRIGGER if bits & STOP else SHOWN if bits & ICEBERG else 0
    said = {"tif": int(tif), "flags": int(flags), "order_id": special, "fee_cap_ppm": 5_000}
    return {column: said[column] for column in instead}


def words_for(name: str) -> list[str]:
    """Return what has to be said about a lie."""
    signed = honest_columns(name)
    return [f"{c} is {value}, signed was {signed[c]}" for c, value in LIES[name].instead.items()]


@pytest.fixture(scope="module", params=[True, False], ids=["honest", "lying"])
def told(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A day of an operator, who is honest until he writes the log anew, or lies all day."""
    directory, clock = tmp_path_factory.mktemp("day"), Clock()
    with start_devchain(directory / "chain", "anvil", clock) as chain:
        venue = Venue(directory, chain, clock)
        yield Told(venue, day(directory, venue, clock, request.param), directory)
        venue.close()


@pytest.fixture
def is_honest(request: Any, told: Told) -> bool:
    row = told.venue.history()
    flags = np.concatenate([batch.commands for batch in row])["flags"]
    return bool(flags[told.sequences["re-price is dropped"] - 1] & OrderFlag.REPRICE)


def test_the_whole_log_tells_of_every_lie_and_of_nothing_else(told: Told, is_honest: bool) -> None:
    """Batches that settle the lies agree with them: only the signatures do not."""
    faults = told.verdict(told.venue.directory / "journal").faults
    if is_honest:
        assert faults == []
        return
    wanted = [
        f"command {told.sequences[name]}: {words}" for name in LIES for words in words_for(name)
    ]
    assert sorted(faults) == sorted(wanted)


@pytest.mark.parametrize("name", LIES)
def test_a_lie_that_is_written_into_the_log_or_out_of_it_is_found(
    told: Told, is_honest: bool, name: str
) -> None:
    faults = told.verdict(told.rewritten(name, lied=is_honest)).faults
    named = [f for f in faults if f.startswith(f"command {told.sequences[name]}: ")]
    if is_honest:
        assert [f.partition(": ")[2] for f in named] == words_for(name)
    else:
        assert not named, "the order is the one that was signed again"
    assert any("are not those it commits to" in fault for fault in faults)
