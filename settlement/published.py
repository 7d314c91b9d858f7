"""What does the chain say about all batches and all money that came in?

Read from logs and calldata, believed only as far as the contract's own heads bind it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from settlement.batch import GENESIS_HEAD, encode_call
from settlement.chain import Chain
from settlement.deploy import Deployment
from settlement.eip712 import keccak256
from settlement.opened import NoBatchError, OpenedBatch, open_batch
from settlement.watcher import DEPOSITED, EXIT_FINISHED, Deposited, ExitFinished, value_of

SETTLED_TOPIC: Final = keccak256(b"BatchSettled(uint64,bytes32,bytes32,bytes32)")


class Money(NamedTuple):
    """Tokens that came into the vault or left it without the operator; amounts in pips."""

    value: Deposited | ExitFinished
    block_number: int


class Published(NamedTuple):
    """Everything an auditor takes from the chain; ``faults`` if it contradicts itself."""

    batches: list[OpenedBatch]
    money: dict[tuple[bytes, int], Money]
    tokens: list[bytes]
    faults: list[str]


def read_published(chain: Chain, deployment: Deployment) -> Published:
    """Read all batches and deposits. Raises ``ChainUnavailableError``."""
    exchange, head = deployment.exchange, chain.head().number
    tokens = [token.address for token in deployment.tokens]
    faults = list(_token_faults(chain, exchange, tokens))
    batches: list[OpenedBatch] = []
    before = GENESIS_HEAD
    for log in chain.logs([exchange], [SETTLED_TOPIC], deployment.deploy_block, head):
        number = int.from_bytes(log.topics[1], "big")
        where = f"batch {number}"
        if number != len(batches) + 1:
            faults.append(f"{where} comes after {len(batches)} batches")
            break
        try:
            opened = open_batch(chain.calldata(log.tx_hash), deployment.domain, tokens)
        except NoBatchError as error:
            faults.append(f"{where}: {error}")
            break
        on_chain = chain.call(exchange, encode_call("batchHash", number))
        if opened.header.batch != number or opened.header.prev_head != before:
            faults.append(f"{where} does not follow the one before it")
        if not opened.head == on_chain == log.payload[:32]:
            faults.append(f"{where}: the calldata is not what the contract settled")
        batches.append(opened)
        before = on_chain
    settled = int.from_bytes(chain.call(exchange, encode_call("nextBatch")), "big") - 1
    if settled != len(batches) and not faults:
        faults.append(f"the contract has {settled} batches, the node shows {len(batches)}")
    topics = [DEPOSITED.topic, EXIT_FINISHED.topic]
    money = {
        (log.tx_hash, log.log_index): Money(value, log.block_number)
        for log in chain.logs([exchange], [topics], deployment.deploy_block, head)
        if isinstance(value := value_of(log), Deposited | ExitFinished)
    }
    return Published(batches, money, tokens, faults)


def _token_faults(chain: Chain, exchange: bytes, tokens: list[bytes]) -> Iterator[str]:
    for number, token in enumerate(tokens):
        answer = chain.call(exchange, encode_call("tokens", number))
        if answer[12:32] != token:
            yield f"token {number} on chain is 0x{answer[12:32].hex()}, not 0x{token.hex()}"
