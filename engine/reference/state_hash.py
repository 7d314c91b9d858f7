"""Which bytes stand for the whole state? The order of fields is in ``engine/README.md``."""

import struct
from collections.abc import Iterator
from hashlib import blake2b

from engine.reference.state import SLOT_MASK, State
from engine.types import Side

DUMP_VERSION = 3
EMPTY = (0,) * 10


def dump(state: State) -> bytes:
    """Return the canonical bytes of the state."""
    numbers = list(_numbers(state))
    return struct.pack(f"<{len(numbers)}q", *numbers)


def state_hash(state: State) -> bytes:
    """Return the 32-byte blake2b of ``dump``."""
    return blake2b(dump(state), digest_size=32).digest()


def _numbers(state: State) -> Iterator[int]:
    """Yield every number of the dump, in order."""
    ledger, slots = state.ledger, state.slots
    yield DUMP_VERSION
    yield from (state.sequence, state.time_ns, state.event_index, state.trade_id)
    yield from (ledger.tokens, len(state.markets), len(state.exits), slots.used)
    for token in range(ledger.tokens):
        yield from (ledger.supply[token], ledger.fees[token])
    for market in state.markets:
        yield from (market.base, market.quote, market.lot_pips, market.tick_pips)
        yield from (market.maker_ppm, market.taker_ppm, market.phase)
        yield from (market.last_ticks, market.band_low, market.band_high)
    for account, exits in enumerate(state.exits):
        yield from (exits, state.deadlines.get(account, 0))
        for token in range(ledger.tokens):
            yield ledger.available.get((account, token), 0)
            yield ledger.held.get((account, token), 0)
    yield from _orders(state)
    yield from _queues(state)
    yield from reversed(slots.free)
    yield 0
    for number, market in enumerate(state.markets):
        if market.area_min:
            yield from (number, market.area_min)
    yield from _left_to_do(state)


def _left_to_do(state: State) -> Iterator[int]:
    """Yield -1 and what each market has still to do, where any has."""
    rows = [(m.pending_low, m.pending_high, m.auction_ticks) for m in state.markets]
    if any(map(any, rows)):
        yield -1
    for number, row in enumerate(rows):
        if any(row):
            yield from (number, *row)


def _orders(state: State) -> Iterator[int]:
    """Yield each slot ever used: its generation, then the order in it or zeros."""
    for slot in range(1, state.slots.used + 1):
        generation = state.slots.generation[slot]
        yield generation
        order = state.orders.get(generation << 32 | slot)
        if order is None:
            yield from EMPTY
        else:
            yield from (order.market, order.side, order.account, order.price_ticks)
            yield from (order.lots, order.hidden, order.display, order.expiry_ns)
            yield order.trigger_ticks
            yield order.tif | order.flags << 8 if order.trigger_ticks else 0


def _queues(state: State) -> Iterator[int]:
    """Yield the slots of each market, 0 after each queue.

    Bids and asks best price first, then the armed buys and sells nearest trigger first; of equal
    ones the oldest first.
    """
    for market in state.markets:
        for side in (Side.BUY, Side.SELL):
            for price in market.prices(side):
                yield from (order_id & SLOT_MASK for order_id in market.sides[side][price])
            yield 0
        armed_buys, armed_sells = market.armed
        for trigger in armed_buys:
            yield from (order_id & SLOT_MASK for order_id in armed_buys[trigger])
        yield 0
        for trigger in reversed(armed_sells):
            yield from (order_id & SLOT_MASK for order_id in armed_sells[trigger])
        yield 0
