"""Live batches and those of a replay are cut differently; prices remember the same to the byte."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands import batch_of, set_terms
from engine.log_entries import Committed
from engine.reference import Engine
from engine.types import Limits, Side
from merchants.sales.reference_prices import Prices
from settlement.orders.catalog import Catalog
from settlement.protocol.eip712 import address_of_secret
from tests.merchants.fixtures import FEE_PPM, LOT, PRICES, TICK, TOKEN, USD, World

SECRETS = [bytes([n]) * 32 for n in (11, 12)]
SIDES, TICKS = [Side.BUY, Side.SELL], [199_800, 199_900, 200_000, 200_100, 200_200]
QUOTE = st.tuples(
    st.sampled_from(SIDES), st.sampled_from(TICKS), st.integers(1, 60), st.sampled_from(SECRETS)
)
STEPS = st.lists(
    st.one_of(
        QUOTE,
        QUOTE,
        st.tuples(st.just("pass"), st.sampled_from([1, 4, 61])),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("terms"), st.sampled_from([1, 2])),
    ),
    min_size=1,
    max_size=25,
)


def history(steps):
    """Return the commands of a world in which ``steps`` were taken."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        venue, resting = world.venue, []
        for secret in SECRETS:
            for token in (TOKEN, USD):
                venue.fund(address_of_secret(secret), token, 10**15)
        for kind, *more in steps:
            if kind == "pass":
                world.pass_time(more[0])
            elif kind == "cancel" and resting:
                venue.cancel(*resting.pop(more[0] % len(resting)))
            elif kind == "terms":
                lot, tick = LOT * more[0], TICK * more[0]
                fees = {"maker_fee_ppm": 0, "taker_fee_ppm": FEE_PPM}
                venue.submit(set_terms(0, lot_pips=lot, tick_pips=tick, **fees))
            elif kind in SIDES:
                ticks, lots, secret = more
                # Twice, so that lots of either size can be had.
                resting.append((secret, venue.quote(kind, ticks, 2 * lots, secret)))
        return world.entries


def remembered(entries, cuts):
    """Return what prices save after ``entries``, cut in front of each of ``cuts``."""
    engine = Engine(Limits(tokens=4, markets=4, accounts=64, orders=4096))
    catalog = Catalog()
    prices = Prices(PRICES)
    for start, end in pairwise(sorted({0, len(entries), *(cut % len(entries) for cut in cuts)})):
        commands = batch_of([row for row, _ in entries[start:end]])
        events = [engine.apply(commands[i : i + 1]) for i in range(len(commands))]
        evidence = [attachment for _, attachment in entries[start:end]]
        heads = [b""] * len(commands)
        whole = Committed(start + 1, commands, evidence, np.concatenate(events), heads)
        for segment in catalog.read(whole):
            prices.consume(segment)
    return prices.save()


@settings(max_examples=20, deadline=None)
@given(STEPS, st.lists(st.integers(0, 10**6), max_size=12))
def test_prices_remember_the_same_whatever_the_batches(steps, cuts):
    entries = history(steps)
    one_by_one = remembered(entries, range(len(entries)))
    assert remembered(entries, cuts) == one_by_one
    assert remembered(entries, []) == one_by_one
