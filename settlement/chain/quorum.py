"""What does the chain say if its nodes do not agree?

``QuorumChain`` asks several nodes and believes what enough of them say alike. Where they do not, it
is as if nobody had answered: nothing is credited, sent or called final on the word of one node, and
the next step asks again. What is to be mined is handed to all.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final, TypeVar

from settlement.chain.chain import (
    Block,
    BlockTag,
    CallRevertedError,
    Chain,
    ChainUnavailableError,
    Log,
    LogFilter,
    Receipt,
    Sending,
    Sent,
    Topics,
    node_at,
)

T = TypeVar("T")

_BEST_FIRST: Final = (
    Sending.ACCEPTED,
    Sending.ALREADY_KNOWN,
    Sending.NONCE_TOO_LOW,
    Sending.UNDERPRICED,
    Sending.REJECTED,
)

_TAKEN: Final = (Sending.ACCEPTED, Sending.ALREADY_KNOWN)


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
        # One thread a node: what one leaves unanswered keeps only its own later questions waiting.
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="node") for _ in nodes]
        self._chain_id: int | None = None

    def _ask(
        self, question: Callable[[Chain], T], is_enough: Callable[[list[T]], bool] | None = None
    ) -> list[T]:
        """Return the answers of all nodes, or the first ones that are enough.

        A node that keeps us waiting is not waited for where the others suffice.
        """
        asked = [
            threads.submit(question, node)
            for threads, node in zip(self._threads, self._nodes, strict=True)
        ]
        answers: list[T] = []
        silent: list[str] = []
        for future in as_completed(asked):
            try:
                answers.append(future.result())
            except ChainUnavailableError as error:
                silent.append(str(error))
            if is_enough is not None and is_enough(answers):
                break
        for future in asked:
            future.cancel()
        if len(answers) < self._quorum:
            raise ChainUnavailableError(f"{len(answers)} nodes answer: {'; '.join(silent)}")
        return answers

    def _agreed(self, what: str, question: Callable[[Chain], T]) -> T:
        """Return what a quorum says alike."""
        answers = self._ask(question, lambda given: self._common(given) is not None)
        common = self._common(answers)
        if common is None:
            raise NodesDisagreeError(f"the nodes disagree about {what}")
        return answers[common]

    def _common(self, answers: list[T]) -> int | None:
        """Return where in ``answers`` one is that a quorum gave."""
        counts = enumerate(map(answers.count, answers))
        return next((at for at, count in counts if count >= self._quorum), None)

    def _are_many(self, answers: Sequence[object]) -> bool:
        """Return whether a quorum has answered, whatever it said."""
        return len(answers) >= self._quorum

    @property
    def chain_id(self) -> int:
        """See ``Chain``; asked once."""
        if self._chain_id is None:
            self._chain_id = self._agreed("the chain id", lambda node: node.chain_id)
        return self._chain_id

    def head(self) -> Block:
        """Return the newest block that a quorum has, if they have the same one there."""
        heads = self._ask(lambda node: node.head(), self._are_many)
        number = sorted(head.number for head in heads)[-self._quorum]
        block = self.block(number)
        if block is None:
            raise NodesDisagreeError(f"the nodes disagree about block {number}")
        return block

    def block(self, number: int) -> Block | None:
        """See ``Chain``."""
        return self._agreed(f"block {number}", lambda node: node.block(number))

    def call(
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        """See ``Chain``; nodes must agree about refusals too."""

        reasons: dict[bytes, str] = {}  # Each node has words of its own for the same refusal.

        def question(node: Chain) -> tuple[bytes, bool]:
            try:
                return node.call(to, calldata, block, sender, gas), False
            except CallRevertedError as refused:
                reasons[refused.output] = refused.reason
                return refused.output, True

        output, is_refused = self._agreed(f"a call of 0x{to.hex()}", question)
        if is_refused:
            raise CallRevertedError(reasons[output], output)
        return output

    def logs(self, addresses: list[bytes], topics: Topics, first: int, last: int) -> list[Log]:
        """See ``Chain``; each node shows for itself that it has the last block."""
        return self._agreed(
            f"the logs of blocks {first} to {last}",
            lambda node: node.logs(addresses, topics, first, last),
        )

    def logs_of(self, block: Block, wanted: list[LogFilter]) -> list[Log]:
        """See ``Chain``."""
        return self._agreed(
            f"the logs of block {block.number}", lambda node: node.logs_of(block, wanted)
        )

    def positions(self, logs: list[Log]) -> list[int]:
        """See ``Chain``."""
        return self._agreed("where logs begin", lambda node: node.positions(logs))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """See ``Chain``."""
        return self._agreed(f"receipt 0x{tx_hash.hex()}", lambda node: node.receipt(tx_hash))

    def calldata(self, tx_hash: bytes) -> bytes:
        """See ``Chain``."""
        return self._agreed(f"0x{tx_hash.hex()}", lambda node: node.calldata(tx_hash))

    def nonce(self, address: bytes, *, pending: bool) -> int:
        """Return the nonce a quorum has reached; pools may differ, so the highest pending one."""
        is_enough = None if pending else self._are_many
        nonces = sorted(self._ask(lambda node: node.nonce(address, pending=pending), is_enough))
        return nonces[-1] if pending else nonces[-self._quorum]

    def send_raw(self, raw: bytes) -> Sent:
        """Hand it to all nodes; the best answer of any counts.

        All are waited for only where no quorum has answered yet, or none of it has taken it: one
        that refuses may not know what another does.
        """

        def is_taken(given: list[Sent]) -> bool:
            return self._are_many(given) and any(sent.sending in _TAKEN for sent in given)

        return min(
            self._ask(lambda node: node.send_raw(raw), is_taken),
            key=lambda sent: _BEST_FIRST.index(sent.sending),
        )

    def base_fee(self) -> int:
        """Return the highest: what is offered must be enough for the node that is ahead."""
        return max(self._ask(lambda node: node.base_fee(), self._are_many))

    def code(self, address: bytes) -> bytes:
        """See ``Chain``."""
        return self._agreed(f"the code at 0x{address.hex()}", lambda node: node.code(address))

    def balance(self, address: bytes) -> int:
        """Return what a quorum says the balance is at least."""
        return sorted(self._ask(lambda node: node.balance(address), self._are_many))[-self._quorum]
