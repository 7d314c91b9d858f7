"""Which bytes stand for the whole state? The order of fields is in ``engine/README.md``."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from engine.types import Side

if TYPE_CHECKING:
    from engine.reference.machine import Engine

DUMP_VERSION = 2
EMPTY = (0, 0, 0, 0, 0, 0)


def dump(engine: Engine) -> bytes:
    """Return the canonical bytes of the state."""
    numbers = list(_numbers(engine))
    return struct.pack(f"<{len(numbers)}q", *numbers)


def state_hash(engine: Engine) -> bytes:
    """Return the 32-byte blake2b of ``dump``."""
    return blake2b(dump(engine), digest_size=32).digest()


def _numbers(engine: Engine) -> Iterator[int]:
    """Yield every number of the dump, in order."""
    ledger, slots = engine.ledger, engine.slots
    yield DUMP_VERSION
    yield from (engine.sequence, engine.time_ns, engine.event_index, engine.trade_id)
    yield from (ledger.tokens, len(engine.markets), len(engine.exits), slots.used)
    for token in range(ledger.tokens):
        yield from (ledger.supply[token], ledger.fees[token])
    for market in engine.markets:
        yield from (market.base, market.quote, market.lot_pips, market.tick_pips)
        yield from (market.maker_ppm, market.taker_ppm, market.phase)
    for account, exits in enumerate(engine.exits):
        yield exits
        for token in range(ledger.tokens):
            yield ledger.available.get((account, token), 0)
            yield ledger.held.get((account, token), 0)
    yield from _orders(engine)
    yield from _queues(engine)
    yield from reversed(slots.free)
    yield 0


def _orders(engine: Engine) -> Iterator[int]:
    """Yield each slot ever used: its generation, then the order in it or zeros."""
    for slot in range(1, engine.slots.used + 1):
        generation = engine.slots.generation[slot]
        yield generation
        order = engine.orders.get(generation << 32 | slot)
        if order is None:
            yield from EMPTY
        else:
            yield from (order.market, order.side, order.account)
            yield from (order.price_ticks, order.lots, order.expiry_ns)


def _queues(engine: Engine) -> Iterator[int]:
    """Yield the slots of each market's bids, then asks, best and oldest first, 0 after each."""
    for market in engine.markets:
        for side in (Side.BUY, Side.SELL):
            for price in market.prices(side):
                yield from (order_id & (2**32 - 1) for order_id in market.sides[side][price])
            yield 0
