"""Does an encoded batch mean on chain what we computed: head, root, cost, orders per lane?"""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types import Limits
from settlement.batches.encode import MatchedTrade, encode_batch, gas_bound, lane_half, listed_once
from settlement.protocol import merkle
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder
from tests.chain.contract_rig import TOKEN, Refused, Rig, chain, fixtures, wallet

__all__ = ["chain", "fixtures"]

LANE = 0x8000
hashes = st.binary(min_size=32, max_size=32)


def pair(fixtures: Rig, number: int, nonce: int = 1, lane: int = LANE) -> MatchedTrade:
    """A taker's single-shot buy against a maker's resting sale, accounts of their own."""
    maker, taker = wallet(2 * number), wallet(2 * number + 1)
    buy = fixtures.order(taker, nonce=nonce)
    sell = fixtures.order(maker, nonce=nonce, flags=int(OrderBits.SELL), lane=lane)
    return MatchedTrade(number, number, 0, buy, sell, TOKEN, 2_500 * TOKEN, 1_000, 500)


def test_the_head_we_predict_is_the_chains_head(fixtures: Rig) -> None:
    fixtures.deposit(wallet(3), fixtures.quote, 10_000 * 10**6)
    fixtures.deposit(wallet(2), fixtures.base, 5 * 10**18)

    batch = fixtures.seal([pair(fixtures, 1)])
    receipt = fixtures.settle(batch)

    settled = fixtures.events(receipt, "BatchSettled")
    assert [event["head"] for event in settled] == [batch.head]
    assert [event["tradesRoot"] for event in settled] == [batch.trades_root]
    assert fixtures.call("head") == fixtures.call("batchHash", 1) == batch.head
    assert fixtures.call("nextBatch") == 2


def test_an_empty_batch_keeps_the_operator_alive(fixtures: Rig) -> None:
    batch = fixtures.seal([])
    fixtures.travel(10)
    fixtures.settle(batch)
    assert batch.trades_root == merkle.EMPTY_ROOT
    assert fixtures.call("lastBatchAt") == fixtures.now()


def test_no_batch_costs_more_than_its_bound(fixtures: Rig) -> None:
    for count in (1, 12):
        trades = [pair(fixtures, 100 * count + n, lane=LANE + n) for n in range(count)]
        for trade in trades:
            fixtures.deposit(wallet(2 * trade.trade_id + 1), fixtures.quote, 10_000 * 10**6)
            fixtures.deposit(wallet(2 * trade.trade_id), fixtures.base, 5 * 10**18)
        batch = fixtures.seal(trades)
        # Every word but the deposited ones is new here: the dear case.
        assert fixtures.settle(batch)["gasUsed"] <= batch.gas_limit


def test_the_bound_lets_a_hundred_trades_into_a_transaction() -> None:
    assert gas_bound(orders=200, trades=100, words=300) <= 2**24, "EIP-7825"


def test_one_command_fits_a_transaction_whatever_it_wakes() -> None:
    """An order with one fill, stops with one fill each while a whole order's fills are left, and
    a last one with all of them; three words an order where no two share one."""
    limits = Limits()
    takers = limits.trades - limits.fills + 1
    orders = limits.trades + takers
    assert gas_bound(orders, limits.trades, 3 * orders) <= 2**24, "EIP-7825"


def test_an_order_and_what_replaces_it_settle_in_one_batch(fixtures: Rig) -> None:
    """On two lanes with the two markets in turn: no order of markets alone would be right."""
    maker, taker = wallet(2), wallet(3)
    for who in (maker, taker):
        fixtures.deposit(who, fixtures.quote, 10_000 * 10**6)
        fixtures.deposit(who, fixtures.base, 50 * 10**18)
    here, there = (fixtures.base, fixtures.quote), (fixtures.quote, fixtures.base)
    trades = []
    for lane, markets in ((LANE, (here, there)), (LANE + 1, (there, here))):
        for nonce, (base, quote) in enumerate(markets, start=1):
            terms = {"base": base, "quote": quote, "quote_amount": TOKEN}
            number = len(trades) + 1
            sell = fixtures.order(maker, nonce=nonce, flags=int(OrderBits.SELL), lane=lane, **terms)
            buy = fixtures.order(taker, nonce=number, **terms)
            trades.append(MatchedTrade(number, number, 0, buy, sell, TOKEN, TOKEN, 0, 0))

    receipt = fixtures.settle(fixtures.seal(trades))

    assert receipt["gasUsed"] <= gas_bound(orders=8, trades=4, words=4)
    for lane in (LANE, LANE + 1):
        assert fixtures.call("laneOf", maker.address, lane, False) == [2, TOKEN]
    with pytest.raises(Refused, match="LaneReplaced"):
        late = trades[0]._replace(buy=fixtures.order(taker, nonce=9, quote_amount=TOKEN))
        fixtures.settle(fixtures.seal([late]))


def test_single_shots_far_apart_keep_to_the_window_whatever_their_markets(fixtures: Rig) -> None:
    """A nonce 24 or more behind one that was listed before it is dead on chain."""
    maker = wallet(2)
    fixtures.deposit(maker, fixtures.quote, 10_000 * 10**6)
    fixtures.deposit(maker, fixtures.base, 50 * 10**18)
    here, there = (fixtures.base, fixtures.quote), (fixtures.quote, fixtures.base)
    trades = []
    for taker, markets in ((wallet(3), (here, there)), (wallet(5), (there, here))):
        fixtures.deposit(taker, fixtures.quote, 10_000 * 10**6)
        fixtures.deposit(taker, fixtures.base, 50 * 10**18)
        for nonce, (base, quote) in zip((1, 100), markets, strict=True):
            terms = {"base": base, "quote": quote, "quote_amount": TOKEN}
            number = len(trades) + 1
            sell = fixtures.order(
                maker, nonce=1, flags=int(OrderBits.SELL), lane=LANE + number, **terms
            )
            buy = fixtures.order(taker, nonce=nonce, **terms)
            trades.append(MatchedTrade(number, number, 0, buy, sell, TOKEN, TOKEN, 0, 0))

    fixtures.settle(fixtures.seal(trades))

    for taker in (wallet(3), wallet(5)):
        assert fixtures.call("windowOf", taker.address) == [100, 1]


@given(drawn=st.lists(st.tuples(*[st.integers(0, 3)] * 4), max_size=12), shuffled=st.randoms())
def test_lower_nonces_are_listed_first_and_markets_lie_together(
    drawn: list[tuple[int, int, int, int]], shuffled: random.Random
) -> None:
    orders = [unsigned(*fields) for fields in drawn]
    shuffled.shuffle(orders)
    trades = [MatchedTrade(0, 0, 0, one, one, 1, 1, 0, 0) for one in orders]

    listed = listed_once(trades)

    assert {one.digest for one in listed} == {one.digest for one in orders}
    assert len(listed) == len({one.digest for one in orders}), "each once"
    counted: dict[object, list[int]] = {}
    for one in listed:
        counted.setdefault(lane_half(one) or one.account, []).append(one.nonce)
    assert all(nonces == sorted(nonces) for nonces in counted.values())
    changes = sum(a.base != b.base for a, b in pairwise(listed))
    rounds = max((len(set(nonces)) for nonces in counted.values()), default=1)
    assert changes < 4 * rounds, "each market once a round"


def unsigned(market: int, account: int, lane: int, nonce: int) -> SignedOrder:
    """An order whose signature nobody looks at; lane 0 is a single shot."""
    fields = bytes([market, account, lane, nonce])
    return SignedOrder(
        account=fields[1:2] * 20,
        nonce=nonce,
        flags=0 if lane else int(OrderBits.SINGLE_SHOT),
        lane=LANE + lane if lane else 0,
        base=fields[:1] * 20,
        quote=b"q" * 20,
        base_amount=1,
        quote_amount=1,
        trigger_or_display=0,
        expiry=1,
        max_fee_ppm=0,
        ref=ZERO_REF,
        signature=b"",
        signer=b"",
        digest=fields,
    )


def test_both_halves_of_a_lane_word_fit_into_one_batch(fixtures: Rig) -> None:
    first = pair(fixtures, 1)
    upper = int(OrderBits.SELL | OrderBits.UPPER_HALF)
    sell = fixtures.order(wallet(2), nonce=1, flags=upper, lane=LANE)
    second = first._replace(sell=sell, buy=fixtures.order(wallet(3), nonce=2))
    batch = encode_batch(fixtures.seal([]).header, [first, second], fixtures.token_numbers)
    assert len(batch.leaves) == 2


@given(leaves=st.lists(hashes, min_size=1, max_size=40, unique=True), forged=hashes)
def test_a_leaf_proves_its_own_place_and_no_other(leaves: list[bytes], forged: bytes) -> None:
    root, count = merkle.root(leaves), len(leaves)
    for index, leaf in enumerate(leaves):
        path = merkle.path(leaves, index)
        assert merkle.verify(leaf, index, count, path, root)
        assert not merkle.verify(leaf, count, count, path, root), "no such index"
        assert not merkle.verify(leaf, index, count, [*path, forged], root), "too long"
        assert not path or not merkle.verify(leaf, index, count, path[:-1], root), "too short"
        assert leaf == forged or not merkle.verify(forged, index, count, path, root), "forged"
