"""How is a settler killed exactly between two states, in a process of its own?

The child opens the exchange on its directory, talks to an anvil that is not its own and says each
change of state down a pipe before it goes on: ``(state, is_stored)``, False where the transaction
of the outbox is not committed yet. The parent answers, or kills it; nobody sleeps. Where nothing
can move any more the child says how much is not final, and asks for another block.
"""

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from engine.events import EventKind
from engine.types import Side
from settlement.batches.decode import NoBatchError, open_batch
from settlement.chain.chain import Chain, node_at
from settlement.outbox.actions import ActionState
from settlement.protocol.evidence import SignedOrder, decode
from tests.chain.conftest import until
from tests.chain.venue import NS, Venue

ROAD = (ActionState.SEALED, ActionState.SIGNED, ActionState.BROADCAST, ActionState.MINED)
MOMENTS = tuple((state, stored) for state in (*ROAD, ActionState.FINAL) for stored in (False, True))
ROUNDS_MAX = 60
ANSWER_SECONDS_MAX = 60

# Forked from a server that has everything imported: a process costs milliseconds, and has none of
# this one's threads.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class Node(NamedTuple):
    """What a settler sees of somebody else's node."""

    chain: Chain


def settle(directory: Path, rpc_url: str, confirmations: int, ahead_ns: int, pipe: Connection):
    """Be the child: settle until everything is final."""

    def observe(state: ActionState, is_stored: bool) -> None:
        pipe.send((state, is_stored))
        pipe.recv()

    def clock() -> int:
        return time.time_ns() + ahead_ns

    venue = Venue(directory, Node(node_at(rpc_url)), clock, confirmations, observe=observe)
    venue.settler.seal_now()
    open_count = -1
    while open_count:
        until(lambda: not venue.settler.step())
        assert venue.settler.halted is None, venue.settler.halted
        open_count = venue.outbox.count(*ROAD)
        pipe.send(open_count)
        pipe.recv()
    venue.close()


def run(venue: Venue, ahead_ns: int, is_last: Callable[[ActionState, bool], bool]) -> bool:
    """Let a settler of its own process work on the closed ``venue``; True if it was killed.

    ``is_last`` is asked at each change of state whether the process has to die of it.
    """
    ours, theirs = PROCESSES.Pipe()
    arguments = venue.directory, venue.devchain.rpc_url, venue.confirmations, ahead_ns, theirs
    child = PROCESSES.Process(target=settle, args=arguments)
    child.start()
    theirs.close()
    rounds = 0
    try:
        while True:
            assert ours.poll(ANSWER_SECONDS_MAX), "the settler is stuck"
            match ours.recv():
                case (state, is_stored):
                    if is_last(state, is_stored):
                        child.kill()
                        child.join()
                        assert child.exitcode == -signal.SIGKILL
                        return True
                case open_count:
                    rounds += 1
                    assert rounds < ROUNDS_MAX, f"{open_count} actions never become final"
                    mine(venue)
                    if open_count == 0:
                        ours.send(None)
                        child.join(ANSWER_SECONDS_MAX)
                        assert child.exitcode == 0
                        return False
            ours.send(None)
    finally:
        child.kill()
        child.join()
        ours.close()


def mine(venue: Venue, count: int = 1) -> None:
    """Add blocks with what waits in the pool; past ``DevChain``, which knows its own alone."""
    now_s = max(venue.clock() // NS, venue.devchain.chain.head().timestamp + 1)
    venue.devchain.rpc("evm_setNextBlockTimestamp", [hex(now_s)])
    venue.devchain.rpc("anvil_mine", [hex(count)])


def chain_trades(venue: Venue) -> Counter[tuple[bytes, bytes, int, int]]:
    """Count what the contract took, from successful transactions alone: no outbox, no ledger."""
    found: Counter[tuple[bytes, bytes, int, int]] = Counter()
    tokens = [token.address for token in venue.deployment.tokens]
    height = venue.devchain.chain.head().number
    for number in range(venue.deployment.deploy_block, height + 1):
        block = venue.devchain.rpc("eth_getBlockByNumber", [hex(number), True])
        for sent in block["transactions"]:
            try:
                opened = open_batch(bytes.fromhex(sent["input"][2:]), venue.domain, tokens)
            except NoBatchError:
                continue
            receipt = venue.devchain.chain.receipt(bytes.fromhex(sent["hash"][2:]))
            assert receipt is not None
            if receipt.succeeded:
                found.update(
                    (trade.buy.digest, trade.sell.digest, trade.base_pips, trade.quote_pips)
                    for trade in opened.trades
                )
    return found


def journal_trades(venue: Venue) -> Counter[tuple[bytes, bytes, int, int]]:
    """Count what the engine matched, from the journal."""
    digests: dict[int, bytes] = {}
    found: Counter[tuple[bytes, bytes, int, int]] = Counter()
    market = venue.catalog.markets[0]
    for batch in venue.history():
        for entry in batch.entries:
            signed = decode(entry.attachment)
            for event in entry.events:
                if event.kind == EventKind.ACCEPTED:
                    assert isinstance(signed, SignedOrder)
                    digests[event.order_id] = signed.digest
                elif event.kind == EventKind.TRADE:
                    pair = digests[event.order_id], digests[event.maker_id]
                    buy, sell = pair if event.side == Side.BUY else pair[::-1]
                    lots, ticks = event.amount, event.price_ticks
                    found[buy, sell, market.base_pips(lots), market.quote_pips(lots, ticks)] += 1
    return found


def assert_each_trade_once(venue: Venue) -> int:
    """Chain, journal, vault and ledger tell one story; return how many trades it has."""
    expected = journal_trades(venue)
    assert chain_trades(venue) == expected
    assert set(expected.values()) <= {1}
    actions = venue.outbox.in_state(*ActionState, limit=100_000)
    assert {action.state for action in actions} <= {ActionState.FINAL}
    venue.assert_books_agree()
    return len(expected)
