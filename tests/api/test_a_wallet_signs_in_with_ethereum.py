"""EIP-4361: read strictly, meant for us, once; and what its session asks for carries it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from gateway.trading.rejection import Rejection
from gateway.trading.siwe_logon import NONCE_SECONDS, Nonces
from settlement.protocol.checksum import checksum_address
from settlement.protocol.evidence import SiweLogin, decode
from settlement.protocol.siwe import SiweError, parsed, personal_digest
from tests.api.fixtures import START_NS, Served, Venue, Wallet, served

SITE = "https://x.example"


def run(story: Callable[[Served], Any]) -> None:
    async def whole() -> None:
        async with served(Venue(), public_url=SITE) as up:
            await story(up)

    asyncio.run(whole())


def stamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


NOW_S = START_NS // 10**9


async def message(up: Served, wallet: Wallet, **changes: str) -> str:
    told = (await up.http.get("/v1/sessions/nonce")).json()
    fields = {
        "domain": told["domain"],
        "address": checksum_address(wallet.address),
        "uri": told["uri"],
        "chain": str(told["chain_id"]),
        "nonce": told["nonce"],
        "issued": stamp(NOW_S),
        "more": "",
        "resource": told["resource"],
    } | changes
    return (
        f"{fields['domain']} wants you to sign in with your Ethereum account:\n"
        f"{fields['address']}\n\nTrade.\n\nURI: {fields['uri']}\nVersion: 1\n"
        f"Chain ID: {fields['chain']}\nNonce: {fields['nonce']}\nIssued At: {fields['issued']}"
        f"{fields['more']}\nResources:\n- {fields['resource']}"
    )


async def sign_in(up: Served, text: str, wallet: Wallet) -> httpx.Response:
    signed = Account.sign_message(encode_defunct(text=text), wallet.secret)
    body = {"message": text, "signature": "0x" + signed.signature.hex().removeprefix("0x")}
    return await up.http.post("/v1/sessions", json=body)


def test_a_signed_message_opens_a_session_once_and_stands_beside_its_cancels() -> None:
    async def story(up: Served) -> None:
        maker = up.venue.maker
        text = await message(up, maker, more=f"\nExpiration Time: {stamp(NOW_S + 3_600)}")
        opened = await sign_in(up, text, maker)
        assert opened.status_code == 201, opened.text
        assert opened.json()["expires_at"] == NOW_S + 3_600
        assert opened.json()["account"] == "0x" + maker.address.hex()
        again = await sign_in(up, text, maker)
        assert (again.status_code, again.json()["detail"]) == (
            401,
            "the nonce was used; ask for another",
        )
        mine = {"Authorization": f"Bearer {opened.json()['token']}"}
        placed = (await up.place(maker.order("sell", 10, 2_000))).json()
        gone = await up.http.delete(f"/v1/orders/{placed['order_id']}", headers=mine)
        assert gone.status_code == 200
        (row,) = up.venue.history[-1].attachments
        proof = decode(row)
        assert isinstance(proof, SiweLogin) and proof.message == text

    run(story)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"domain": "evil.example"}, 401, "the message is for evil.example"),
        ({"uri": "https://evil.example"}, 401, "URI"),
        ({"uri": "http://x.example"}, 401, "URI"),
        ({"chain": "1"}, 422, "the chain is 31337"),
        ({"resource": "urn:other"}, 422, "name the resource"),
        ({"nonce": "abcdefgh12345"}, 401, "the nonce is not one of"),
        ({"issued": stamp(NOW_S - 301)}, 401, "issued more than"),
        ({"issued": stamp(NOW_S + 301)}, 401, "issued more than"),
        ({"more": f"\nExpiration Time: {stamp(NOW_S)}"}, 401, "not good now"),
        ({"more": f"\nNot Before: {stamp(NOW_S + 1)}"}, 401, "not good now"),
        ({"address": "0x" + "11" * 20}, 401, "the signature is by"),
        ({"more": "\nSomething: else"}, 400, "no message of EIP-4361"),
    ],
)
def test_a_message_that_is_not_for_us_now_opens_none(
    changes: dict[str, str], status: int, words: str
) -> None:
    async def story(up: Served) -> None:
        answer = await sign_in(up, await message(up, up.venue.maker, **changes), up.venue.maker)
        assert answer.status_code == status, answer.text
        assert words in answer.json()["detail"]

    run(story)


def test_a_login_is_one_of_both_forms() -> None:
    async def story(up: Served) -> None:
        login = up.venue.maker.login()
        for body in (
            login | {"message": "x"},
            {"signature": login["signature"]},
            {"signature": login["signature"], "account": login["account"]},
        ):
            answer = await up.http.post("/v1/sessions", json=body)
            assert answer.status_code == 400, body

    run(story)


GOOD = (
    "https://x.example:8443 wants you to sign in with your Ethereum account:\n"
    "0x1111111111111111111111111111111111111111\n\n"
    "I accept.\n\nURI: https://x.example/login\nVersion: 1\nChain ID: 1\nNonce: 32891757\n"
    "Issued At: 2021-09-30T16:25:24.000Z\nExpiration Time: 2021-09-30T18:25:24+02:00\n"
    "Not Before: 2021-09-30T16:25:24Z\nRequest ID: a-1\nResources:\n- urn:a:b\n- https://x/y.json"
)


def test_all_that_the_grammar_knows_is_read() -> None:
    said = parsed(GOOD)
    assert (said.domain, said.statement, said.chain_id) == ("x.example:8443", "I accept.", 1)
    assert said.issued_at == said.not_before == said.expires_at == 1_633_019_124
    assert (said.request_id, said.resources) == ("a-1", ("urn:a:b", "https://x/y.json"))
    assert personal_digest(GOOD) == encode_digest(GOOD)
    without = parsed(GOOD.replace("I accept.\n\n", "\n"))
    assert without.statement == ""


def encode_digest(text: str) -> bytes:
    from eth_account.messages import _hash_eip191_message

    return bytes(_hash_eip191_message(encode_defunct(text=text)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" wants you", " wantz you"),
        ("https://x.example:8443 ", "https:// "),
        ("0x1111", "0x111g"),
        ("\n\nI accept.", "\nI accept."),
        ("I accept.", "I accept\u00e9."),
        ("I accept.\n", "I accept.\nreally\n"),
        ("Version: 1", "Version: 2"),
        ("Chain ID: 1", "Chain ID: 01"),
        ("Nonce: 32891757", "Nonce: 3289175"),
        ("Nonce: 32891757", "Nonce: 3289175-"),
        ("2021-09-30T16:25:24.000Z", "2021-09-30 16:25:24Z"),
        ("2021-09-30T16:25:24.000Z", "2021-02-30T16:25:24Z"),
        ("Request ID: a-1\n", "Request ID: a 1\n"),
        ("Resources:", "Resources: "),
        ("- urn:a:b", "* urn:a:b"),
        ("- urn:a:b", "- not a uri"),
        ("x/y.json", "x/y.json\n"),
        ("URI: https://x.example/login\n", ""),
        ("Not Before", "Before Not"),
        ("I accept.", "a" * 1_001),
    ],
)
def test_what_the_grammar_does_not_know_is_no_message(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(SiweError):
        parsed(GOOD.replace(old, new, 1))


def test_nonces_are_ours_good_for_five_minutes_once_and_bounded() -> None:
    now = [START_NS]
    count = iter(range(1_000))

    def nonces(secret: bytes = b"s" * 32) -> Nonces:
        return Nonces(secret, lambda: now[0], lambda size: next(count).to_bytes(size, "big"), 2)

    ours = nonces()
    first, ends = ours.issue()
    assert ends == NOW_S + NONCE_SECONDS
    for other in (nonces(b"t" * 32).issue()[0], first[:-2] + "00", "", "zz" * 29, first + "00"):
        with pytest.raises(Rejection, match="not one of"):
            ours.use(other)
    ours.use(first)
    for again in (first, first.upper()):
        with pytest.raises(Rejection, match="was used"):
            ours.use(again)
    late, _ = ours.issue()
    second, _ = ours.issue()
    third, _ = ours.issue()
    ours.use(second)
    with pytest.raises(Rejection, match="too many"):
        ours.use(third)
    now[0] += NONCE_SECONDS * 10**9
    with pytest.raises(Rejection, match="is over"):
        ours.use(late)
    ours.use(ours.issue()[0])


def test_found_a_message_in_the_log_opened_a_second_session_after_a_restart() -> None:
    """Secrets outlive a restart, and which nonces were used did not."""
    now_s = NOW_S

    def begun() -> Nonces:
        return Nonces(bytes(32), lambda: now_s * 10**9, bytes)

    before = begun()
    nonce, _ = before.issue()
    before.use(nonce)
    now_s += 1
    after = begun()
    with pytest.raises(Rejection, match="before a restart"):
        after.use(nonce)
    after.use(after.issue()[0])


def test_pages_of_other_sites_may_ask_what_brings_its_own_proof() -> None:
    async def story(up: Served) -> None:
        asked = {
            "Origin": "https://other.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        told = await up.http.options("/v1/orders", headers=asked)
        assert told.status_code == 200 and told.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in told.headers
        assert "POST" in told.headers["access-control-allow-methods"]
        assert "ratelimit" in told.headers, "charged like any other"
        origin = {"Origin": "https://other.example"}
        for path in ("/v1/markets", "/v1/balances", "/openapi.json"):
            answer = await up.http.get(path, headers=origin)
            assert answer.headers["access-control-allow-origin"] == "*", path
            assert "RateLimit" in answer.headers["access-control-expose-headers"]
        for path in ("/", "/metrics", "/sandbox/x"):
            answer = await up.http.get(path, headers=origin)
            assert "access-control-allow-origin" not in answer.headers, path

    run(story)
