"""Whatever logs a chain shows, in any order: never an exception, and everything else is booked."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types import MONEY_MAX
from settlement.chain.chain import Block, Log
from settlement.outbox.outbox import Outbox
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.unbooked import Unbooked
from settlement.watching.watcher import (
    EXCHANGE_EVENTS,
    TRANSFER,
    Deposited,
    Watcher,
    chain_event_of,
)
from settlement.worker import ChainLoop
from tests.admission.fixtures import ALICE, BOB, OTHER, TOKEN, USD
from tests.e2e.fixtures import Venue
from tests.e2e.test_what_the_chain_shows_is_booked_once import ShownChain, Till

EXCHANGE, SHOP = b"\xee" * 20, b"\x55" * 20
WORDS = st.one_of(
    st.integers(0, 2**256 - 1),
    st.sampled_from([0, 1, MONEY_MAX, MONEY_MAX + 1, 2**63, 2**64 - 1, 2**64, 2**256 - 1]),
    st.sampled_from(
        [int.from_bytes(one, "big") for one in (ALICE.address, BOB.address, USD, TOKEN, SHOP)]
    ),
).map(lambda number: number.to_bytes(32, "big"))


@st.composite
def logs(draw):
    """Draw one log: often laid out as it should be, with any numbers; sometimes anything at all."""
    event = draw(st.sampled_from([*EXCHANGE_EVENTS, TRANSFER]))
    if draw(st.integers(0, 4)):
        words = [draw(WORDS) for _ in range(event.width)]
        topics = [event.topic, *(words[i] for i in event.indexed)]
        payload = b"".join(words[i] for i in range(event.width) if i not in event.indexed)
    else:
        topics = draw(st.lists(st.one_of(WORDS, st.just(event.topic)), max_size=5))
        payload = draw(st.binary(max_size=100))
    address = draw(st.sampled_from([EXCHANGE, USD, TOKEN, OTHER]))
    return Drawn(address, tuple(topics), payload, draw(st.integers(0, 2)))


class Drawn(NamedTuple):
    address: bytes
    topics: tuple[bytes, ...]
    payload: bytes
    transaction: int


class Blocks:
    """A chain whose blocks hold what was drawn, and a plain deposit at the end of each."""

    def __init__(self, drawn):
        self.logs = []
        for number, part in enumerate(drawn, 1):
            rows = [*part, plain(number)]
            block = self.block(number)
            self.logs += [
                Log(
                    *(one.address, one.topics, one.payload, number, block.hash),
                    (number << 8 | one.transaction).to_bytes(32, "big"),
                    at,
                )
                for at, one in enumerate(rows)
            ]
        self.top = len(drawn)

    def block(self, number):
        return Block(number, number.to_bytes(32, "big"), (number - 1).to_bytes(32, "big"), number)

    def head(self):
        return self.block(self.top)

    def logs_of(self, block, wanted):
        # What a node would not give us does no harm either.
        return [log for log in self.logs if log.block_number == block.number]

    def positions(self, logs):
        return [log.log_index for log in logs]


def plain(number):
    words = [bytes(12) + BOB.address, bytes(12) + TOKEN, bytes(32)]
    event = next(one for one in EXCHANGE_EVENTS if one.signature.startswith("Deposited"))
    return Drawn(EXCHANGE, (event.topic, *words), number.to_bytes(32, "big"), 9)


class Chained(Venue):
    """A venue whose watcher is the real one, over ``chain``."""

    def __init__(self, chain, directory):
        super().__init__(consumers=lambda it: (CreditedDeposits(it.catalog),))
        self.outbox = Outbox(Path(directory) / "outbox.sqlite")
        self.watcher = Watcher(chain, self.outbox, EXCHANGE, 1, 1)
        for token in (USD, TOKEN):
            self.watcher.watch_token(token)
        self.watcher.watch(SHOP)
        (self.book,), self.till = self.consumers, Till()
        quiet = ShownChain()
        self.loop = ChainLoop(
            settler=quiet,
            watcher=self.watcher,
            exchange=self.exchange,
            admission=self.admission,
            keys=self.keys,
            credited_deposits=self.book,
            unbooked=Unbooked(self.outbox),
            payments=self.till,
            reconciliation=quiet,
            listeners=(),
        )


@settings(deadline=None, max_examples=60)
@given(drawn=st.lists(st.lists(logs(), max_size=6), min_size=1, max_size=4))
def test_no_log_whatever_it_says_stops_the_loop_or_keeps_another_from_being_booked(drawn):
    chain = Blocks(drawn)

    async def story(directory):
        async with Chained(chain, directory) as venue:
            await venue.list_all()
            await venue.loop.turn()
            assert venue.watcher.cursor == chain.top + 1 and not venue.fatal
            venue.now_ns += 10**12
            await venue.loop.turn()

            money = [chain_event_of(log) for log in chain.logs if log.address == EXCHANGE]
            deposits = [value for value in money if isinstance(value, Deposited)]
            due = [one.one.value for one in venue.loop.due]
            booked = [value for value in deposits if value not in due]
            listed = [value for value in booked if value.token in (USD, TOKEN)]
            assert listed == booked, "what is not listed stays due"
            for number in range(venue.catalog.account_count):
                address = venue.catalog.address_of(number)
                for token in (USD, TOKEN):
                    paid = sum(v.amount for v in booked if (v.account, v.token) == (address, token))
                    assert sum(venue.exchange.balance(address, token)) <= paid
            # An exit that was drawn may have taken what one deposit brought.
            exits = [value for value in money if not isinstance(value, Deposited)]
            assert sum(venue.exchange.balance(BOB.address, TOKEN)) > 0 or exits
            assert {plain_one.at.block_number for plain_one in booked} >= set(
                range(1, chain.top + 1)
            ) - {v.at.block_number for v in due}

            venue.outbox.close()

    with TemporaryDirectory() as directory:
        asyncio.run(story(directory))
