"""What came in, what goes out, and how far it is; after a restart too."""

import asyncio
from collections.abc import Callable
from typing import Any

from engine.commands import Kind, command
from gateway.views.transfers import Transfers
from settlement.outbox.actions import WithdrawalState
from settlement.protocol.evidence import WithdrawalReturned
from tests.api.fixtures import TOKEN_ADDRESS, USD_ADDRESS, Served, Venue, served


def run(story: Callable[[Served], Any]) -> None:
    async def whole() -> None:
        async with served(Venue()) as up:
            await story(up)

    asyncio.run(whole())


def test_deposits_are_listed_newest_first_page_by_page() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        for amount in range(1, 6):
            up.venue.deposit(maker.address, TOKEN_ADDRESS, amount)
        mine = {"Authorization": f"Bearer {await up.token(maker)}"}
        first = (await up.http.get("/v1/deposits?limit=3", headers=mine)).json()
        assert [row["amount_pips"] for row in first["deposits"]] == ["5", "4", "3"]
        assert first["deposits"][0]["amount"] == "0.00000005"
        assert first["deposits"][0]["ref"] is None
        path = f"/v1/deposits?limit=3&before={first['next']}"
        second = (await up.http.get(path, headers=mine)).json()
        assert [row["amount_pips"] for row in second["deposits"]][:2] == ["2", "1"]
        path = f"/v1/deposits?limit=3&before={second['next']}"
        third = (await up.http.get(path, headers=mine)).json()
        assert len(third["deposits"]) == 1 and third["next"] is None, "of the start"
        assert (await up.http.get("/v1/deposits")).status_code == 401

    run(story)


def test_a_withdrawal_says_how_far_it_is_and_why_it_came_back() -> None:
    async def story(up: Served) -> None:
        maker, venue = up.venue.maker, up.venue
        mine = {"Authorization": f"Bearer {await up.token(maker)}"}
        for amount in (100, 200):
            answer = await up.http.post("/v1/withdrawals", json=maker.withdrawal(amount))
            assert answer.status_code == 202, answer.text

        async def listed() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = (
                await up.http.get("/v1/withdrawals", headers=mine)
            ).json()["withdrawals"]
            return rows

        second, first = await listed()
        assert (first["amount_pips"], first["state"], first["tx_hash"]) == ("100", "debited", None)
        for state, told in (
            ("sealed", "countersigned"),
            ("broadcast", "submitted"),
            ("mined", "mined"),
            ("final", "final"),
        ):
            known = WithdrawalState(state, b"\x07" * 32, None)
            venue.settlement.withdrawals[first["sequence"]] = known
            assert (await listed())[1]["state"] == told
        assert (await listed())[1]["tx_hash"] == "0x" + "07" * 32
        refused = WithdrawalState("failed", None, "Blocked()")
        venue.settlement.withdrawals[second["sequence"]] = refused
        assert ((await listed())[0]["state"], (await listed())[0]["reason"]) == (
            "refused",
            "Blocked()",
        )
        usd = venue.exchange.catalog.token_by_address(USD_ADDRESS)
        assert usd is not None
        row = command(Kind.DEPOSIT, account=0, token=usd.number, amount=200)
        venue.commit(row, WithdrawalReturned(second["sequence"], "it would not have it"))
        back, _ = await listed()
        assert (back["state"], back["returned_pips"]) == ("returned", "200")
        assert back["reason"] == "it would not have it"
        deposits = (await up.http.get("/v1/deposits", headers=mine)).json()["deposits"]
        assert len(deposits) == 2, "what comes back is no deposit"

    run(story)


def test_it_is_rebuilt_by_replay_and_by_a_snapshot_and_bounded() -> None:
    venue = Venue()
    for amount in range(1, 9):
        venue.deposit(venue.maker.address, TOKEN_ADDRESS, amount)
    catalog, maker = venue.exchange.catalog, venue.maker.address
    lived = venue.services.transfers
    replayed, restored, small = Transfers(catalog), Transfers(catalog), Transfers(catalog, 4, 5)
    for batch in venue.history:
        replayed.consume(batch)
        small.consume(batch)
    restored.load(lived.save())
    whole = lived.deposits(maker, 2**63, 100)
    assert len(whole) == 10
    assert replayed.deposits(maker, 2**63, 100) == restored.deposits(maker, 2**63, 100) == whole
    assert replayed.save() == restored.save() == lived.save()
    assert small.deposits(maker, 2**63, 100) == whole[:4]
    assert len(small.deposits(venue.taker.address, 2**63, 100)) == 1, "five of all"
