"""How does Python drive the kernels?

``Engine`` owns the arrays and brings event buffers; every decision is made in the kernels.
"""

import numpy as np

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.core import canon, check
from engine.core.bits import next_above, next_below
from engine.core.jit import i64, kernel
from engine.core.layout import NO_ASK, NO_BID, NO_SLOT, State, new_state
from engine.core.run import BROKEN_SEQUENCE, run
from engine.events import EVENT, Events
from engine.types import Limits, Side

ROWS_PER_COMMAND = 3
ROWS_SPARE = 64


@kernel
def lots_at(state: State, market: int, price: int) -> int:
    """Return the open lots of all orders at one price."""
    lots = 0
    slot = i64(state.levels[market, price]["head"])
    while slot != NO_SLOT:
        lots += state.orders[slot]["lots"]
        slot = i64(state.orders[slot]["next"])
    return lots


class Engine:
    """All markets and the whole ledger of one shard, on compiled kernels."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty, with room for ``limits``."""
        self._limits = limits
        self._state = new_state(limits)

    def apply(self, commands: Commands) -> Events:
        """Carry out ``commands`` in order and return all their events.

        ``commands`` is a COMMAND array whose sequences follow the last one applied without a gap
        (AssertionError, with nothing done, otherwise).
        """
        assert commands.dtype == COMMAND and commands.ndim == 1, commands.dtype
        if not (commands.flags.c_contiguous and commands.flags.writeable):
            commands = commands.copy()  # Another array type would be compiled anew.
        parts = []
        done, wanted = 0, 0
        while True:
            rows = ROWS_PER_COMMAND * (commands.size - done) + ROWS_SPARE + 2 * wanted
            out = np.empty(rows, EVENT)
            done = int(run(self._state, commands, done, out))
            assert done != BROKEN_SEQUENCE, f"commands must start at {self.sequence + 1}"
            counters = self._state.counters[0]
            parts.append(out[: counters["out_row"]])
            if done == commands.size:
                break
            wanted = int(counters["rows_wanted"])
        if len(parts) == 1 and 2 * parts[0].size > rows:
            return parts[0]
        return np.concatenate(parts)  # Whoever keeps few events must not keep a large buffer.

    @property
    def sequence(self) -> int:
        """Return the sequence of the last command applied."""
        return int(self._state.counters[0]["sequence"])

    @property
    def time_ns(self) -> int:
        """Return the latest time any command has carried."""
        return int(self._state.counters[0]["time_ns"])

    @property
    def orders_live(self) -> int:
        """Return how many orders rest, in all markets."""
        return int(self._state.counters[0]["orders_live"])

    def available(self, account: int, token: int) -> int:
        """Return the pips of ``token`` that ``account`` can spend now."""
        return int(self._balance(account, token)["available"])

    def held(self, account: int, token: int) -> int:
        """Return the pips of ``token`` held for resting orders of ``account``."""
        return int(self._balance(account, token)["held"])

    def _balance(self, account: int, token: int) -> np.void:
        """Return one row of the ledger; AssertionError for an unknown account or token."""
        counters = self._state.counters[0]
        assert 0 <= account < counters["accounts"], account
        assert 0 <= token < counters["tokens"], token
        row: np.void = self._state.balances[account, token]
        return row

    def fees(self, token: int) -> int:
        """Return the pips of ``token`` earned as fees."""
        assert 0 <= token < self._state.counters[0]["tokens"], token
        return int(self._state.tokens[token]["fees"])

    def supply(self, token: int) -> int:
        """Return the pips of ``token`` deposited and not withdrawn."""
        assert 0 <= token < self._state.counters[0]["tokens"], token
        return int(self._state.tokens[token]["supply"])

    def best(self, market: int, side: Side) -> int | None:
        """Return the best price in ticks on ``side``, or None when it is empty."""
        assert 0 <= market < self._state.counters[0]["markets"], market
        listing = self._state.markets[market]
        price = int(listing["best_bid" if side == Side.BUY else "best_ask"])
        return None if price in (NO_BID, NO_ASK) else price

    def depth(self, market: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots) of at most ``levels`` prices of ``side``, best first."""
        price = self.best(market, side)
        found: list[tuple[int, int]] = []
        step = next_below if side == Side.BUY else next_above
        while price is not None and price not in (NO_BID, NO_ASK) and len(found) < levels:
            found.append((price, int(lots_at(self._state, market, price))))
            price = int(step(self._state, market, price))
        return found

    def state_hash(self) -> bytes:
        """Return 32 bytes that are equal in two engines exactly when their states are."""
        return canon.state_hash(self._state)

    def check(self) -> None:
        """Assert the invariants over the whole state; slow."""
        check.check(self._state)


def compile_kernels() -> None:
    """Call every kernel once, so that its machine code is in the cache; minutes at most."""
    engine = Engine(Limits(tokens=2, markets=1, accounts=1, orders=2, ladder_ticks=128))
    rows = [
        command(Kind.LIST_TOKEN, token=0),
        command(Kind.LIST_TOKEN, token=1),
        list_market(0, 0, 1, lot_pips=1, tick_pips=1, maker_fee_ppm=0, taker_fee_ppm=0),
        command(Kind.OPEN_ACCOUNT, account=0),
        command(Kind.DEPOSIT, account=0, token=1, amount=1000),
        command(Kind.PLACE, price_ticks=5, amount=7, expiry_ns=1),
    ]
    commands = batch_of(rows)
    commands["sequence"] = np.arange(1, len(rows) + 1)
    engine.apply(commands)
    assert engine.depth(0, Side.BUY, 2) == [(5, 7)]
    assert engine.depth(0, Side.SELL, 2) == []
    next_above(engine._state, 0, 5)
    engine.check()
    engine.state_hash()
