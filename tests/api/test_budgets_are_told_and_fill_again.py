"""Everybody may ask for so much, is told how much is left, and gets it back with time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.types import Outcome
from gateway.node.settings import Settings
from gateway.trading.budgets import NS, WITHDRAWAL_SECONDS, Budgets, RateLimits
from gateway.trading.rejection import Rejection
from tests.api.fixtures import USD_ADDRESS, Served, Venue, served

BUDGETS = Budgets(10, 20, 40, 20, 40, 30)


def run(story: Callable[[Served], Any], **options: Any) -> None:
    async def whole() -> None:
        async with served(Venue(**options)) as up:
            await story(up)

    asyncio.run(whole())


class Watch:
    def __init__(self) -> None:
        self.now = 10**15

    def now_ns(self) -> int:
        return self.now


def spent(limits: RateLimits, who: str) -> int:
    """Ask until it is refused; return how often it was not."""
    for count in range(10_000):
        try:
            limits.request(who)
        except Rejection as rejection:
            assert rejection.outcome == Outcome.RATE_LIMITED
            return count
    raise AssertionError("no bound")


def test_a_whole_budget_may_be_spent_at_once_and_comes_back_evenly() -> None:
    watch = Watch()
    limits = RateLimits(BUDGETS, watch.now_ns)

    assert spent(limits, "a") == 20 and spent(limits, "b") == 20
    watch.now += NS
    assert spent(limits, "a") == 2, "twenty in ten seconds"
    watch.now += 100 * NS
    assert spent(limits, "a") == 20, "never more than the budget"


def test_retry_after_is_when_the_next_one_is_taken() -> None:
    watch = Watch()
    limits = RateLimits(Budgets(10, 2, 2, 2, 2, 2), watch.now_ns)
    assert spent(limits, "a") == 2
    with pytest.raises(Rejection) as refused:
        limits.request("a")
    wait = refused.value.retry_after

    assert wait == 5
    watch.now += (wait - 1) * NS
    with pytest.raises(Rejection):
        limits.request("a")
    watch.now += NS
    limits.request("a")


def test_found_many_addresses_gave_everybody_a_fresh_budget() -> None:
    """The windows were dropped when there were many names; now full ones are forgotten."""
    watch = Watch()
    limits = RateLimits(BUDGETS, watch.now_ns)
    assert spent(limits, "flood") == 20
    for number in range(3_000):
        limits.request(f"10.{number >> 8}.{number & 255}.1")
        watch.now += 10**6
    assert spent(limits, "flood") == 6, "what three seconds give back"


def test_a_maker_with_fifty_levels_a_side_lives_with_what_serve_allows() -> None:
    watch = Watch()
    budgets = Settings._field_defaults["budgets"]
    limits = RateLimits(budgets, watch.now_ns)
    maker = bytes(20)
    for second in range(60):
        for _ in range(100):
            limits.order_request("a")
            limits.order(maker)
            limits.cancel_request("a")
            limits.cancel(maker)
        limits.request("a")
        watch.now += NS
        assert limits.orders_left(maker).left > 0, second


def test_answers_tell_budgets_and_the_configuration_names_them() -> None:
    async def story(up: Served) -> None:
        config = (await up.http.get("/v1/config")).json()
        assert config["budgets"] == BUDGETS._asdict()
        assert config["limits"]["fills_max"] == 64

        placed = await up.place(up.venue.maker.order("sell", 1, 2_000))
        assert placed.headers["ratelimit-policy"] == '"order-request";q=30;w=10, "order";q=20;w=10'
        left = placed.headers["ratelimit"]
        assert left.startswith('"order-request";r=29;t=1, "order";r=19;t=1')
        session = {"Authorization": f"Bearer {await up.token(up.venue.maker)}"}
        path = f"/v1/orders/{placed.json()['order_id']}"
        gone = await up.http.delete(path, headers=session)
        assert '"cancel";r=39;t=1' in gone.headers["ratelimit"]

        for _ in range(20):
            over = await up.http.get("/v1/markets")
        assert over.status_code == 429 and over.headers["retry-after"] == "1"
        assert over.headers["ratelimit"].startswith('"request";r=0;t=')

    run(story, budgets=BUDGETS)


def test_a_stranger_is_not_told_what_is_left_to_an_account() -> None:
    async def story(up: Served) -> None:
        forged = up.venue.maker.order("sell", 1, 2_000) | {"signature": "0x" + "ff" * 64 + "1b"}
        answer = await up.place(forged)
        assert "order-request" in answer.headers["ratelimit"]
        assert '"order"' not in answer.headers["ratelimit"]

    run(story, budgets=BUDGETS)


def test_a_used_withdrawal_that_a_stranger_sends_again_costs_its_owner_nothing() -> None:
    async def story(up: Served) -> None:
        withdrawal = up.venue.maker.withdrawal(10**8)
        assert (await up.http.post("/v1/withdrawals", json=withdrawal)).status_code == 202
        for _ in range(5):
            await up.http.post("/v1/withdrawals", json=withdrawal)
        another = up.venue.maker.withdrawal(10**8)
        assert (await up.http.post("/v1/withdrawals", json=another)).status_code == 202

    run(story, budgets=BUDGETS._replace(withdrawals_per_account=2))


def test_six_withdrawals_a_minute_and_then_one_every_ten_seconds() -> None:
    """Each costs the operator a transaction; what nobody asked for is not saved up."""
    watch = Watch()
    limits = RateLimits(Settings._field_defaults["budgets"], watch.now_ns)
    owner, other = bytes(20), bytes([1]) * 20

    def taken() -> int:
        for count in range(100):
            try:
                limits.withdrawal(owner)
            except Rejection as rejection:
                assert rejection.outcome == Outcome.RATE_LIMITED
                assert rejection.figures["budget"] == "withdrawal"
                assert str(rejection.retry_after) == rejection.figures["retry_after"]
                return count
        raise AssertionError("no bound")

    assert taken() == 6
    limits.withdrawal(other)
    watch.now += 10 * NS - 1
    assert taken() == 0
    watch.now += 1
    assert taken() == 1
    watch.now += 3_600 * NS
    assert taken() == 6


def test_the_seventh_withdrawal_is_refused_before_anything_is_debited() -> None:
    async def story(up: Served) -> None:
        owner = up.venue.maker
        for _ in range(6):
            answer = await up.http.post("/v1/withdrawals", json=owner.withdrawal(10**8))
            assert answer.status_code == 202
        before = up.venue.exchange.balance(owner.account, USD_ADDRESS)
        answer = await up.http.post("/v1/withdrawals", json=owner.withdrawal(10**8))

        assert (answer.status_code, answer.json()["code"]) == (429, Outcome.RATE_LIMITED)
        assert 0 < int(answer.headers["retry-after"]) <= WITHDRAWAL_SECONDS // 6
        assert up.venue.exchange.balance(owner.account, USD_ADDRESS) == before

    run(story, budgets=Settings._field_defaults["budgets"])
