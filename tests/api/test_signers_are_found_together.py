"""Many orders share one hand-over to the threads that find signers: each gets its own, in order."""

import asyncio

import msgspec

from engine.types import Side
from gateway.api.v1.orders import PlaceOrder, checked_order
from gateway.trading.order_entry import RECOVERED_AT_ONCE, RECOVERED_HERE, Recoveries
from settlement.protocol.eip712 import order_digest, recover
from settlement.protocol.evidence import SignedOrder
from tests.api.fixtures import DOMAIN, Venue

NO_SIGNATURE = bytes(65)


def orders(count: int) -> list[SignedOrder]:
    """Return signed orders; every third has a signature that nobody can have made."""
    maker = Venue().maker
    found = []
    for n in range(count):
        body = msgspec.convert(maker.order(Side.BUY.name.lower(), 1 + n, 2_000), PlaceOrder)
        order = checked_order(body)
        found.append(
            msgspec.structs.replace(order, signature=NO_SIGNATURE) if n % 3 == 2 else order
        )
    return found


def alone(order: SignedOrder) -> SignedOrder:
    digest = order_digest(DOMAIN, order)
    signer = recover(digest, order.signature) or b""
    return msgspec.structs.replace(order, digest=digest, signer=signer)


def test_each_order_gets_its_own_signer_whatever_stands_beside_it() -> None:
    times: list[float] = []
    sent = orders(2 * RECOVERED_AT_ONCE + 7)

    async def story() -> list[SignedOrder]:
        recoveries = Recoveries(DOMAIN, times.append)
        found = [recoveries.of(order) for order in sent[:RECOVERED_HERE]]
        await asyncio.wait(found)
        # More than the threads take along at once.
        found += [recoveries.of(order) for order in sent[RECOVERED_HERE:]]
        told = [await each for each in found]
        recoveries.pool.shutdown()
        return told

    assert asyncio.run(story()) == [alone(order) for order in sent]
    assert len(times) == len(sent)


def test_who_no_longer_waits_takes_nobodys_answer_away() -> None:
    sent = orders(4)

    async def story() -> list[SignedOrder]:
        recoveries = Recoveries(DOMAIN, lambda _: None)
        found = [recoveries.of(order) for order in sent]
        found.pop(1).cancel()
        told = [await each for each in found]
        recoveries.pool.shutdown()
        return told

    left = [sent[0], *sent[2:]]
    assert asyncio.run(story()) == [alone(order) for order in left]


def test_a_fault_reaches_each_who_waits_for_few_and_for_many() -> None:
    # No wallet can have signed it, and no client can send it: a number beyond its word.
    wrong = [msgspec.structs.replace(order, nonce=1 << 256) for order in orders(1)]

    async def story(count: int) -> list[object]:
        recoveries = Recoveries(DOMAIN, lambda _: None)
        found = [recoveries.of(order) for order in orders(count) + wrong]
        told = await asyncio.wait_for(asyncio.gather(*found, return_exceptions=True), 30)
        recoveries.pool.shutdown()
        return told

    for count in (0, RECOVERED_HERE):
        assert isinstance(asyncio.run(story(count))[-1], OverflowError)
