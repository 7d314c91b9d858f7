"""What will the vault hold after this? The contract's money and replay rules on plain dicts.

A second, slower telling of ``Exchange`` without packing and signatures. Tests hold the two together
on random batches; reconciliation asks it what balances a run of batches must leave. A batch applies
whole or not at all, like on chain: ``settle`` raises before it changes anything.
"""

from dataclasses import dataclass, field
from typing import Final

from engine.types import FEE_MAX_PPM, PIPS_PER_TOKEN
from settlement.batches.encode import (
    FIRST_BATCH,
    GENESIS_HEAD,
    EncodedBatch,
    MatchedTrade,
    lane_half,
    listed_once,
    signed_fee_pips,
)
from settlement.protocol.eip712 import KeyGrant
from settlement.protocol.evidence import OrderBits, SignedOrder

UINT64_MAX: Final = 2**64 - 1
WINDOW_SIZE: Final = 24
WINDOW_NONCE_LIMIT: Final = 2**40
FLAGS_END: Final = 1 << 11
WAITING: Final = 4 | 8 | 32 | 64 | 128 | 1024

LaneHalf = tuple[bytes, int, bool]
Holding = tuple[bytes, bytes]
"""(account, token)."""


class RefusedError(ValueError):
    """The contract would revert; ``error`` is the name of its typed error."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass
class Mirror:
    """Balances, fees and what each account's orders have used up; amounts in pips."""

    balances: dict[Holding, int] = field(default_factory=dict)
    fees: dict[bytes, int] = field(default_factory=dict)
    spent_nonces: dict[bytes, set[int]] = field(default_factory=dict)
    """Nonces in the replay window: those less than ``WINDOW_SIZE`` below the highest."""
    lanes: dict[LaneHalf, tuple[int, int]] = field(default_factory=dict)
    """Nonce and filled base pips."""
    keys: dict[Holding, KeyGrant] = field(default_factory=dict)
    """Grants by (account, key); ``notional_cap`` is what is left of it."""
    head: bytes = GENESIS_HEAD
    next_batch: int = FIRST_BATCH
    last_close_time: int = 0

    def credit(self, account: bytes, token: bytes, pips: int) -> None:
        """A deposit arrived."""
        held = self.balances.get((account, token), 0) + pips
        if held > UINT64_MAX:
            raise RefusedError("BalanceOverflow")
        self.balances[account, token] = held

    def debit(self, account: bytes, token: bytes, pips: int) -> None:
        """A withdrawal or exit left, or a trade's price was paid."""
        held = self.balances.get((account, token), 0)
        if pips > held:
            raise RefusedError("InsufficientBalance")
        self.balances[account, token] = held - pips

    def settle(self, batch: EncodedBatch, trades: list[MatchedTrade]) -> None:
        """Apply ``trades`` as ``batch``. Raises ``RefusedError`` and changes nothing."""
        header = batch.header
        if trades and header.command_count == 0:
            raise RefusedError("TradesWithoutCommands")
        if header.batch != self.next_batch:
            raise RefusedError("BatchOutOfOrder")
        if header.prev_head != self.head:
            raise RefusedError("WrongPrevHead")
        if header.close_time < self.last_close_time:
            raise RefusedError("CloseTimeTooEarly")
        after = self._copy()
        after._apply(header.close_time, trades)
        after.head = batch.head
        after.next_batch = header.batch + 1
        after.last_close_time = header.close_time
        self.__dict__.update(after.__dict__)

    # ---------------------------------------------------------------- inside a batch

    def _copy(self) -> "Mirror":
        return Mirror(
            balances=dict(self.balances),
            fees=dict(self.fees),
            spent_nonces={account: set(spent) for account, spent in self.spent_nonces.items()},
            lanes=dict(self.lanes),
            keys=dict(self.keys),
        )

    def _apply(self, close_time: int, trades: list[MatchedTrade]) -> None:
        orders = {order.digest: order for order in listed_once(trades)}
        for order in orders.values():
            self._admit(order, close_time)
        filled = dict.fromkeys(orders, 0)
        for trade in trades:
            self._trade(trade)
            filled[trade.buy.digest] += trade.base_pips
            filled[trade.sell.digest] += trade.base_pips
        for digest, base_pips in filled.items():
            self._count_fills(orders[digest], base_pips)

    def _admit(self, order: SignedOrder, close_time: int) -> None:
        if order.flags >= FLAGS_END:
            raise RefusedError("UnknownFlags")
        if order.expiry < close_time:
            raise RefusedError("OrderExpired")
        if order.signer != order.account:
            self._check_key(order, close_time)
        if lane_half(order) is None:
            if order.flags & WAITING:
                raise RefusedError("ContradictoryFlags")
            self._spend(order)

    def _spend(self, order: SignedOrder) -> None:
        if not 0 < order.nonce < WINDOW_NONCE_LIMIT:
            raise RefusedError("NonceOutOfRange")
        spent = self.spent_nonces.setdefault(order.account, set())
        oldest = max(spent, default=0) - WINDOW_SIZE
        if order.nonce in spent or order.nonce <= oldest:
            raise RefusedError("NonceUsed")
        spent.add(order.nonce)
        spent -= {nonce for nonce in spent if nonce <= max(spent) - WINDOW_SIZE}

    def _check_key(self, order: SignedOrder, close_time: int) -> None:
        grant = self.keys.get((order.account, order.signer))
        if grant is None:
            raise RefusedError("WrongSigner")
        market = (grant.base, grant.quote)
        side_granted = grant.sides >> (order.flags & OrderBits.SELL) & 1
        if market != (order.base, order.quote) or not side_granted:
            raise RefusedError("KeyOutOfScope")
        if grant.expiry < close_time:
            raise RefusedError("KeyExpired")
        if (
            order.flags & OrderBits.SELL
            and order.quote_amount * PIPS_PER_TOKEN < order.base_amount * grant.floor_price
        ):
            raise RefusedError("BelowFloorPrice")

    def _trade(self, trade: MatchedTrade) -> None:
        buy, sell, base, quote = trade.buy, trade.sell, trade.base_pips, trade.quote_pips
        if buy.flags & OrderBits.SELL or not sell.flags & OrderBits.SELL:
            raise RefusedError("WrongSide")
        if (buy.base, buy.quote) != (sell.base, sell.quote):
            raise RefusedError("MarketMismatch")
        if base == 0:
            raise RefusedError("EmptyTrade")
        if quote * buy.base_amount > base * buy.quote_amount:
            raise RefusedError("BuyLimitBroken")
        if quote * sell.base_amount < base * sell.quote_amount:
            raise RefusedError("SellLimitBroken")
        buy_fee = _fee(quote, trade.buy_fee_ppm, buy.max_fee_ppm)
        sell_fee = _fee(quote, trade.sell_fee_ppm, sell.max_fee_ppm)
        if buy_fee + sell_fee < 0:
            raise RefusedError("RebateAboveFee")

        self.fees[buy.quote] = self.fees.get(buy.quote, 0) + buy_fee + sell_fee
        self.debit(buy.account, buy.quote, quote + buy_fee)
        self.credit(buy.account, buy.base, base)
        self.debit(sell.account, sell.base, base)
        self.credit(sell.account, sell.quote, quote - sell_fee)
        for order in (buy, sell):
            if order.signer != order.account:
                self._charge_key(order, base)

    def _charge_key(self, order: SignedOrder, base: int) -> None:
        grant = self.keys[order.account, order.signer]
        # At the order's own limit, so that a better price can never use up more than was promised.
        notional = base * order.quote_amount // order.base_amount
        if notional > grant.notional_cap:
            raise RefusedError("KeyCapExceeded")
        left = grant._replace(notional_cap=grant.notional_cap - notional)
        self.keys[order.account, order.signer] = left

    def _count_fills(self, order: SignedOrder, base_pips: int) -> None:
        half = lane_half(order)
        if half is not None:
            nonce, before = self.lanes.get(half, (0, 0))
            if order.nonce < nonce:
                raise RefusedError("LaneReplaced")
            base_pips += before if order.nonce == nonce else 0
            self.lanes[half] = (order.nonce, base_pips)
        if base_pips > order.base_amount:
            raise RefusedError("Overfilled")


def _fee(quote_pips: int, fee_ppm: int, cap_ppm: int) -> int:
    if fee_ppm > min(cap_ppm, FEE_MAX_PPM):
        raise RefusedError("FeeTooHigh")
    return signed_fee_pips(quote_pips, fee_ppm)
