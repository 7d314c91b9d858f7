"""What does the chain say if its nodes do not agree?

``QuorumChain`` asks several nodes and believes what enough of them say alike. Where they do not, it
is as if nobody had answered: nothing is credited, sent or called final on the word of one node, and
the next step asks again. What is to be mined is handed to all.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from settlement.chain import (
    Block,
    BlockTag,
    CallRevertedError,
    Chain,
    ChainUnavailableError,
    Log,
    Receipt,
    Sending,
    Sent,
    node_at,
)

T = TypeVar("T")

_BEST_FIRST: Final = (
    Sending.ACCEPTED,
    Sending.ALREADY_KNOWN,
    Sending.NONCE_TOO_LOW,
    Sending.UNDERPRICED,
    Sending.REFUSED,
)


class NodesDisagreeError(ChainUnavailableError):
    """Not enough nodes say the same."""


def nodes_at(urls: Sequence[str]) -> Chain:
    """Return the chain behind ``urls``; with several of them a majority must agree."""
    nodes = [node_at(url) for url in urls]
    return nodes[0] if len(nodes) == 1 else QuorumChain(nodes, len(nodes) // 2 + 1)


class QuorumChain:
    """A ``Chain`` behind several nodes. ``quorum`` of them must answer alike."""

    def __init__(self, nodes: Sequence[Chain], quorum: int) -> None:
        """Two different answers can never both have a quorum, so it is more than half."""
        assert len(nodes) // 2 < quorum <= len(nodes), "a quorum is a majority"
        self._nodes = nodes
        self._quorum = quorum
        self._threads = ThreadPoolExecutor(len(nodes), thread_name_prefix="node")
        self._chain_id: int | None = None

    def _ask(self, question: Callable[[Chain], T]) -> list[T]:
        """Return the answers of all nodes that gave one, in the order of the nodes."""
        asked = [self._threads.submit(question, node) for node in self._nodes]
        answers, silent = [], []
        for future in asked:
            try:
                answers.append(future.result())
            except ChainUnavailableError as error:
                silent.append(str(error))
        if len(answers) < self._quorum:
            raise ChainUnavailableError(f"{len(answers)} nodes answer: {'; '.join(silent)}")
        return answers

    def _agreed(self, what: str, question: Callable[[Chain], T]) -> T:
        """Return what a quorum says alike."""
        answers = self._ask(question)
        for answer in answers:
            if answers.count(answer) >= self._quorum:
                return answer
        raise NodesDisagreeError(f"the nodes disagree about {what}")

    @property
    def chain_id(self) -> int:
        """See ``Chain``; asked once."""
        if self._chain_id is None:
            self._chain_id = self._agreed("the chain id", lambda node: node.chain_id)
        return self._chain_id

    def head(self) -> Block:
        """Return the newest block that a quorum has, if they have the same one there."""
        heights = sorted(block.number for block in self._ask(lambda node: node.head()))
        number = heights[-self._quorum]
        block = self.block(number)
        if block is None:
            raise NodesDisagreeError(f"the nodes disagree about block {number}")
        return block

    def block(self, number: int) -> Block | None:
        """See ``Chain``."""
        return self._agreed(f"block {number}", lambda node: node.block(number))

    def call(
        self, to: bytes, calldata: bytes, block: BlockTag = "latest", sender: bytes = bytes(20)
    ) -> bytes:
        """See ``Chain``; nodes must agree about refusals too."""

        def question(node: Chain) -> tuple[bytes, CallRevertedError | None, str]:
            try:
                return node.call(to, calldata, block, sender), None, ""
            except CallRevertedError as refused:
                return refused.output, refused, "refused"

        answers = self._ask(question)
        verdicts = [(output, verdict) for output, _, verdict in answers]
        for (output, refused, _), verdict in zip(answers, verdicts, strict=True):
            if verdicts.count(verdict) >= self._quorum:
                if refused is not None:
                    raise refused
                return output
        raise NodesDisagreeError(f"the nodes disagree about a call of 0x{to.hex()}")

    def logs(
        self,
        addresses: list[bytes],
        topics: list[bytes | list[bytes] | None],
        first: int,
        last: int,
    ) -> list[Log]:
        """See ``Chain``."""
        return self._agreed(
            f"the logs of blocks {first} to {last}",
            lambda node: node.logs(addresses, topics, first, last),
        )

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """See ``Chain``."""
        return self._agreed(f"receipt 0x{tx_hash.hex()}", lambda node: node.receipt(tx_hash))

    def calldata(self, tx_hash: bytes) -> bytes:
        """See ``Chain``."""
        return self._agreed(f"0x{tx_hash.hex()}", lambda node: node.calldata(tx_hash))

    def nonce(self, address: bytes, *, pending: bool) -> int:
        """Return the nonce a quorum has reached; pools may differ, so the highest pending one."""
        nonces = sorted(self._ask(lambda node: node.nonce(address, pending=pending)))
        return nonces[-1] if pending else nonces[-self._quorum]

    def send_raw(self, raw: bytes) -> Sent:
        """Hand it to all nodes; the best answer of any counts."""
        return min(
            self._ask(lambda node: node.send_raw(raw)),
            key=lambda sent: _BEST_FIRST.index(sent.sending),
        )

    def base_fee(self) -> int:
        """Return the highest: what is offered must be enough for the node that is ahead."""
        return max(self._ask(lambda node: node.base_fee()))

    def code(self, address: bytes) -> bytes:
        """See ``Chain``."""
        return self._agreed(f"the code at 0x{address.hex()}", lambda node: node.code(address))

    def balance(self, address: bytes) -> int:
        """Return what a quorum says the balance is at least."""
        return sorted(self._ask(lambda node: node.balance(address)))[-self._quorum]
