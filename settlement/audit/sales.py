"""What have settled batches taken from some accounts, and given them, for what their session keys
have sold?

By the calldata that each batch was settled with, held against the head that the contract keeps of
it, and by the signatures in it: no row of ours is asked.
"""

from collections.abc import Collection
from typing import NamedTuple

from settlement.audit.onchain import SETTLED_TOPIC
from settlement.batches.decode import NoBatchError, open_batch
from settlement.chain.chain import Chain
from settlement.chain.deploy import Deployment
from settlement.protocol.abi import encode_call

SellerKey = tuple[bytes, bytes]
"""(account, session key)."""


class NotAsSettledError(Exception):
    """The node shows calldata that is not what the contract settled."""


class SoldInBatch(NamedTuple):
    """What one batch changed in an account in one market: less ``sold_pips`` of ``base``, more
    ``proceeds_pips`` less ``fee_pips`` of ``quote``."""

    batch: int
    base: bytes
    quote: bytes
    sold_pips: int
    proceeds_pips: int
    fee_pips: int


class SoldOnChain(NamedTuple):
    """All of it up to ``block``."""

    block: int
    batches: list[SoldInBatch]


def sold_on_chain(
    chain: Chain, deployment: Deployment, sellers: Collection[SellerKey], confirmations: int
) -> SoldOnChain:
    """Return what ``sellers`` sold in the batches that have so many ``confirmations``.

    Raises ``NotAsSettledError``, and ``ChainUnavailableError``. Reads each batch there is.
    """
    exchange = deployment.exchange
    block = max(0, chain.head().number - confirmations + 1)
    tokens = [token.address for token in deployment.tokens]
    sums: dict[tuple[int, bytes, bytes], list[int]] = {}
    for log in chain.logs([exchange], [SETTLED_TOPIC], deployment.deploy_block, block):
        number = int.from_bytes(log.topics[1], "big")
        try:
            opened = open_batch(chain.calldata(log.tx_hash), deployment.domain, tokens)
        except NoBatchError as error:
            raise NotAsSettledError(f"batch {number}: {error}") from error
        if opened.head != chain.call(exchange, encode_call("batchHash", number), block):
            raise NotAsSettledError(f"batch {number}: its calldata is not what was settled")
        for trade in opened.trades:
            sell = trade.sell
            if (sell.account, sell.signer) in sellers:
                so_far = sums.setdefault((number, sell.base, sell.quote), [0, 0, 0])
                so_far[0] += trade.base_pips
                so_far[1] += trade.quote_pips
                so_far[2] += trade.sell_fee_pips
    return SoldOnChain(block, [SoldInBatch(*place, *found) for place, found in sums.items()])
