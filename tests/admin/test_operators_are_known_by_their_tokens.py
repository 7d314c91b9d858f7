"""Who has no token gets nothing, whoever asks badly changes nothing, and neither costs much."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gateway.api.admin.tokens import OperatorTokens, TokenFileError
from gateway.cli.main import app
from gateway.http.server import HttpServer
from gateway.node.admin import ADMIN_BUDGETS, create_admin_app
from tests.admin.fixtures import ALICE_TOKEN, BOB_TOKEN, AdminVenue, Operator, told

MUTATIONS = {
    "/tokens": {"symbol": "NEW", "address": "0x" + "33" * 20, "decimals": 18},
    "/markets": {
        "symbol": "USD-TOKEN",
        "base": "USD",
        "quote": "TOKEN",
        "lot_pips": 1,
        "tick_pips": 1,
        "maker_fee_ppm": 0,
        "taker_fee_ppm": 0,
    },
    "/markets/TOKEN-USD/phase": {"phase": "HALTED"},
    "/markets/TOKEN-USD/band": {"lowest_ticks": 1, "highest_ticks": 2},
    "/markets/TOKEN-USD/terms": {"taker_fee_ppm": 1},
    "/markets/TOKEN-USD/delist": {},
    "/cancel-all": {"everything": True},
    "/snapshot": {},
    "/drain": {},
    "/undrain": {},
}
READS = ("/state", "/markets", "/tokens")


def test_without_a_token_of_ours_nothing_is_read_or_done():
    bad: list[dict[str, str]] = [{}] + [
        {"Authorization": value}
        for value in (
            *("Bearer", "Bearer ", "Bearer x", f"Basic {ALICE_TOKEN}", ALICE_TOKEN),
            *(f"Bearer {ALICE_TOKEN[:-1]}", f"Bearer {ALICE_TOKEN}x", "Bearer alice"),
            *(f"Bearer {ALICE_TOKEN.upper()}", "Bearer " + "x" * 4_000),
        )
    ]

    async def story(at: Operator) -> None:
        with at.venue.unchanged():
            for headers in bad:
                for path in READS:
                    answer = await at.http.get(f"/admin/v1{path}", headers=headers)
                    assert answer.status_code == 401
                for path, body in MUTATIONS.items():
                    answer = await at.http.post(
                        f"/admin/v1{path}", json=body | {"reason": "x"}, headers=headers
                    )
                    assert (answer.status_code, answer.json()["outcome"]) == (
                        *(401, "NOT_AUTHENTICATED"),
                    )
                at.venue.clock.ns += 10 * 10**9
        assert (at.venue.snapshots_begun, at.venue.lifecycle.draining) == (0, False)

    told(story)


def test_every_route_that_changes_something_is_among_those_that_are_tried():
    document = create_admin_app(AdminVenue().admin_services).state.document
    import orjson

    paths = orjson.loads(document)["paths"]
    changing = {path for path, operations in paths.items() if "post" in operations}
    wanted = {f"/admin/v1{path}".replace("TOKEN-USD/", "{symbol}/") for path in MUTATIONS}
    assert changing == wanted
    for path in paths.values():
        for operation in path.values():
            assert {"401", "429"} <= set(operation["responses"])


@pytest.mark.parametrize("path", MUTATIONS)
def test_what_is_badly_asked_changes_nothing(path: str):
    async def story(at: Operator) -> None:
        good = MUTATIONS[path]
        with at.venue.unchanged():
            for reason in (None, "", " ", "a\nb", "\x00", "\x1b[2J", "x" * 201, 7, ["x"]):
                assert await at.refused(path, **good | {"reason": reason}) == "MALFORMED"
            assert await at.refused(path, **good, more=1) == "MALFORMED"
            for raw in (
                b"",
                b"[]",
                b"null",
                b"{",
                b"\xff",
                b'{"reason":"a","reason":' + b"[" * 9_000,
            ):
                answer = await at.http.post(f"/admin/v1{path}", content=raw, headers=at.headers)
                assert (answer.status_code, answer.json()["outcome"]) == (400, "MALFORMED")
            large = b'{"reason": "' + b"x" * 70_000 + b'"}'
            answer = await at.http.post(f"/admin/v1{path}", content=large, headers=at.headers)
            assert answer.status_code == 413

    told(story)


def test_what_is_not_there_is_said_and_charged():
    async def story(at: Operator) -> None:
        with at.venue.unchanged():
            for name in ("NO-SUCH", "token-usd", "TOKEN-USD%0a", "x" * 33, "%2e%2e"):
                path = f"/admin/v1/markets/{name}/phase"
                body = {"reason": "x", "phase": "HALTED"}
                answer = await at.http.post(path, json=body, headers=at.headers)
                assert answer.status_code in (400, 404), name
            assert (await at.http.get("/admin/v1/nowhere")).status_code == 404
            assert (await at.http.get("/v1/orders", headers=at.headers)).status_code == 404
            assert (await at.http.put("/admin/v1/drain", headers=at.headers)).status_code == 405
            assert (await at.http.get("/healthz")).json() == {"status": "alive"}

    told(story)


def test_guesses_are_charged_until_there_is_no_budget_left():
    async def story(at: Operator) -> None:
        codes = [
            (await at.http.get("/admin/v1/state", headers={"Authorization": f"Bearer {n}"}))
            for n in range(ADMIN_BUDGETS.requests_per_address + 3)
        ]
        statuses = [answer.status_code for answer in codes]
        most = ADMIN_BUDGETS.requests_per_address
        assert statuses == [401] * most + [429] * 3
        assert (await at.http.post("/admin/v1/drain", content=b"x" * 70_000)).status_code == 429
        at.venue.clock.ns += 10 * 10**9
        assert (await at.get("/state"))["draining"] is False

    told(story)


def test_the_name_in_the_log_is_the_tokens():
    tokens = OperatorTokens({"alice": ALICE_TOKEN, "bob": BOB_TOKEN})
    assert (tokens.name_of(ALICE_TOKEN), tokens.name_of(BOB_TOKEN)) == ("alice", "bob")
    for wrong in ("", "alice", ALICE_TOKEN + " ", "\udcff", "ä" * 40, "x" * 10_000):
        assert tokens.name_of(wrong) is None
    assert ALICE_TOKEN not in repr(tokens) + repr(tokens._digests)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nobody\n",
        "alice\n",
        "alice short\n",
        f"Alice {'a' * 32}\n",
        f"alice {'a' * 32} more\n",
        f"alice {'a' * 32}\nbob {'a' * 32}\n",
        f"alice {'a' * 32}\nalice {'b' * 32}\n",
        f"alice {'a' * 257}\n",
        "x" * 70_000,
        "".join(f"n{n} {n:032d}\n" for n in range(65)),
    ],
)
def test_a_file_of_another_form_is_refused_without_showing_it(tmp_path: Path, text: str):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(TokenFileError) as refused:
        OperatorTokens.load(path)
    assert "a" * 32 not in str(refused.value) and "short" not in str(refused.value)
    ended = CliRunner().invoke(app, ["run", "--data", str(tmp_path), "--admin-tokens", str(path)])
    assert ended.exit_code == 1 and "a" * 32 not in ended.output


def test_comments_and_empty_lines_are_passed_over(tmp_path: Path):
    path = tmp_path / "tokens"
    path.write_text(f"# who\n\n  alice   {ALICE_TOKEN}  \n")
    assert OperatorTokens.load(path).name_of(ALICE_TOKEN) == "alice"


def test_over_a_socket_too_a_large_body_and_an_upgrade_change_nothing():
    async def story() -> None:
        venue = AdminVenue()
        server = HttpServer(create_admin_app(venue.admin_services), "127.0.0.1", 0)
        base = f"http://127.0.0.1:{await server.start()}"
        try:
            with venue.unchanged():
                async with httpx.AsyncClient(base_url=base) as http:
                    assert (await http.post("/admin/v1/drain", content=chunks())).status_code in (
                        *(401, 413),
                    )
                    upgrade = {
                        "Connection": "Upgrade",
                        "Upgrade": "websocket",
                        "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": "x" * 22 + "==",
                    }
                    answer = await http.get("/admin/v1/state", headers=upgrade)
                    assert answer.status_code >= 400
        finally:
            await server.stop()

    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1_000

    asyncio.run(story())
