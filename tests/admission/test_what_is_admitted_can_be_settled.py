"""Does the contract take, in trade order, whatever admission admits and the engine fills?

Random orders, cancels, keys and time on a live driver; what one taker trades goes to one mirror of
the contract as a batch of its own, and to another with all that a batch may carry: orders and what
replaced them on their lane halves. Both end alike. Now and then the journal is replayed into a
fresh admission, which must answer as the live one does.
"""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from engine.commands import Kind, command
from engine.events import EventKind
from engine.types import Side
from settlement.batches.encode import EncodedBatch, Header, MatchedTrade
from settlement.orders.nonces import Rejection
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.protocol.evidence import OrderBits
from tests.admission.fixtures import (
    ALICE,
    ALICES_KEY,
    BOB,
    BOBS_KEY,
    FEE_PPM,
    LANE,
    LOT_PIPS,
    NS,
    PLENTY,
    START,
    TICK_PIPS,
    TOKEN,
    USD,
    Driver,
    grant_for,
)
from tests.chain.contract_model import Mirror

WISHES = (
    [ALICE, BOB, ALICES_KEY, BOBS_KEY],
    list(Side),
    range(1, 7),
    [50, 99, 100, 101, 200],
    [1, 1, 1, 1, 2, 0, -1, -3, 7],
    [0, 0, *range(LANE, LANE + 6)],
    [
        *[OrderBits(0)] * 6,
        *[OrderBits.UPPER_HALF] * 2,
        *[OrderBits.POST_ONLY, OrderBits.POST_ONLY | OrderBits.REPRICE],
        *[OrderBits.ICEBERG, OrderBits.ICEBERG | OrderBits.POST_ONLY | OrderBits.REPRICE],
        *[OrderBits.STOP] * 2,
        *[OrderBits.STOP | OrderBits.IMMEDIATE, OrderBits.STOP | OrderBits.FILL_OR_KILL],
    ],
    [0, 0, 256, 512, 768],
    [99, 100, 101],
    range(1, 16),
)
"""Signer, side, lots, ticks, step of the nonce, lane, further flags, self-trade mode, trigger,
seconds to live."""

SCOPES = st.tuples(
    st.sampled_from([*[MAY_BUY | MAY_SELL] * 4, MAY_SELL, MAY_BUY]),
    st.integers(5, 40),
    st.sampled_from([1, 1, 1, 100]),
    st.sampled_from([60, 60, 6]),
)


class Settled:
    """The contract's rules, fed with one batch for each taker."""

    def __init__(self):
        self.mirror = Mirror()
        for owner in (ALICE, BOB):
            for token in (USD, TOKEN):
                self.mirror.credit(owner.address, token, PLENTY)

    def settle(self, now_ns, trades):
        """Settle ``trades`` as a batch; ``RefusedError`` is what this test looks for."""
        mirror = self.mirror
        header = Header(mirror.next_batch, mirror.head, now_ns // NS, bytes(32), 1, 1)
        head = mirror.next_batch.to_bytes(32, "big")
        mirror.settle(EncodedBatch(header, b"", head, bytes(32), 0, []), trades)


class SettledTogether(Settled):
    """The same in batches as long as they can be: cut where an order would be dead."""

    def __init__(self):
        super().__init__()
        self.waiting, self.last_ns = [], 0

    def settle(self, now_ns, trades):
        """Let ``trades`` join those that wait."""
        if any(order.expiry < now_ns // NS for t in self.waiting for order in (t.buy, t.sell)):
            self.cut()
        self.waiting += trades
        self.last_ns = now_ns

    def cut(self):
        """Settle all that wait as one batch."""
        if self.waiting:
            super().settle(self.last_ns, self.waiting)
            self.waiting = []


def evidence(market, event, orders, now_ns):
    """Return the trade in ``event`` with the two signed orders behind it."""
    taker, maker = (orders[int(event[name])] for name in ("order_id", "maker_id"))
    buy, sell = (taker, maker) if event["side"] == Side.BUY else (maker, taker)
    lots, ticks = int(event["amount"]), int(event["price_ticks"])
    return MatchedTrade(
        trade_id=int(event["trade_id"]),
        sequence=int(event["sequence"]),
        time_ns=now_ns,
        buy=buy,
        sell=sell,
        base_pips=market.base_pips(lots),
        quote_pips=market.quote_pips(lots, ticks),
        buy_fee_ppm=FEE_PPM,
        sell_fee_ppm=FEE_PPM,
    )


class Drivers(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.driver, self.settled, self.together = Driver(), Settled(), SettledTogether()
        self.orders, self.digests, self.nonce = {}, [], 2

    @initialize(scopes=st.lists(SCOPES, min_size=2, max_size=2))
    def wallets_grant_their_keys(self, scopes):
        for key, (sides, lots, floor, seconds) in zip((ALICES_KEY, BOBS_KEY), scopes, strict=True):
            grant = grant_for(
                key,
                sides=sides,
                notional_cap=lots * 100 * TICK_PIPS,
                floor_price=floor * 10**6,
                expiry=START + seconds,
            )
            self.driver.grant(grant)
            for settled in (self.settled, self.together):
                settled.mirror.keys[grant.account, grant.key] = grant

    @rule(seed=st.integers(0, 2**32), count=st.sampled_from([40, 20, 5, 2]))
    def orders_are_signed(self, seed, count):
        dice = Random(seed)  # Hypothesis alone makes days too quiet for books to cross.
        for _ in range(count):
            self.place(*(dice.choice(choices) for choices in WISHES))

    def place(self, who, side, lots, ticks, step, lane, bits, mode, trigger, seconds):
        flags = OrderBits.SELL if side == Side.SELL else OrderBits(0)
        flags |= OrderBits(mode)
        if lane:
            flags |= bits
        else:
            flags |= OrderBits.SINGLE_SHOT | bits & OrderBits.FILL_OR_KILL
        special = 0
        if flags & OrderBits.STOP:
            special = lots * trigger * TICK_PIPS
        elif flags & OrderBits.ICEBERG:
            special = LOT_PIPS
        expiry = self.driver.now_ns // NS + seconds
        self.nonce = max(0, self.nonce + step)
        order = who.order(
            side,
            lots,
            ticks,
            nonce=self.nonce,
            lane=lane,
            flags=int(flags),
            expiry=expiry,
            trigger_or_display=special,
        )
        admission, now_ns = self.driver.admission, self.driver.now_ns
        if admission.first(order.digest) and not admission.may_try_again(order, now_ns):
            return
        admitted = self.driver.admit(order)
        if isinstance(admitted, Rejection):
            return
        self.carry_out(admitted, order)

    def carry_out(self, admitted, order):
        events = self.driver.commit(admitted, order)
        self.digests.append(order.digest)
        if events[0]["kind"] == EventKind.ACCEPTED:
            self.orders[int(events[0]["order_id"])] = order
        market, now_ns = self.driver.catalog.markets[0], self.driver.now_ns
        trades = [
            evidence(market, event, self.orders, now_ns)
            for event in events[events["kind"] == EventKind.TRADE]
        ]
        if trades:
            self.settled.settle(now_ns, trades)
            self.together.settle(now_ns, trades)

    def teardown(self):
        self.however_batches_are_cut_they_leave_the_same()

    @rule()
    def however_batches_are_cut_they_leave_the_same(self):
        self.together.cut()
        one, other = self.settled.mirror, self.together.mirror
        assert (one.balances, one.fees, one.lanes) == (other.balances, other.fees, other.lanes)
        assert (one.spent_nonces, one.keys) == (other.spent_nonces, other.keys)

    @precondition(lambda self: self.driver.engine.orders_live)
    @rule(choice=st.integers(0, 99))
    def an_order_is_cancelled(self, choice):
        live = sorted(self.driver.engine.state.orders)
        order_id = live[choice % len(live)]
        account = self.driver.engine.state.orders[order_id].account
        self.driver.commit(command(Kind.CANCEL, account=account, order_id=order_id))

    @precondition(lambda self: self.driver.engine.orders_live)
    @rule(choice=st.integers(0, 99), lots=st.integers(1, 6), ticks=st.sampled_from([99, 100, 101]))
    def an_order_is_sent_right_behind_the_cancel_of_its_lane(self, choice, lots, ticks):
        live = sorted(self.driver.engine.state.orders)
        order_id = live[choice % len(live)]
        old = self.orders[order_id]
        who = ALICE if old.account == ALICE.address else BOB
        self.nonce += 1
        order = who.order(
            Side(old.flags & OrderBits.SELL),
            lots,
            ticks,
            nonce=self.nonce,
            lane=old.lane,
            flags=old.flags & (OrderBits.SELL | OrderBits.UPPER_HALF),
        )
        self.driver.admission.cancel_queued(who.address, order_id)
        admitted = self.driver.admit(order)
        self.driver.cancel(who, order_id)
        if not isinstance(admitted, Rejection):
            self.carry_out(admitted, order)

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds):
        self.driver.now_ns += seconds * NS
        if self.driver.admission.has_expired(self.driver.now_ns):
            self.driver.commit(command(Kind.CLOCK))
        assert not self.driver.admission.has_expired(self.driver.now_ns)

    @rule()
    def a_restart_changes_no_answer(self):
        live, again = self.driver, self.driver.replayed()
        for digest in self.digests:
            assert again.admission.first(digest) == live.admission.first(digest)
        for who in (ALICE, BOB, ALICES_KEY, BOBS_KEY):
            assert again.admission.next_nonce(who.account) == live.admission.next_nonce(who.account)
            scope = (who.account, who.address)
            assert again.admission.budgets.left(*scope) == live.admission.budgets.left(*scope)
            orders = live.admission.open_orders_of_key(*scope)
            assert again.admission.open_orders_of_key(*scope) == orders
            for side, lane in ((Side.SELL, 0), (Side.SELL, LANE), (Side.BUY, LANE + 1)):
                probe = who.order(side, nonce=self.nonce, lane=lane, expiry=START + 10)
                assert again.asks(probe) == live.asks(probe), probe
        later = live.now_ns + 4 * NS
        assert again.admission.has_expired(later) == live.admission.has_expired(later)

    @invariant()
    def a_key_is_charged_for_what_traded_and_what_may_yet_trade(self):
        state = self.driver.engine.state
        for key in (ALICES_KEY, BOBS_KEY):
            left = self.settled.mirror.keys.get((key.account, key.address))
            if left is None:
                continue
            open_pips = sum(
                order.quote_amount * (live.lots + live.hidden) * LOT_PIPS // order.base_amount
                for order_id, live in state.orders.items()
                if (order := self.orders[order_id]).signer == key.address
            )
            promised = self.driver.admission.budgets.left(key.account, key.address)
            assert promised == left.notional_cap - open_pips

    @invariant()
    def ledger_and_contract_hold_the_same(self):
        for number, owner in enumerate((ALICE, BOB)):
            for token, address in enumerate((USD, TOKEN)):
                ledger = self.driver.engine.available(number, token)
                ledger += self.driver.engine.held(number, token)
                assert ledger == self.settled.mirror.balances[owner.address, address]


TestDesks = Drivers.TestCase
TestDesks.settings = settings(max_examples=40, stateful_step_count=10, deadline=None)
