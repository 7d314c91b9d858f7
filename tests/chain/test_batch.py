"""Does an encoded batch mean on chain what we computed: head, root, cost, orders per lane?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types import Limits
from settlement.batches.encode import LaneClashError, MatchedTrade, encode_batch, gas_bound
from settlement.protocol import merkle
from settlement.protocol.evidence import OrderBits
from tests.chain.contract_rig import TOKEN, Rig, chain, fixtures, wallet

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


def test_two_orders_of_one_lane_half_are_never_encoded_together(fixtures: Rig) -> None:
    first, second = pair(fixtures, 1, nonce=1), pair(fixtures, 1, nonce=2)
    with pytest.raises(LaneClashError) as clash:
        fixtures.seal([first, second])
    assert (clash.value.account, clash.value.lane) == (wallet(2).address, LANE)


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
