"""An order is counted in a market's lots and ticks when it is admitted. No command comes between
that and its own place in the log that would have it read in others."""

import asyncio

from engine.commands import set_terms
from engine.types import Outcome
from tests.admission.fixtures import ALICE, BOB, FEE_PPM, LOT_PIPS, TICK_PIPS
from tests.asked import BY_TEST
from tests.e2e.fixtures import Venue, settle_down

COARSER = {"lot_pips": 2 * LOT_PIPS, "tick_pips": 2 * TICK_PIPS}
FEES = {"maker_fee_ppm": FEE_PPM, "taker_fee_ppm": FEE_PPM}


def test_found_one_that_was_admitted_while_terms_changed_was_read_in_the_new_ones():
    async def story():
        async with Venue() as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            venue.storage.gate.clear()
            early = asyncio.create_task(venue.exchange.place(ALICE.order(lane=0x8000, nonce=1)))
            await settle_down()
            change = asyncio.create_task(venue.pipeline.submit(set_terms(0, **COARSER, **FEES)))
            await settle_down()
            late = asyncio.create_task(venue.exchange.place(BOB.order(lane=0x8000, nonce=1)))
            cancel = asyncio.create_task(venue.exchange.cancel(BOB.address, 7, BY_TEST))
            await settle_down()
            assert late.done(), "it is told at once, and spends nothing"
            refused = await late
            assert (refused.outcome, refused.sequence) == (Outcome.OVERLOADED, 0)
            assert "changing" in refused.detail["why"]
            venue.storage.gate.set()
            assert (await early).accepted and (await change).accepted
            assert (await cancel).outcome is Outcome.NOT_RESTING, "cancels are taken"
            await settle_down()

            again = await venue.exchange.place(BOB.order(lane=0x8000, nonce=1))
            assert again.accepted
            rested = venue.engine.depth(0, 0, 9) or venue.engine.depth(0, 1, 9)
            assert rested == [(100, 5)], "ten lots of before are five now"

    asyncio.run(story())


def test_found_who_stopped_waiting_for_new_terms_let_orders_in_that_met_them():
    """Found: the answer that nobody waited for any more counted as given."""

    async def story():
        async with Venue() as venue:
            await venue.list_all()
            await venue.fund(ALICE)
            venue.storage.gate.clear()
            busy = asyncio.create_task(venue.exchange.tick())
            await settle_down()
            change = asyncio.create_task(venue.pipeline.submit(set_terms(0, **COARSER, **FEES)))
            await settle_down()
            change.cancel()
            await settle_down()
            late = asyncio.create_task(venue.exchange.place(ALICE.order(lane=0x8000, nonce=1)))
            await settle_down()
            venue.storage.gate.set()
            await busy
            assert (await late).outcome is Outcome.OVERLOADED
            assert (await venue.exchange.tick()).accepted
            assert venue.catalog.markets[0].lot_pips == 2 * LOT_PIPS, "it happens all the same"

    asyncio.run(story())
