"""Orders over REST: what is accepted, what is refused, and what a refusal tells."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.api.v1.encoding import decimal_text
from settlement.protocol.eip712 import ORDER_TYPE
from tests.api.fixtures import DOMAIN, Served, Venue, Wallet, served


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


def test_a_signed_order_rests_trades_and_is_told_the_same_on_both_sides() -> None:
    async def story(up: Served) -> None:
        maker, taker = up.venue.maker, up.venue.taker
        resting = await up.place(maker.order("sell", 50_000, 2_000, client_id="ask-1"))
        assert resting.status_code == 201, resting.text
        assert resting.json()["resting_lots"] == 50_000 and resting.json()["fills"] == []

        taken = await up.place(taker.order("buy", 20_000, 2_100, single_shot=True))
        assert taken.status_code == 201, taken.text
        (fill,) = taken.json()["fills"]
        assert (fill["price"], fill["quantity"]) == ("2.000", "2.0000")
        assert fill["fee"] == decimal_text(20_000 * 2_000 * 10 // 1_000), "1000 ppm of the notional"
        assert taken.json()["resting_lots"] == 0

        session = {"Authorization": f"Bearer {await up.token(maker)}"}
        (left,) = (await up.http.get("/v1/orders", headers=session)).json()["orders"]
        assert (left["client_id"], left["lots_open"], left["open"]) == ("ask-1", 30_000, "3.0000")
        (mine,) = (await up.http.get("/v1/fills", headers=session)).json()["fills"]
        assert (mine["role"], mine["side"], mine["lots"]) == ("maker", "sell", 20_000)
        assert mine["settlement"] == {"state": "matched", "batch": None, "tx_hash": None}

        gone = await up.http.delete(f"/v1/orders/{left['order_id']}", headers=session)
        assert gone.status_code == 200, gone.text
        assert (await up.http.get("/v1/orders", headers=session)).json()["orders"] == []
        again = await up.http.delete(f"/v1/orders/{left['order_id']}", headers=session)
        assert (again.status_code, again.json()["outcome"]) == (409, "NOT_RESTING")

        book = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        assert book["asks"] == [] and book["bids"] == []

    run(story)


def test_the_same_order_again_is_the_same_order() -> None:
    async def story(up: Served) -> None:
        body = up.venue.maker.order("sell", 10, 2_000)
        first, second = await up.place(body), await up.place(body)
        assert second.status_code == 201
        assert second.json() == first.json()
        book = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        assert [level["lots"] for level in book["asks"]] == [10], "placed once"

    run(story)


def test_a_session_key_may_sign_for_its_account() -> None:
    async def story(up: Served) -> None:
        key = Wallet(77, account=up.venue.maker.address)
        refused = await up.place(key.order("sell", 10, 2_000))
        assert (refused.status_code, refused.json()["outcome"]) == (403, "UNKNOWN_KEY")
        up.venue.grant(key)
        taken = await up.place(key.order("sell", 10, 2_000))
        assert taken.status_code == 201, taken.text

    run(story)


@pytest.mark.parametrize("signature", ["other wallet", "changed field", "no such point", "high s"])
def test_a_bad_signature_shows_what_we_checked(signature: str) -> None:
    async def story(up: Served) -> None:
        body = up.venue.maker.order("sell", 10, 2_000)
        good = body["signature"]
        match signature:
            case "other wallet":
                body["signature"] = "0x" + Wallet(99).sign_order(body).hex()
            case "changed field":
                body["quoteAmount"] = str(int(body["quoteAmount"]) * 2)
            case "no such point":
                body["signature"] = "0x" + "ff" * 64 + "1b"
            case "high s":
                body["signature"] = good[:66] + "f" * 64 + good[-2:]
        before = up.venue.engine.state_hash()

        answer = await up.place(body)

        problem = answer.json()
        recoverable = signature in ("other wallet", "changed field")
        assert answer.status_code in (401, 403)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["outcome"] == ("UNKNOWN_KEY" if recoverable else "BAD_SIGNATURE")
        assert problem["type_string"] == ORDER_TYPE
        assert problem["domain"]["verifyingContract"] == "0x" + DOMAIN.contract.hex()
        assert len(problem["digest"]) == 66
        if signature == "other wallet":
            assert problem["recovered"] == "0x" + Wallet(99).address.hex()
        assert (problem["recovered"] is not None) == recoverable
        assert up.venue.engine.state_hash() == before, "nothing changed"

    run(story)


def test_a_dry_run_tells_digest_and_signer_and_places_nothing() -> None:
    async def story(up: Served) -> None:
        body = up.venue.maker.order("sell", 10, 2_000)
        told = (await up.http.post("/v1/orders/digest", json=body)).json()
        assert told["signed_by_account"] and told["recovered"] == body["account"]
        del body["signature"]
        unsigned = (await up.http.post("/v1/orders/digest", json=body)).json()
        assert unsigned["digest"] == told["digest"] and unsigned["recovered"] is None
        book = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        assert book["asks"] == []

    run(story)


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("expired", {"expiry": 1}, 422, "ORDER_EXPIRED"),
    ("unknown market", {"quote": "0x" + "33" * 20}, 404, "UNKNOWN_MARKET"),
    ("off tick", {"quoteAmount": "200001"}, 422, "OFF_TICK"),
    ("off lot", {"baseAmount": "100001"}, 422, "OFF_LOT"),
    ("too much", {"baseAmount": str(10**16)}, 409, "INSUFFICIENT_BALANCE"),
    ("nothing", {"baseAmount": "0"}, 422, "AMOUNT_OUT_OF_RANGE"),
    ("beyond money", {"quoteAmount": str(2**62)}, 422, "AMOUNT_OUT_OF_RANGE"),
    ("beyond uint64", {"nonce": str(2**64)}, 400, "MALFORMED"),
    ("no lane", {"lane": 0}, 422, "BAD_LANE"),
    ("low lane", {"lane": 0x7FFF}, 422, "BAD_LANE"),
    ("fee cap", {"maxFeePpm": 10}, 422, "FEE_CAP_TOO_LOW"),
]


def test_what_cannot_be_done_is_refused_with_its_reason() -> None:
    async def story(up: Served) -> None:
        book = (await up.http.get("/v1/markets/TOKEN-USD/book")).json()
        for name, changes, status, outcome in REFUSED:
            lots = 10**12 if name == "too much" else 10
            answer = await up.place(up.venue.maker.order("sell", lots, 2_000, **changes))
            problem = answer.json()
            assert (answer.status_code, problem["outcome"]) == (status, outcome), (name, problem)
            assert problem["status"] == status and problem["retryable"] is False, name
            assert problem["detail"] and problem["title"] and problem["code"] > 0, name
        assert (await up.http.get("/v1/markets/TOKEN-USD/book")).json() == book, "nothing changed"

    run(story)


MALFORMED: list[bytes] = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"order"',
    b"\xff\xfe",
    b'{"account": 1}',
    b"[" * 30_000,
    b'{"a":' * 10_000,
    b'{"account": "0x' + b"1" * 40 + b'"}',
]


def test_a_malformed_body_is_a_400() -> None:
    async def story(up: Served) -> None:
        for body in MALFORMED:
            answer = await up.http.post("/v1/orders", content=body)
            assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED"), body[:40]

    run(story)


WRONG_FIELDS: list[dict[str, Any]] = [
    {"price": "1"},
    {"nonce": 1},
    {"nonce": "01"},
    {"nonce": "-1"},
    {"nonce": "1e3"},
    {"nonce": " 1"},
    {"nonce": "1\n"},
    {"baseAmount": 1.5},
    {"flags": 2048},
    {"flags": True},
    {"lane": 65536},
    {"expiry": 2**32},
    {"expiry": "1"},
    {"account": "0x12"},
    {"account": "0x" + "1" * 40 + "\n"},
    {"signature": "0x" + "1" * 128},
    {"signature": "0x" + "1" * 130 + "\n"},
    {"ref": "0x" + "1" * 64 + "\n"},
    {"client_id": "x" * 37},
    {"client_id": "<b>"},
    {"ref": None},
]


def test_a_field_that_is_unknown_or_out_of_bounds_is_a_400() -> None:
    async def story(up: Served) -> None:
        good = up.venue.maker.order("sell", 10, 2_000)
        for change in WRONG_FIELDS:
            answer = await up.place(good | change)
            assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED"), change
        assert (await up.place(good)).status_code == 201, "and the good one still works"

    run(story)


def test_a_body_over_the_limit_is_a_413_before_it_is_read() -> None:
    async def story(up: Served) -> None:
        answer = await up.http.post("/v1/orders", content=b" " * 65_537)
        assert (answer.status_code, answer.json()["outcome"]) == (413, "BODY_TOO_LARGE")
        assert (await up.http.post("/v1/orders", content=b" " * 65_536)).status_code == 400

        # No length is announced: the limit must hold while the body comes in, and the answer must
        # come although the body never ends.
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
        async with asyncio.timeout(5):
            status = await reader.readline()
            rest = await reader.read()
        assert b"413" in status and b"BODY_TOO_LARGE" in rest, "answered and closed"
        writer.close()

    run(story)


def test_a_withdrawal_needs_the_wallet_itself() -> None:
    async def story(up: Served) -> None:
        owner = up.venue.maker
        key = Wallet(77, account=owner.address)
        up.venue.grant(key)
        refused = await up.http.post("/v1/withdrawals", json=key.withdrawal(10**8))
        assert (refused.status_code, refused.json()["outcome"]) == (401, "BAD_SIGNATURE")
        taken = await up.http.post("/v1/withdrawals", json=owner.withdrawal(10**8))
        assert taken.status_code == 202, taken.text
        session = {"Authorization": f"Bearer {await up.token(owner)}"}
        rows = (await up.http.get("/v1/balances", headers=session)).json()["balances"]
        assert rows[1]["available_pips"] == str(10**15 - 10**8) and rows[1]["held"] == "0.00000000"

    run(story)
