"""Does the contract move exactly the money that the plain-dict mirror says it moves?"""

import random
from typing import Any

import pytest

from engine.types import FEE_MAX_PPM
from settlement.batches.encode import MatchedTrade
from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import KeyGrant
from settlement.protocol.evidence import OrderBits, SignedOrder
from tests.chain.contract_model import Mirror, RefusedError
from tests.chain.contract_rig import OPERATOR, TOKEN, Refused, Rig, Wallet, chain, fixtures, wallet

__all__ = ["chain", "fixtures"]

TRADERS = [wallet(n) for n in range(1, 6)]
SESSION_KEY = wallet(0x5E55)
LANES = (0x8000, 0xFFFF)
BATCHES = 24
FLOOR_PRICE = 2_400 * TOKEN
LANE_KINDS = (0, 0, 8, 8 | 32, 64, 64 | 16, 64 | 1024, 128, 128 | 8 | 32)
SHOT_KINDS = (0, 0, 16)
WRONG_KINDS = (4, 8, 32, 64, 128, 1024, 1 << 11, 1 << 15)
"""Further flags of an order, and such as no single shot may have."""


class Market:
    """Draws orders and trades that mostly fit, and sometimes just do not."""

    def __init__(self, fixtures: Rig, seed: int) -> None:
        self.fixtures, self.dice = fixtures, random.Random(seed)
        self.mirror = Mirror()
        self.resting: dict[Any, SignedOrder] = {}
        self.window: dict[bytes, int] = {}
        for trader in TRADERS:
            self.deposit(trader, fixtures.quote, self.dice.randint(10**10, 10**12), -100)
            self.deposit(trader, fixtures.base, self.dice.randint(10**18, 9 * 10**19), 10**10)
        self.grant(TRADERS[0])

    def deposit(self, trader: Wallet, token: bytes, raw: int, unit_scale: int) -> None:
        raw -= raw % unit_scale if unit_scale > 0 else 0
        self.fixtures.deposit(trader, token, raw)
        pips = raw // unit_scale if unit_scale > 0 else raw * -unit_scale
        self.mirror.credit(trader.address, token, pips)

    def grant(self, trader: Wallet) -> None:
        fixtures, cap = self.fixtures, 30_000 * TOKEN
        grant = KeyGrant(
            trader.address, SESSION_KEY.address, fixtures.base, fixtures.quote, 3, 2**32 - 1, cap,
            FLOOR_PRICE, 1,
        )  # fmt: skip
        signature = eip712.sign(eip712.grant_digest(fixtures.domain, grant), trader.secret)
        fixtures.send(OPERATOR, fixtures.exchange, encode_call("grantKey", tuple(grant), signature))
        self.mirror.keys[grant.account, grant.key] = grant

    def rarely(self) -> bool:
        """Whether to spoil something; about every second batch has nothing spoiled."""
        return self.dice.random() < 0.08

    def price(self, side: OrderBits) -> int:
        low, high = (2_400, 2_500) if side & OrderBits.SELL else (2_500, 2_600)
        return (
            self.dice.randint(2_300, 2_600) if self.rarely() else self.dice.randint(low, high)
        ) * TOKEN

    def single_shot(self, owner: Wallet, side: OrderBits) -> SignedOrder:
        ahead = self.dice.choice([-3, 0]) if self.rarely() else self.dice.choice([1, 2, 5, 30])
        nonce = max(1, self.window.get(owner.address, 0) + ahead)
        self.window[owner.address] = max(nonce, self.window.get(owner.address, 0))
        return self.sign(owner, side | OrderBits.SINGLE_SHOT, 0, nonce)

    def on_lane(self, owner: Wallet, side: OrderBits) -> SignedOrder:
        half = self.dice.choice([OrderBits(0), OrderBits.UPPER_HALF])
        lane = self.dice.choice(LANES)
        key = (owner.address, lane, bool(half))
        old = self.resting.get(key)
        if old and self.dice.random() < 0.6:
            return old
        step = -1 if self.rarely() else self.dice.choice([1, 3])
        nonce = max(1, (old.nonce if old else 0) + step)
        self.resting[key] = self.sign(owner, side | half, lane, nonce)
        return self.resting[key]

    def sign(self, owner: Wallet, flags: OrderBits, lane: int, nonce: int) -> SignedOrder:
        # A wrong one on a lane would spoil every batch to come.
        wrong = not lane and self.dice.random() < 0.03
        kinds = WRONG_KINDS if wrong else LANE_KINDS if lane else SHOT_KINDS
        flags |= OrderBits(self.dice.choice(kinds) | self.dice.choice([0, 256, 512, 768]))
        base, price = self.dice.randint(TOKEN, 9 * TOKEN), self.price(flags)
        by_key = owner is TRADERS[0] and self.dice.random() < 0.5
        return self.fixtures.order(
            owner,
            signer=SESSION_KEY if by_key else owner,
            flags=int(flags),
            lane=lane,
            nonce=nonce,
            base_amount=base,
            quote_amount=base * price // TOKEN,
            ref=self.dice.randbytes(32),
            trigger_or_display=self.dice.choice([0, 1, 2**64 - 1, self.dice.randrange(2**64)]),
            max_fee_ppm=self.dice.choice([1_000, 5_000, 2**16 - 1]),
        )

    def trades(self) -> list[MatchedTrade]:
        count = self.dice.randint(1, 4)
        drawn: list[MatchedTrade] = []
        for _ in range(count):
            buyer, seller = self.dice.sample(TRADERS, 2)
            buy = self.single_shot(buyer, OrderBits(0))
            sell = self.on_lane(seller, OrderBits.SELL)
            if self.dice.random() < 0.3 and drawn:
                sell = drawn[-1].sell
            if sell.account == buy.account or not sell.flags & OrderBits.SELL:
                continue
            most = min(buy.base_amount, sell.base_amount)
            base = most + 1 if self.rarely() else self.dice.randint(1, most // 3)
            limits = sorted(base * o.quote_amount // o.base_amount for o in (sell, buy))
            quote = self.dice.randint(limits[0] + 1, max(limits[0] + 1, limits[1]))
            fee = FEE_MAX_PPM + 1 if self.rarely() else self.dice.choice([0, 1, 999, 1_000])
            maker_fee = -fee - 9 if self.rarely() else self.dice.choice([fee // 2, -fee])
            drawn.append(MatchedTrade(len(drawn), 1, 0, buy, sell, base, quote, fee, maker_fee))
        return drawn

    def check(self) -> None:
        """Chain and mirror agree on every balance, fee, lane and on the head."""
        fixtures, mirror = self.fixtures, self.mirror
        assert fixtures.call("head") == mirror.head
        assert fixtures.call("nextBatch") == mirror.next_batch
        for token in (fixtures.base, fixtures.quote):
            assert fixtures.call("feesOf", token) == mirror.fees.get(token, 0)
            for trader in TRADERS:
                held = mirror.balances.get((trader.address, token), 0)
                assert fixtures.balance(trader.address, token) == held
        for (account, lane, upper), state in mirror.lanes.items():
            assert tuple(fixtures.call("laneOf", account, lane, upper)) == state
        left = fixtures.call("keyOf", TRADERS[0].address, SESSION_KEY.address)[5]
        assert left == mirror.keys[TRADERS[0].address, SESSION_KEY.address].notional_cap


@pytest.mark.parametrize("seed", range(3))
def test_random_batches_leave_what_the_mirror_says(fixtures: Rig, seed: int) -> None:
    market = Market(fixtures, seed)
    accepted, refused = 0, set()
    for number in range(BATCHES):
        trades = market.trades()
        batch = fixtures.seal(trades)
        try:
            market.mirror.settle(batch, trades)
        except RefusedError as expected:
            with pytest.raises(Refused) as actual:
                fixtures.settle(batch)
            assert actual.value.error == expected.error
            refused.add(expected.error)
        else:
            assert fixtures.settle(batch)["gasUsed"] <= batch.gas_limit
            accepted += 1
        if number % 8 == 7:
            market.check()
    assert accepted >= BATCHES // 4, "otherwise the walk proves little"
    assert len(refused) >= 3, refused


def test_a_batch_on_another_history_is_refused(fixtures: Rig) -> None:
    batch = fixtures.seal([], prev_head=b"\x01" * 32)
    with pytest.raises(Refused, match="WrongPrevHead") as refused:
        fixtures.settle(batch)
    assert refused.value.figures == (bytes(32), b"\x01" * 32)


def test_the_same_bytes_settle_once(fixtures: Rig) -> None:
    batch = fixtures.seal([])
    fixtures.settle(batch)
    with pytest.raises(Refused, match="BatchOutOfOrder") as refused:
        fixtures.settle(batch)
    assert refused.value.figures == (2, 1)


def test_a_partly_filled_resting_order_does_not_settle_twice(fixtures: Rig) -> None:
    maker, taker = wallet(1), wallet(2)
    fixtures.deposit(taker, fixtures.quote, 10_000 * 10**6)
    fixtures.deposit(maker, fixtures.base, 5 * 10**18)
    sell = fixtures.order(maker, flags=int(OrderBits.SELL), lane=0x8000, base_amount=4 * TOKEN,
                     quote_amount=10_000 * TOKEN)  # fmt: skip
    trade = MatchedTrade(1, 1, 0, fixtures.order(taker), sell, TOKEN, 2_500 * TOKEN, 0, 0)
    fixtures.settle(fixtures.seal([trade]))
    with pytest.raises(Refused, match="NonceUsed"):
        fixtures.settle(fixtures.seal([trade]))
    again = trade._replace(buy=fixtures.order(taker, nonce=2))
    fixtures.settle(fixtures.seal([again]))
    assert fixtures.call("laneOf", maker.address, 0x8000, False) == [1, 2 * TOKEN]
