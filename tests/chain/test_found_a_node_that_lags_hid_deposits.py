"""Found in the field: behind one address there are many nodes, and one that lags answers a question
about blocks it has not got with nothing. The cursor passed them, and their deposits were lost."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

import pytest
from web3 import Web3
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from settlement.chain.chain import Chain, ChainUnavailableError, RpcChain
from settlement.chain.quorum import QuorumChain
from settlement.outbox.outbox import Outbox
from settlement.watching.watcher import DEPOSITED, TRANSFER, Deposited, Transferred, Watcher

EXCHANGE, TOKEN, WHO, SHOP = (bytes([i]) * 20 for i in (0xEE, 0x11, 0xAA, 0x55))
START, END, EVERY = 200, 420, 5
CONFIRMATIONS = 12


class Ledger:
    """The true chain: every fifth block has a deposit and a payment in it."""

    def __init__(self) -> None:
        self.top = START

    def hash(self, number: int) -> str:
        return "0x" + number.to_bytes(32, "big").hex()

    def block(self, number: int) -> dict[str, str]:
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": hex(1_800_000_000 + number),
        }

    def logs(self, number: int) -> list[dict[str, Any]]:
        if number % EVERY or not START < number < END - 2 * CONFIRMATIONS:
            return []
        words = [(bytes(12) + one).hex() for one in (WHO, TOKEN, SHOP)]
        topics = [
            [DEPOSITED.topic.hex(), words[0], words[1], bytes(32).hex()],
            [TRANSFER.topic.hex(), words[0], words[2]],
        ]
        return [
            {
                "address": "0x" + address.hex(),
                "topics": ["0x" + topic for topic in named],
                "data": "0x" + (7).to_bytes(32, "big").hex(),
                "blockNumber": hex(number),
                "blockHash": self.hash(number),
                "transactionHash": self.hash(number << 32),
                "logIndex": hex(3 + at),
            }
            for at, (address, named) in enumerate(zip((EXCHANGE, TOKEN), topics, strict=True))
        ]

    def receipt(self, tx_hash: str) -> dict[str, Any]:
        logs = self.logs(int(tx_hash, 16) >> 32)
        return {"blockHash": logs[0]["blockHash"], "logs": logs}


class Balanced(JSONBaseProvider):
    """One address with many nodes behind it: ``lag`` says how far behind the next one to answer is.

    A request is answered by one node, whatever is in it.
    """

    def __init__(self, truth: Ledger, lag: Callable[[], int]) -> None:
        super().__init__()
        self.truth, self.lag, self.asked = truth, lag, 0

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        self.asked += 1
        return self._answer(self.truth.top - self.lag(), method, params)

    def make_batch_request(
        self, requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        self.asked += 1
        top = self.truth.top - self.lag()
        return [self._answer(top, method, params) for method, params in requests]

    def _answer(self, top: int, method: str, params: Any) -> RPCResponse:
        """Answer as a node does whose newest block is ``top``: of later ones it knows nothing."""
        result: Any = None
        match method:
            case "eth_getBlockByNumber":
                number = top if params[0] == "latest" else int(params[0], 16)
                result = self.truth.block(number) if number <= top else None
            case "eth_getBlockByHash":
                number = int(params[0], 16)
                result = self.truth.block(number) if number <= top else None
            case "eth_getLogs":
                one = params[0].get("blockHash")
                first, last = (
                    (int(one, 16), int(one, 16))
                    if one
                    else (int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16))
                )
                result = [
                    log
                    for number in range(first, min(last, top) + 1)
                    for log in self.truth.logs(number)
                    if log["address"] in params[0]["address"]
                ]
            case "eth_getTransactionReceipt":
                known = int(params[0], 16) >> 32 <= top
                result = self.truth.receipt(params[0]) if known else None
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "result": result})


class Life(NamedTuple):
    deposits: set[int]
    payments: dict[int, int]
    """Blocks of the payments that were confirmed, with their place in their transaction."""
    failures: int


def live(truth: Ledger, chain: Chain, directory: Path, skip: int) -> Life:
    """Let blocks come, ``skip`` at a time, and look after each time."""
    watcher = Watcher(chain, Outbox(directory / "outbox.sqlite"), EXCHANGE, 100, CONFIRMATIONS)
    watcher.watch_token(TOKEN)
    watcher.watch(SHOP)
    seen, failures = Life(set(), {}, 0), 0
    tops = [*range(START, END, skip), *[END] * 60]
    for truth.top in tops:
        try:
            poll = watcher.poll()
        except ChainUnavailableError:
            failures += 1
            continue
        for value, _, confirmed, _ in poll.observations:
            if confirmed and isinstance(value, Deposited):
                seen.deposits.add(value.at.block_number)
            elif confirmed and isinstance(value, Transferred):
                seen.payments[value.at.block_number] = value.position
        watcher.done(poll)
    return seen._replace(failures=failures)


def everything() -> set[int]:
    return {number for number in range(START, END) if Ledger().logs(number)}


@pytest.mark.parametrize("skip", [1, 7, 150])
@pytest.mark.parametrize("lag", [1, 13, 20])
def test_no_node_behind_one_address_hides_a_deposit_or_a_payment(
    tmp_path: Path, lag: int, skip: int
):
    truth, dice = Ledger(), Random(lag * 1_000 + skip)
    provider = Balanced(truth, lambda: dice.choice((0, lag)))
    life = live(truth, RpcChain(Web3(provider)), tmp_path, skip)

    assert life.deposits == everything()
    assert life.payments == dict.fromkeys(everything(), 1)


def test_a_node_that_is_always_behind_is_believed_as_far_as_it_is(tmp_path: Path):
    truth = Ledger()
    life = live(truth, RpcChain(Web3(Balanced(truth, lambda: 20))), tmp_path, 1)

    reached = END - 20 - CONFIRMATIONS + 1
    assert life.deposits == {number for number in everything() if number <= reached}
    assert life.failures == 0


@pytest.mark.parametrize("seed", range(3))
def test_two_of_three_nodes_that_lag_in_turn_hide_nothing(tmp_path: Path, seed: int):
    truth, dice = Ledger(), Random(seed)
    nodes = [RpcChain(Web3(Balanced(truth, lambda: dice.choice((0, 0, 13))))) for _ in range(3)]
    life = live(truth, QuorumChain(nodes, 2), tmp_path, 3)

    assert life.deposits == everything()


def test_logs_of_a_range_need_its_last_block():
    """Withdrawals that were paid, fees that were swept, old keys: an empty answer is no answer."""
    truth = Ledger()
    chain = RpcChain(Web3(Balanced(truth, lambda: 3)))
    truth.top = 300

    assert len(chain.logs([EXCHANGE], [], 201, 297)) == 19
    with pytest.raises(ChainUnavailableError, match="has no block 298 yet"):
        chain.logs([EXCHANGE], [], 201, 298)


def test_what_a_poll_costs_follows_new_blocks_and_not_addresses(tmp_path: Path):
    asked = {}
    for watched in (1, 100_000):
        truth = Ledger()
        provider = Balanced(truth, lambda: 0)
        chain = RpcChain(Web3(provider))
        outbox = Outbox(tmp_path / f"{watched}.sqlite")
        watcher = Watcher(chain, outbox, EXCHANGE, START, CONFIRMATIONS)
        watcher.watch_token(TOKEN)
        for number in range(watched):
            watcher.watch(number.to_bytes(20, "big"))
        for truth.top in range(START, END):
            watcher.done(watcher.poll())
        new = provider.asked
        for _ in range(10):
            watcher.done(watcher.poll())
        asked[watched] = new, provider.asked - new

    blocks = END - START
    assert asked[1] == asked[100_000]
    assert asked[1] == (2 * blocks, 10), "the head and its logs; then the head alone"
