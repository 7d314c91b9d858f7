"""How does Python drive the kernels?

``Engine`` owns the arrays and brings event buffers; every decision is made in the kernels.
"""

import mmap
from typing import Final, Self

import numpy as np

from engine.commands import COMMAND, Commands, Kind, batch_of, command, list_market
from engine.core import check, state_hash, state_image
from engine.core.book import level_of, next_worse
from engine.core.dispatch import BROKEN_SEQUENCE, dispatch_by_pointer
from engine.core.jit import i64, kernel, note_warm
from engine.core.ledger import balance_at
from engine.core.state import COUNTERS, NO_ASK, NO_BID, SLOT_LINKS, State, new_state
from engine.core.state_pointer import pointer_of
from engine.events import EVENT, Events
from engine.types import Limits, Side

ROWS_PER_COMMAND: Final = 3
ROWS_SPARE: Final = 64
BLOCK_ROWS: Final = 1024
"""Small batches share a buffer of so many events: making one costs as much as a command."""

MAP_NORESERVE: Final = 0x4000
"""Linux; Python has no name for it before 3.13."""

_WORDS = COUNTERS.names or ()
OUT_ROW: Final = _WORDS.index("out_row")
ROWS_WANTED: Final = _WORDS.index("rows_wanted")


def _copy_of(segment: Events) -> Events:
    """Return events that do not keep the buffer they were written to; as bytes, see below."""
    copied: Events = segment.view(np.uint8).copy().view(EVENT)
    return copied


@kernel
def lots_shown(state: State, ladder: int, price: int) -> int:
    """Return the lots that are shown at one price, which has orders."""
    lots, at = i64(0), level_of(state, ladder, price)
    link = i64(state.links[at]["next"])
    while link != at:
        lots += state.orders[link >> SLOT_LINKS]["lots"]
        link = i64(state.links[link]["next"])
    return lots  # type: ignore[no-any-return]


class Engine:
    """All markets and the whole ledger of one shard, on compiled kernels."""

    def __init__(self, limits: Limits) -> None:
        """Begin empty, with room for ``limits``."""
        self._begin(new_state(limits))

    def _begin(self, state: State) -> None:
        self._state = state
        self._pointer = pointer_of(state)
        self._counters = state.counters.view(np.int64)
        self._block: Events = np.empty(0, EVENT)
        self._large: Events = np.empty(0, EVENT)

    @classmethod
    def restore(cls, limits: Limits, saved: state_image.StateImage) -> Self:
        """Return an engine in the state that ``image`` of another one described.

        AssertionError if ``saved`` does not fit ``limits`` or is not whole.
        """
        engine = cls.__new__(cls)
        engine._begin(state_image.state_of_image(limits, saved))
        return engine

    def image(self) -> state_image.StateImage:
        """Return copies of the used part of each array of the state, by name."""
        return state_image.image_of(self._state)

    def apply(self, commands: Commands) -> Events:
        """Carry out ``commands`` in order and return all their events.

        ``commands`` is a COMMAND array whose sequences follow the last one applied without a gap
        (AssertionError, with nothing done, otherwise).
        """
        assert commands.dtype == COMMAND and commands.ndim == 1, commands.dtype
        flags = commands.flags
        if not (flags.c_contiguous and flags.writeable):
            commands = commands.copy()  # Another array type would be compiled anew.
        rows = ROWS_PER_COMMAND * commands.size + ROWS_SPARE
        if 4 * rows > BLOCK_ROWS:
            return self._apply_many(commands, 0, [])
        if self._block.size < rows:
            self._block = np.empty(BLOCK_ROWS, EVENT)
        out = self._block
        done = dispatch_by_pointer(self._pointer, commands, 0, out)
        assert done != BROKEN_SEQUENCE, f"commands must start at {self.sequence + 1}"
        count = self._counters[OUT_ROW]
        self._block = out[count:]
        if done < commands.size:
            return self._apply_many(commands, int(done), [out[:count]])
        return out[:count]

    def _apply_many(self, commands: Commands, done: int, segments: list[Events]) -> Events:
        """Carry out ``commands[done:]``; return ``segments`` and their events as one array."""
        wanted = int(self._counters[ROWS_WANTED]) if segments else 0
        while True:
            rows = ROWS_PER_COMMAND * (commands.size - done) + ROWS_SPARE + 2 * wanted
            out = self._roomy(rows) if wanted else np.empty(rows, EVENT)
            done = int(dispatch_by_pointer(self._pointer, commands, done, out))
            assert done != BROKEN_SEQUENCE, f"commands must start at {self.sequence + 1}"
            segment = out[: self._counters[OUT_ROW]]
            if (
                len(segments) == 0
                and done == commands.size
                and not wanted
                and 2 * segment.size > rows
            ):
                return segment
            segments.append(_copy_of(segment) if wanted else segment)
            if done == commands.size:
                break
            wanted = int(self._counters[ROWS_WANTED])
        # Whoever keeps few events must not keep a large buffer. As bytes, since numpy copies a row
        # of named fields field by field: 85 ns an event instead of 3.
        joined: Events = np.concatenate([segment.view(np.uint8) for segment in segments]).view(
            EVENT
        )
        return joined

    def _roomy(self, rows: int) -> Events:
        """Return a buffer for commands that may cause many events; it is used again and again.

        Mapped without a claim on memory: a page counts when it is written, not when it is asked
        for, and most of such commands cause few events after all.
        """
        if self._large.size < rows:
            size = 2 * rows * EVENT.itemsize
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
            try:
                self._large = np.frombuffer(mmap.mmap(-1, size, flags=flags), EVENT)
            except OSError as error:
                raise MemoryError(f"{size} bytes of events") from error
        return self._large

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
        """Return how many orders rest or are armed, in all markets."""
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
        row: np.void = self._state.balances[balance_at(self._state, account, token)]
        return row

    def fees(self, token: int) -> int:
        """Return the pips of ``token`` earned as fees."""
        assert 0 <= token < self._state.counters[0]["tokens"], token
        return int(self._state.tokens[token]["fees"])

    def supply(self, token: int) -> int:
        """Return the pips of ``token`` deposited and not withdrawn."""
        assert 0 <= token < self._state.counters[0]["tokens"], token
        return int(self._state.tokens[token]["supply"])

    def owed(self, token: int) -> int:
        """Return the pips of ``token`` that accounts with a negative balance owe."""
        assert 0 <= token < self._state.counters[0]["tokens"], token
        return int(self._state.owed[token])

    def best(self, market: int, side: Side) -> int | None:
        """Return the best price in ticks on ``side``, or None when it is empty."""
        assert 0 <= market < self._state.counters[0]["markets"], market
        price = int(self._state.best_prices[2 * market + side]["best"])
        return None if price in (NO_BID, NO_ASK) else price

    def depth(self, market: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price_ticks, lots shown) of at most ``levels`` prices of ``side``, best first."""
        price = self.best(market, side)
        ladder = 2 * market + int(side)
        found: list[tuple[int, int]] = []
        while price is not None and price not in (NO_BID, NO_ASK) and len(found) < levels:
            found.append((price, int(lots_shown(self._state, ladder, price))))
            price = int(next_worse(self._state, ladder, price))
        return found

    def state_hash(self) -> bytes:
        """Return 32 bytes that are equal in two engines exactly when their states are."""
        return state_hash.state_hash(self._state)

    def check(self) -> None:
        """Assert the invariants over the whole state; slow."""
        check.check(self._state)


def compile_kernels() -> None:
    """Call every kernel once, so that its machine code is in the cache; minutes at most."""
    limits = Limits(tokens=2, markets=1, accounts=2, orders=4, ladder_ticks=64)
    engine = Engine(limits)
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
    engine.check()
    copy = Engine.restore(limits, engine.image())
    assert copy.state_hash() == engine.state_hash()
    note_warm()
