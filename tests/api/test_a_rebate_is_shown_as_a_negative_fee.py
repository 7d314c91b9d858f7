"""Whoever asks sees what a maker is paid: market, page, fills and stream say the same."""

import asyncio

from engine.commands import set_terms
from tests.api.fixtures import LOT_PIPS, TAKER_FEE, TICK_PIPS, Venue, ask, hear, served

REBATE_PPM = -250


def test_market_page_fills_and_stream_show_the_rebate() -> None:
    async def story() -> None:
        venue = Venue()
        terms = {"maker_fee_ppm": REBATE_PPM, "taker_fee_ppm": TAKER_FEE}
        venue.commit(set_terms(0, lot_pips=LOT_PIPS, tick_pips=TICK_PIPS, **terms))
        async with served(venue) as up:
            (market,) = (await up.http.get("/v1/markets")).json()["markets"]
            config = (await up.http.get("/v1/config")).json()
            assert (market["maker_fee_ppm"], market["taker_fee_ppm"]) == (REBATE_PPM, TAKER_FEE)
            assert config["fees"]["TOKEN-USD"] == terms
            assert "maker a rebate of 250 ppm · taker 1000 ppm" in (await up.http.get("/")).text

            token = await up.token(venue.maker)
            async with up.stream() as socket:
                await ask(socket, op="login", id=1, token=token)
                await ask(socket, op="subscribe", id=2, channel="orders")
                await up.place(venue.maker.order("sell", 7, 2_001))
                taken = await up.place(venue.taker.order("buy", 7, 2_001, single_shot=True))
                frame = await hear(socket)
                while frame.get("type") != "fill":
                    frame = await hear(socket)

            quote = 7 * 2_001 * TICK_PIPS
            rebate = -(quote * -REBATE_PPM // 10**6)
            session = {"Authorization": f"Bearer {token}"}
            (fill,) = (await up.http.get("/v1/fills", headers=session)).json()["fills"]
            assert (fill["role"], fill["fee_pips"]) == ("maker", str(rebate))
            assert fill["fee"] == f"-0.{-rebate:08d}"
            assert frame["fill"]["fee_pips"] == fill["fee_pips"]
            assert taken.json()["fills"][0]["fee"] == f"0.{quote * TAKER_FEE // 10**6:08d}"

    asyncio.run(story())
