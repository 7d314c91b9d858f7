"""What has the chain changed in some accounts, and by what?

Trades by the calldata that each batch was settled with, held against the head that the contract
keeps of it, and by the signatures in it; all else by the contract's logs. No row of ours is asked.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

from settlement.audit.onchain import SETTLED_TOPIC, WITHDRAWN
from settlement.batches.decode import NoBatchError, OpenedTrade, open_batch
from settlement.chain.chain import Chain
from settlement.chain.deploy import Deployment
from settlement.protocol.abi import encode_call
from settlement.watching.watcher import (
    DEPOSITED,
    EXIT_FINISHED,
    Deposited,
    ExitFinished,
    chain_event_of,
)

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


class Moved(NamedTuple):
    """Pips that came into an account by a deposit, or left it; ``other`` is who was paid, or a
    deposit's reference."""

    account: bytes
    token: bytes
    pips: int
    tx_hash: bytes
    other: bytes
    block: int


class MovedOnChain(NamedTuple):
    """All of it up to ``block``: what the sellers sold, what each other order of the accounts
    turned over by its digest and token, what came and went, and what the vault has of theirs."""

    block: int
    sold: list[SoldInBatch]
    orders: dict[bytes, Counter[bytes]]
    deposits: list[Moved]
    payments: list[Moved]
    exits: list[Moved]
    has: Counter[bytes]


def moved_on_chain(
    chain: Chain,
    deployment: Deployment,
    accounts: Collection[bytes],
    sellers: Collection[SellerKey],
    confirmations: int,
) -> MovedOnChain:
    """Return what has so many ``confirmations``; what ``sellers`` sold is summed by batch and
    market, and stands in no other order.

    Raises ``NotAsSettledError``, and ``ChainUnavailableError``. Reads each batch there is.
    """
    block = max(0, chain.head().number - confirmations + 1)
    sums: dict[tuple[int, bytes, bytes], list[int]] = {}
    orders: dict[bytes, Counter[bytes]] = {}
    for number, trade in _trades(chain, deployment, block):
        buy, sell = trade.buy, trade.sell
        if (sell.account, sell.signer) in sellers:
            so_far = sums.setdefault((number, sell.base, sell.quote), [0, 0, 0])
            so_far[0] += trade.base_pips
            so_far[1] += trade.quote_pips
            so_far[2] += trade.sell_fee_pips
        elif sell.account in accounts:
            turned = orders.setdefault(sell.digest, Counter())
            turned[sell.base] -= trade.base_pips
            turned[sell.quote] += trade.quote_pips - trade.sell_fee_pips
        if buy.account in accounts:
            turned = orders.setdefault(buy.digest, Counter())
            turned[buy.base] += trade.base_pips
            turned[buy.quote] -= trade.quote_pips + trade.buy_fee_pips
    deposits, payments, exits = _money(chain, deployment, accounts, block)
    return MovedOnChain(
        block,
        [SoldInBatch(*place, *found) for place, found in sums.items()],
        orders,
        *(deposits, payments, exits),
        _has(chain, deployment, accounts, block),
    )


def _trades(chain: Chain, deployment: Deployment, block: int) -> Iterator[tuple[int, OpenedTrade]]:
    """Yield each trade with its batch's number."""
    exchange = deployment.exchange
    tokens = [token.address for token in deployment.tokens]
    for log in chain.logs([exchange], [SETTLED_TOPIC], deployment.deploy_block, block):
        number = int.from_bytes(log.topics[1], "big")
        try:
            opened = open_batch(chain.calldata(log.tx_hash), deployment.domain, tokens)
        except NoBatchError as error:
            raise NotAsSettledError(f"batch {number}: {error}") from error
        if opened.head != chain.call(exchange, encode_call("batchHash", number), block):
            raise NotAsSettledError(f"batch {number}: its calldata is not what was settled")
        for trade in opened.trades:
            yield number, trade


def _money(
    chain: Chain, deployment: Deployment, accounts: Collection[bytes], block: int
) -> tuple[list[Moved], list[Moved], list[Moved]]:
    deposits: list[Moved] = []
    payments: list[Moved] = []
    exits: list[Moved] = []
    topics = [DEPOSITED.topic, EXIT_FINISHED.topic, WITHDRAWN.topic]
    for log in chain.logs([deployment.exchange], [topics], deployment.deploy_block, block):
        words = WITHDRAWN.words(log) if log.topics[0] == WITHDRAWN.topic else None
        value = chain_event_of(log)
        if words is not None:
            account, token, to = (word.to_bytes(20, "big") for word in words[:3])
            found = Moved(account, token, words[3], log.tx_hash, to, log.block_number)
            into = payments
        elif isinstance(value, Deposited | ExitFinished):
            account, token, pips = value.account, value.token, value.amount
            other, into = account, exits
            if isinstance(value, Deposited):
                other, into = value.ref, deposits
            found = Moved(account, token, pips, log.tx_hash, other, log.block_number)
        else:
            continue
        if account in accounts:
            into.append(found)
    return deposits, payments, exits


def _has(
    chain: Chain, deployment: Deployment, accounts: Collection[bytes], block: int
) -> Counter[bytes]:
    has: Counter[bytes] = Counter()
    for account in sorted(accounts):
        for token in deployment.tokens:
            call = encode_call("balanceOf", account, token.address)
            answer = chain.call(deployment.exchange, call, block)
            has[token.address] += int.from_bytes(answer, "big")
    return has
