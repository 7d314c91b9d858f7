"""A grant is relayed where it can work, for who has money here, a few a day; keys are listed."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.trading.budgets import Budgets
from settlement.protocol.eip712 import (
    KeyGrant,
    KeyRevocation,
    grant_digest,
    revocation_digest,
    sign,
)
from tests.api.fixtures import (
    DOMAIN,
    START_NS,
    TOKEN_ADDRESS,
    USD_ADDRESS,
    Served,
    Venue,
    Wallet,
    served,
)

NOW_S = START_NS // 10**9
KEY = Wallet(77)


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


def grant_by(wallet: Wallet, **changes: Any) -> dict[str, Any]:
    grant = KeyGrant(
        account=wallet.address,
        key=KEY.address,
        base=TOKEN_ADDRESS,
        quote=USD_ADDRESS,
        sides=3,
        expiry=NOW_S + 86_400,
        notional_cap=10**10,
        floor_price=10**8,
        nonce=1,
    )._replace(**changes)
    names = ("account", "key", "base", "quote")
    return {
        **{name: "0x" + getattr(grant, name).hex() for name in names},
        "sides": grant.sides,
        "expiry": grant.expiry,
        "notionalCap": str(grant.notional_cap),
        "floorPrice": str(grant.floor_price),
        "nonce": str(grant.nonce),
        "signature": "0x" + sign(grant_digest(DOMAIN, grant), wallet.secret).hex(),
    }


async def post(up: Served, body: dict[str, Any]) -> httpx.Response:
    return await up.http.post("/v1/keys", json=body)


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("outcome", "")


def test_a_grant_is_relayed_once() -> None:
    async def story(up: Served) -> None:
        body = grant_by(up.venue.maker)
        for _ in range(9):
            answer = await post(up, body)
            assert answer.status_code == 202, answer.text
            assert answer.json()["state"] == "sealed" and answer.json()["error"] is None
        (grant,) = up.venue.settlement.grants.values()
        assert (grant.account, grant.key) == (up.venue.maker.address, KEY.address)

    run(story)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base": USD_ADDRESS}, (404, "UNKNOWN_MARKET")),
        ({"expiry": NOW_S + 299}, (422, "ORDER_EXPIRED")),
        ({"floor_price": 0}, (422, "FLOOR_MISSING")),
        ({"notional_cap": 0}, (403, "KEY_SCOPE")),
        ({"key": bytes(20)}, (403, "KEY_SCOPE")),
        ({"key": DOMAIN.contract}, (403, "KEY_SCOPE")),
    ],
)
def test_what_cannot_work_is_refused_at_nobodys_cost(
    changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    async def story(up: Served) -> None:
        assert outcome(await post(up, grant_by(up.venue.maker, **changes))) == expected
        assert up.venue.settlement.grants == {}

    run(story)


def test_only_the_wallet_itself_grants_and_only_who_has_money_here() -> None:
    async def story(up: Served) -> None:
        maker, stranger = up.venue.maker, Wallet(99)
        forged = grant_by(maker) | {"signature": grant_by(stranger)["signature"]}
        assert outcome(await post(up, forged)) == (401, "BAD_SIGNATURE")
        assert outcome(await post(up, grant_by(stranger))) == (409, "INSUFFICIENT_BALANCE")
        assert outcome(await post(up, grant_by(maker) | {"sides": 4})) == (400, "MALFORMED")
        assert up.venue.settlement.grants == {}

    run(story)


def test_an_account_has_a_few_a_day_and_all_of_them_some() -> None:
    async def story(up: Served) -> None:
        for nonce in range(1, 4):
            answer = await post(up, grant_by(up.venue.maker, nonce=nonce))
            assert answer.status_code == (202 if nonce < 3 else 429), nonce
        again = await post(up, grant_by(up.venue.maker, nonce=1))
        assert again.status_code == 202, "to ask what became of one is free"
        assert (await post(up, grant_by(up.venue.taker))).status_code == 202
        assert (await post(up, grant_by(up.venue.taker, nonce=2))).status_code == 429
        up.venue.clock.ns += 86_400 * 10**9
        later = grant_by(up.venue.taker, nonce=3, expiry=NOW_S + 3 * 86_400)
        assert (await post(up, later)).status_code == 202

    budgets = Budgets(60, 100, 100, 100, 100, grants_per_account=2, grants_per_day=3)
    run(story, budgets=budgets)


def test_keys_are_listed_with_what_is_left() -> None:
    async def story(up: Served) -> None:
        maker, venue = up.venue.maker, up.venue
        mine = {"Authorization": f"Bearer {await up.token(maker)}"}
        assert (await up.http.get("/v1/keys", headers=mine)).json() == {"keys": []}
        key = Wallet(77, account=maker.address)
        venue.grant(key)
        await up.place(key.order("sell", 10, 2_000))
        (row,) = (await up.http.get("/v1/keys", headers=mine)).json()["keys"]
        used = 10 * 2_000 * 10
        assert (row["key"], row["state"]) == ("0x" + key.address.hex(), "live")
        assert int(row["notional_left"]) == int(row["notional_cap"]) - used
        assert row["market"] == "TOKEN-USD"
        venue.trading.keys.revoked(maker.address, key.address)
        (row,) = (await up.http.get("/v1/keys", headers=mine)).json()["keys"]
        assert (row["state"], row["notional_left"]) == ("revoked", "0")
        theirs = {"Authorization": f"Bearer {await up.token(venue.taker)}"}
        assert (await up.http.get("/v1/keys", headers=theirs)).json() == {"keys": []}
        assert (await up.http.get("/v1/keys")).status_code == 401

    run(story)


def test_a_revoked_key_trades_no_more_at_once_and_the_contract_hears_of_it() -> None:
    async def story(up: Served) -> None:
        maker, venue = up.venue.maker, up.venue
        key = Wallet(77, account=maker.address)
        path = "/v1/keys/0x" + key.address.hex()

        def body(by: Wallet, nonce: int = 9) -> dict[str, Any]:
            revocation = KeyRevocation(maker.address, key.address, nonce)
            signature = sign(revocation_digest(DOMAIN, revocation), by.secret)
            return {
                "account": "0x" + maker.address.hex(),
                "nonce": str(nonce),
                "signature": "0x" + signature.hex(),
            }

        async def revoke(json: dict[str, Any]) -> httpx.Response:
            return await up.http.request("DELETE", path, json=json)

        assert outcome(await revoke(body(maker))) == (403, "UNKNOWN_KEY")
        venue.grant(key)
        assert outcome(await revoke(body(key))) == (401, "BAD_SIGNATURE")
        assert (await up.place(key.order("sell", 10, 2_000))).status_code == 201
        for _ in range(2):
            told = await revoke(body(maker))
            assert (told.status_code, told.json()["state"]) == (202, "sealed"), told.text
        assert len(venue.settlement.revocations) == 1
        refused = await up.place(key.order("sell", 10, 2_000))
        assert outcome(refused) == (403, "UNKNOWN_KEY")
        assert (await up.place(maker.order("sell", 10, 2_000))).status_code == 201

    run(story)


@pytest.mark.parametrize("is_relayed", [True, False])
def test_found_a_strangers_copy_of_an_old_revocation_stopped_a_key_that_was_granted_again(
    is_relayed: bool,
) -> None:
    """Its signature stands on chain; whoever sent it again had the newer grant's orders refused."""

    async def story(up: Served) -> None:
        maker, venue = up.venue.maker, up.venue
        key = Wallet(77, account=maker.address)
        revocation = KeyRevocation(maker.address, key.address, 9)
        copied = {
            "account": "0x" + maker.address.hex(),
            "nonce": "9",
            "signature": "0x" + sign(revocation_digest(DOMAIN, revocation), maker.secret).hex(),
        }

        async def send() -> httpx.Response:
            return await up.http.request("DELETE", "/v1/keys/0x" + key.address.hex(), json=copied)

        async def trades() -> bool:
            return (await up.place(key.order("sell", 1, 2_000))).status_code == 201

        venue.grant(key)
        if is_relayed:
            assert (await send()).status_code == 202 and not await trades()
            venue.settlement.relay_state = "final"
        venue.grant(key)  # On chain, with nonce 10.
        venue.settlement.last_grant_nonce = 10
        for _ in range(2):
            assert (await send()).status_code == 202
            assert await trades()

    run(story)
