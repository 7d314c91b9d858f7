"""What an operator does is done by the log, with his name and his reason, or it is refused."""

import asyncio
from itertools import product

import httpx
import pytest

from engine.commands import Kind
from engine.reference import Engine
from engine.types import Outcome, Phase
from settlement.operations import OnChain
from settlement.orders.market_states import MarketState
from settlement.protocol.evidence import OperatorAction
from tests.admin.fixtures import BOB_TOKEN, NEW_TOKEN, Operator, told
from tests.api.fixtures import LIMITS

PHASES = ("OPEN", "POST_ONLY", "CANCEL_ONLY", "HALTED", "AUCTION")
TERMS = {
    "lot_pips": 10_000,
    "tick_pips": 10,
    "maker_fee_ppm": 0,
    "taker_fee_ppm": 1_000,
    "least_notional_pips": 0,
}


async def place(at: Operator, lots: int = 1, ticks: int = 2_000, side: str = "sell") -> Outcome:
    """Have the maker place an order; return what became of it."""
    venue = at.venue
    app = venue.app()
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.post("/v1/orders", json=venue.maker.order(side, lots, ticks))
    said = answer.json()
    return Outcome.ACCEPTED if answer.status_code == 201 else Outcome[said["outcome"]]


def replayed(at: Operator) -> None:
    """See that the other engine comes to the same by the log alone."""
    engine = Engine(LIMITS)
    for batch in at.venue.history:
        engine.apply(batch.commands)
    assert engine.state_hash() == at.venue.engine.state_hash()


def test_who_and_why_stand_beside_every_action():
    async def story(at: Operator) -> None:
        at.venue.listed_on_chain[2] = OnChain(NEW_TOKEN, 10**10, 18)
        address = "0x" + NEW_TOKEN.hex()
        await at.done("/tokens", symbol="NEW", address=address, decimals=18)
        await at.done("/markets", symbol="NEW-USD", base="NEW", quote="USD", **TERMS)
        await at.done("/markets/NEW-USD/phase", phase="POST_ONLY")
        await at.done("/markets/NEW-USD/band", lowest_ticks=1, highest_ticks=9)
        await at.done("/markets/NEW-USD/terms", taker_fee_ppm=2_000)
        await at.done("/markets/NEW-USD/delist")
        await at.done("/cancel-all", market="TOKEN-USD")
        for action in ("snapshot", "drain", "undrain"):
            await at.done(f"/{action}")

        entries = at.venue.entries[-10:]
        assert [Kind(entry.command.kind).name for entry in entries] == [
            *("LIST_TOKEN", "LIST_MARKET", "SET_PHASE", "SET_BAND", "SET_TERMS", "DELIST"),
            *("CANCEL_ALL", "CLOCK", "CLOCK", "CLOCK"),
        ]
        assert len(at.venue.asked) == len(entries)
        assert {(one.operator, one.reason) for one in at.venue.asked} == {("alice", "a test")}
        assert [one.action for one in at.venue.asked[-3:]] == ["snapshot", "drain", "undrain"]
        assert [token.symbol for token in at.venue.heeded] == ["NEW"]
        replayed(at)

    told(story)


@pytest.mark.parametrize(("first", "second"), list(product(PHASES, PHASES)))
def test_every_phase_follows_every_other(first: str, second: str):
    async def story(at: Operator) -> None:
        for phase in (first, second, second):
            assert (await at.phase(phase))[0] == 200
            (row,) = (await at.get("/markets"))["markets"]
            assert row["phase"] == phase
        wanted = {
            "OPEN": Outcome.ACCEPTED,
            "POST_ONLY": Outcome.MARKET_POST_ONLY,
            "CANCEL_ONLY": Outcome.MARKET_CANCEL_ONLY,
            "HALTED": Outcome.MARKET_HALTED,
            "AUCTION": Outcome.ACCEPTED,
        }
        assert await place(at) is wanted[second]
        await at.done("/markets/TOKEN-USD/delist")
        assert await at.refused("/markets/TOKEN-USD/phase", phase=second) == "MARKET_DELISTED"
        replayed(at)

    told(story)


def test_no_other_phase_can_be_asked_for():
    async def story(at: Operator) -> None:
        with at.venue.unchanged():
            for phase in ("DELISTED", "open", "", 0, None):
                assert await at.refused("/markets/TOKEN-USD/phase", phase=phase) == "MALFORMED"

    told(story)


@pytest.mark.parametrize("phase", ["OPEN", "POST_ONLY", "AUCTION"])
def test_no_orders_come_in_while_what_halted_the_market_stands(phase: str):
    async def story(at: Operator) -> None:
        await at.phase("HALTED")
        with at.venue.unchanged():
            at.venue.paused.add("USD")
            status, said = await at.phase(phase)
            assert (status, said["outcome"]) == (409, "MARKET_HALTED")
            assert said["detail"] == "USD is paused on chain"
            at.venue.chain_answers = False
            assert (await at.phase(phase))[1]["detail"] == "the chain does not answer"
            at.venue.chain_answers, at.venue.judge.block = True, 0
            at.venue.paused.clear()
            assert "not compared" in (await at.phase(phase))[1]["detail"]
        assert (await at.phase("CANCEL_ONLY"))[0] == 200, "nothing comes in by it"
        at.venue.judge.block = 1
        assert (await at.phase(phase))[0] == 200

    told(story)


def test_a_band_cancels_what_is_outside_and_is_lifted_by_nothing_to_nothing():
    async def story(at: Operator) -> None:
        assert await place(at, ticks=2_000) is Outcome.ACCEPTED
        for low, high in ((1, 0), (0, 5), (9, 8)):
            refused = await at.refused(
                "/markets/TOKEN-USD/band", lowest_ticks=low, highest_ticks=high
            )
            assert refused == "BAD_BAND"
        for bad in (-1, 2**31, "1", 1.5, None):
            refused = await at.refused("/markets/TOKEN-USD/band", lowest_ticks=bad, highest_ticks=9)
            assert refused == "MALFORMED"
        await at.done("/markets/TOKEN-USD/band", lowest_ticks=1_000, highest_ticks=1_500)
        assert at.venue.engine.orders_live == 1, "a sale above the band can trade no worse"
        for _ in range(2):
            await at.done("/markets/TOKEN-USD/band", lowest_ticks=2_500, highest_ticks=3_000)
        assert at.venue.engine.orders_live == 0, "at 2,000 it could trade below it"
        await at.done("/markets/TOKEN-USD/band", lowest_ticks=0, highest_ticks=0)
        (row,) = (await at.get("/markets"))["markets"]
        assert (row["lowest_ticks"], row["highest_ticks"]) == (0, 0)
        replayed(at)

    told(story)


def test_terms_change_what_is_named_and_cancel_what_rests():
    async def story(at: Operator) -> None:
        assert await place(at) is Outcome.ACCEPTED
        with at.venue.unchanged():
            assert (await at.done("/markets/TOKEN-USD/terms", taker_fee_ppm=1_000))[
                "sequence"
            ] == 0, "it has them already"
            for bad in ({"taker_fee_ppm": 10_001}, {"lot_pips": 0}, {"fee": 1}):
                assert await at.refused("/markets/TOKEN-USD/terms", **bad) == "MALFORMED"
        assert await at.refused("/markets/TOKEN-USD/terms", maker_fee_ppm=-1_001) == "BAD_LISTING"
        assert at.venue.engine.orders_live == 1
        await at.done("/markets/TOKEN-USD/terms", taker_fee_ppm=2_000)
        assert at.venue.engine.orders_live == 0
        (row,) = (await at.get("/markets"))["markets"]
        assert {name: row[name] for name in TERMS} == TERMS | {"taker_fee_ppm": 2_000}
        replayed(at)

    told(story)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_changes_of_terms_at_once_are_both_there_in_the_end(order: tuple[int, int]):
    async def story(at: Operator) -> None:
        other = Operator(at.http, at.venue, BOB_TOKEN)
        changes = [
            at.done("/markets/TOKEN-USD/terms", taker_fee_ppm=2_000),
            other.done("/markets/TOKEN-USD/terms", least_notional_pips=5),
        ]
        await asyncio.gather(*(changes[i] for i in order))
        (row,) = (await at.get("/markets"))["markets"]
        assert (row["taker_fee_ppm"], row["least_notional_pips"]) == (2_000, 5)
        assert {one.operator for one in at.venue.asked} == {"alice", "bob"}

    told(story)


def test_all_orders_of_a_market_or_an_account_or_everything_are_cancelled():
    async def story(at: Operator) -> None:
        maker = "0x" + at.venue.maker.address.hex()
        taker = "0x" + at.venue.taker.address.hex()
        for _ in range(3):
            assert await place(at) is Outcome.ACCEPTED
        with at.venue.unchanged():
            assert await at.refused("/cancel-all") == "MALFORMED"
            assert await at.refused("/cancel-all", market="NO-SUCH") == "UNKNOWN_MARKET"
            nobody = "0x" + "77" * 20
            assert await at.refused("/cancel-all", account=nobody) == "UNKNOWN_ACCOUNT"
        assert (await at.done("/cancel-all", account=taker))["orders"] == 0
        assert (await at.done("/cancel-all", account=maker, market="TOKEN-USD"))["orders"] == 3
        for _ in range(2):
            assert await place(at) is Outcome.ACCEPTED
        assert (await at.done("/cancel-all", everything=True))["orders"] == 2
        assert (await at.done("/cancel-all", everything=True))["orders"] == 0, "again"
        replayed(at)

    told(story)


def test_a_token_is_listed_as_the_contract_has_it_or_not_at_all():
    async def story(at: Operator) -> None:
        new = {"symbol": "NEW", "address": "0x" + NEW_TOKEN.hex(), "decimals": 18}
        with at.venue.unchanged():
            for on_chain in (
                None,
                OnChain(bytes([0x44] * 20), 10**10, 18),
                OnChain(NEW_TOKEN, 10**10, 8),
                OnChain(NEW_TOKEN, 10**9, 18),
            ):
                if on_chain:
                    at.venue.listed_on_chain[2] = on_chain
                assert await at.refused("/tokens", **new) == "BAD_LISTING"
            at.venue.chain_answers = False
            status, said = await at.post("/tokens", **new)
            assert (status, said["outcome"], said["retryable"]) == (503, "OVERLOADED", True)
            at.venue.chain_answers = True
            for bad in (
                {"symbol": "new"},
                {"decimals": 27},
                {"address": "0x12"},
                {"symbol": "A\n"},
            ):
                assert await at.refused("/tokens", **new | bad) == "MALFORMED"
        at.venue.listed_on_chain[2] = OnChain(NEW_TOKEN, 10**10, 18)
        assert (await at.done("/tokens", **new))["sequence"] > 0
        with at.venue.unchanged():
            assert (await at.done("/tokens", **new))["sequence"] == 0, "it is listed already"
            for other in ({"symbol": "OTHER"}, {"decimals": 8}, {"symbol": "USD"}):
                assert await at.refused("/tokens", **new | other) == "BAD_LISTING"
        rows = (await at.get("/tokens"))["tokens"]
        assert [(row["number"], row["symbol"]) for row in rows] == [
            *((0, "TOKEN"), (1, "USD"), (2, "NEW"))
        ]

    told(story)


@pytest.mark.parametrize("same", [True, False])
def test_two_listings_at_once_are_one_and_the_other_is_answered(same: bool):
    async def story(at: Operator) -> None:
        at.venue.listed_on_chain[2] = OnChain(NEW_TOKEN, 10**10, 18)
        new = {"symbol": "NEW", "address": "0x" + NEW_TOKEN.hex(), "decimals": 18}
        both = await asyncio.gather(
            at.post("/tokens", **new), at.post("/tokens", **new | ({} if same else {"symbol": "N"}))
        )
        assert [status for status, _ in both] == [200, 200 if same else 422]
        listing = {"base": "NEW", "quote": "USD"} | TERMS
        second = "NEW-USD" if same else "ANEW-USD"
        both = await asyncio.gather(
            at.post("/markets", symbol="NEW-USD", **listing),
            at.post("/markets", symbol=second, **listing),
        )
        assert [status for status, _ in both] == [200, 200 if same else 422]
        assert len((await at.get("/markets"))["markets"]) == 2

    told(story)


def test_a_market_has_a_name_and_a_pair_of_its_own():
    async def story(at: Operator) -> None:
        listing = {"symbol": "TOKEN-USD", "base": "TOKEN", "quote": "USD"} | TERMS
        with at.venue.unchanged():
            assert (await at.done("/markets", **listing))["sequence"] == 0, "as it is"
            for bad in ({"taker_fee_ppm": 5}, {"base": "USD", "quote": "TOKEN"}):
                assert await at.refused("/markets", **listing | bad) == "BAD_LISTING"
            assert await at.refused("/markets", **listing | {"symbol": "A-B"}) == "BAD_LISTING"
            unknown = listing | {"symbol": "A-B", "base": "A"}
            assert await at.refused("/markets", **unknown) == "UNKNOWN_TOKEN"
        same = listing | {"symbol": "USD-USD", "base": "USD"}
        assert await at.refused("/markets", **same) == "BAD_LISTING"
        await at.done("/markets/TOKEN-USD/delist")
        assert await at.refused("/markets/TOKEN-USD/delist") == "MARKET_DELISTED"
        await at.done("/markets", **listing | {"symbol": "TOKEN-USDB"})
        assert [row["phase"] for row in (await at.get("/markets"))["markets"]] == [
            *("DELISTED", "OPEN")
        ]

    told(story)


def test_what_stands_in_the_log_says_what_was_listed():
    async def story(at: Operator) -> None:
        await at.done("/markets", symbol="USD-TOKEN", base="USD", quote="TOKEN", **TERMS)
        (asked,) = at.venue.asked
        assert isinstance(asked, OperatorAction) and asked.listing is not None
        assert asked.listing.symbol == "USD-TOKEN"
        (_, listed) = at.venue.exchange.catalog.markets
        assert at.venue.states.of(listed) == MarketState(Phase.OPEN)

    told(story)


def test_states_remember_by_a_snapshot_what_the_log_has_told():
    async def story(at: Operator) -> None:
        await at.phase("AUCTION")
        await at.done("/markets/TOKEN-USD/band", lowest_ticks=5, highest_ticks=6)
        again = type(at.venue.states)()
        again.load(at.venue.states.save())
        market = at.venue.exchange.catalog.markets[0]
        assert again.of(market) == MarketState(Phase.AUCTION, 5, 6)

    told(story)


@pytest.mark.parametrize("halted_first", [True, False])
def test_a_halt_and_an_opening_at_once_end_as_one_after_the_other(halted_first: bool):
    async def story(at: Operator) -> None:
        phases = ("HALTED", "OPEN") if halted_first else ("OPEN", "HALTED")
        first, second = await asyncio.gather(*(at.phase(phase) for phase in phases))
        (row,) = (await at.get("/markets"))["markets"]
        if halted_first:
            assert (first[0], second[0], row["phase"]) == (200, 200, "OPEN")
        else:
            # Whoever opens has to look at the chain first, and sees that it was halted meanwhile.
            assert (first[1]["outcome"], row["phase"]) == ("MARKET_HALTED", "HALTED")
        replayed(at)

    told(story)


@pytest.mark.parametrize("delisted_first", [True, False])
def test_a_delisting_and_other_terms_at_once_end_as_one_after_the_other(delisted_first: bool):
    async def story(at: Operator) -> None:
        asked = [
            at.post("/markets/TOKEN-USD/delist"),
            at.post("/markets/TOKEN-USD/terms", taker_fee_ppm=7),
        ]
        answers = await asyncio.gather(*(asked if delisted_first else reversed(asked)))
        statuses = [status for status, _ in answers]
        assert statuses == ([200, 409] if delisted_first else [200, 200])
        (row,) = (await at.get("/markets"))["markets"]
        assert (row["phase"], row["taker_fee_ppm"]) == (
            *("DELISTED", 1_000 if delisted_first else 7),
        )
        replayed(at)

    told(story)


def test_a_drained_exchange_obeys_its_operator_and_a_closed_one_says_that_it_is():
    async def story(at: Operator) -> None:
        await at.done("/drain")
        assert (await at.phase("CANCEL_ONLY"))[0] == 200
        assert (await at.done("/cancel-all", everything=True))["orders"] == 0
        await at.venue.trading.pipeline.close()
        with at.venue.unchanged():
            for path, body in (
                ("/markets/TOKEN-USD/phase", {"phase": "HALTED"}),
                ("/markets/TOKEN-USD/terms", {"taker_fee_ppm": 3}),
                ("/cancel-all", {"market": "TOKEN-USD"}),
                ("/undrain", {}),
                ("/snapshot", {}),
            ):
                status, said = await at.post(path, **body)
                assert (status, said["outcome"]) == (503, "SHUTTING_DOWN"), path
        assert at.venue.lifecycle.draining and not at.venue.snapshots_begun

    told(story)
