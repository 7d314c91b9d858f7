"""How does a merchant prove that an invoice's tokens were sold at that price in that batch?

A receipt is a JSON document that carries everything the proof needs: both orders as they were
signed, the trade, its place among the batch's trades, the Merkle path, and the header that with
the root makes the batch's head. What the chain says of itself, ``batchHash(number)``, decides;
``why_refused`` does the rest without a chain, and so does any other program (the tests have one in
JavaScript).
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from eth_abi.exceptions import EncodingError

from settlement.batches.decode import OpenedBatch, OpenedTrade, open_batch
from settlement.batches.encode import Header, leaf_of, next_head
from settlement.outbox.actions import BatchState
from settlement.outbox.outbox import Outbox
from settlement.protocol import merkle
from settlement.protocol.checksum import ADDRESS_SIZE
from settlement.protocol.eip712 import (
    DOMAIN_NAME,
    DOMAIN_VERSION,
    HASH_SIZE,
    Domain,
    order_digest,
)
from settlement.protocol.evidence import SignedOrder

FORMAT: Final = "tillbook-receipt-1"

UNREADABLE: Final = (ValueError, OverflowError, EncodingError)
"""What figures raise that are none, or too large for the types of the chain."""


class ProofDomain(msgspec.Struct, frozen=True, rename="camel"):
    """The EIP-712 domain both orders are signed under."""

    name: str
    version: str
    chain_id: int
    verifying_contract: str


class OrderPreimage(msgspec.Struct, frozen=True, rename="camel"):
    """An order as it was signed (EIP-712 ``Order``); 64-bit figures are decimal strings."""

    account: str
    nonce: str
    flags: int
    lane: int
    base: str
    quote: str
    base_amount: str
    quote_amount: str
    trigger_or_display: str
    expiry: int
    max_fee_ppm: int
    ref: str


class ProofTrade(msgspec.Struct, frozen=True, rename="camel"):
    """What changed hands, in pips as decimal strings."""

    base_amount: str
    quote_amount: str
    buy_fee: str
    sell_fee: str


class ProofHeader(msgspec.Struct, frozen=True, rename="camel"):
    """The header of the batch; 64-bit figures are decimal strings."""

    batch: str
    prev_head: str
    close_time: str
    log_root: str
    first_sequence: str
    command_count: int


class TradeProof(msgspec.Struct, frozen=True, rename="camel"):
    """Proof of one trade. ``index`` of ``trade_count`` is its place in the batch; ``path`` bottom
    up.

    ``head == keccak256(abi.encode(header, tradeCount, root of leaf and path))``. ``transaction``
    and ``state`` are hints where to look, not proven.
    """

    format: str
    domain: ProofDomain
    header: ProofHeader
    trade_count: int
    index: int
    buy: OrderPreimage
    sell: OrderPreimage
    trade: ProofTrade
    leaf: str
    path: list[str]
    head: str
    transaction: str | None
    state: str


def proofs_of(
    outbox: Outbox,
    domain: Domain,
    tokens: list[bytes],
    account: bytes,
    ref: bytes,
    trade_ids: list[int],
) -> list[TradeProof]:
    """Return a receipt for each trade of ``account`` for ``ref`` in the batches of ``trade_ids``.

    Trades that are in no batch yet have none. ``tokens`` are listed addresses by number on chain.
    """
    states = (outbox.batch_of_trade(trade_id) for trade_id in trade_ids)
    batches = {state.batch.number: state for state in states if state is not None}
    receipts: list[TradeProof] = []
    for number, state in sorted(batches.items()):
        opened = open_batch(outbox.calldata(number), domain, tokens)
        receipts += [
            _receipt(domain, opened, index, trade, state)
            for index, trade in enumerate(opened.trades)
            if any(o.account == account and o.ref == ref for o in (trade.buy, trade.sell))
        ]
    return receipts


def proof_of_trade(
    outbox: Outbox,
    domain: Domain,
    tokens: list[bytes],
    trade_id: int,
    is_busted: Callable[[int], bool],
) -> TradeProof | None:
    """Return the receipt of one trade; None while no batch carries it, or if none ever will.

    Decodes a whole batch: not for the event loop's thread.
    """
    state = outbox.batch_of_trade(trade_id)
    if state is None or is_busted(trade_id):
        return None
    opened = open_batch(outbox.calldata(state.batch.number), domain, tokens)
    before = range(state.batch.first_trade, trade_id)
    index = len(before) - sum(map(is_busted, before))
    return _receipt(domain, opened, index, opened.trades[index], state)


def _receipt(
    domain: Domain, opened: OpenedBatch, index: int, trade: OpenedTrade, found: BatchState
) -> TradeProof:
    return TradeProof(
        format=FORMAT,
        domain=ProofDomain(DOMAIN_NAME, DOMAIN_VERSION, domain.chain_id, _hex(domain.contract)),
        header=_header(opened.header),
        trade_count=len(opened.trades),
        index=index,
        buy=_preimage(trade.buy),
        sell=_preimage(trade.sell),
        trade=ProofTrade(
            str(trade.base_pips),
            str(trade.quote_pips),
            str(trade.buy_fee_pips),
            str(trade.sell_fee_pips),
        ),
        leaf=_hex(opened.leaves[index]),
        path=[_hex(sibling) for sibling in merkle.path(opened.leaves, index)],
        head=_hex(opened.head),
        transaction=None if found.tx_hash is None else _hex(found.tx_hash),
        state=found.state.value,
    )


def why_refused(receipt: TradeProof, head_on_chain: bytes) -> str | None:
    """Return what is wrong with ``receipt``, or None if it is proven.

    ``head_on_chain`` is what the exchange contract answers to ``batchHash(batch)``. There are no
    signatures in a receipt: the contract has checked them, and the head is its word for it.
    """
    if receipt.format != FORMAT:
        return f"not a {FORMAT} document"
    if (receipt.domain.name, receipt.domain.version) != (DOMAIN_NAME, DOMAIN_VERSION):
        return "the orders are of another protocol"
    try:
        return _why_refused(receipt, head_on_chain)
    except UNREADABLE as error:
        return f"unreadable: {error}"


def _why_refused(receipt: TradeProof, head_on_chain: bytes) -> str | None:
    """As ``why_refused``. Raises one of ``UNREADABLE`` for figures that are none."""
    domain = Domain(
        receipt.domain.chain_id, _unhex(receipt.domain.verifying_contract, ADDRESS_SIZE)
    )
    buy, sell = _digest(domain, receipt.buy), _digest(domain, receipt.sell)
    pips = [int(text) for text in msgspec.structs.astuple(receipt.trade)]
    leaf = leaf_of(receipt.index, buy, sell, *pips)
    path = [_unhex(sibling) for sibling in receipt.path]
    header = header_of(receipt)
    if leaf != _unhex(receipt.leaf):
        return "the leaf is not made of these orders and this trade"
    root = merkle.root_from(leaf, receipt.index, receipt.trade_count, path)
    if root is None:
        return "the path has another length"
    head = next_head(header, receipt.trade_count, root)
    if not head == head_on_chain == _unhex(receipt.head):
        return f"the chain has another head for batch {header.batch}"
    return None


def header_of(receipt: TradeProof) -> Header:
    """Return the batch's header. Raises ValueError for figures that are none."""
    header = receipt.header
    return Header(
        batch=int(header.batch),
        prev_head=_unhex(header.prev_head),
        close_time=int(header.close_time),
        log_root=_unhex(header.log_root),
        first_sequence=int(header.first_sequence),
        command_count=header.command_count,
    )


def encode_receipts(receipts: Iterable[TradeProof]) -> bytes:
    """Return ``receipts`` as a JSON list for a file or an answer."""
    return msgspec.json.encode(list(receipts))


def _header(header: Header) -> ProofHeader:
    return ProofHeader(
        batch=str(header.batch),
        prev_head=_hex(header.prev_head),
        close_time=str(header.close_time),
        log_root=_hex(header.log_root),
        first_sequence=str(header.first_sequence),
        command_count=header.command_count,
    )


def _preimage(order: SignedOrder) -> OrderPreimage:
    return OrderPreimage(
        account=_hex(order.account),
        nonce=str(order.nonce),
        flags=order.flags,
        lane=order.lane,
        base=_hex(order.base),
        quote=_hex(order.quote),
        base_amount=str(order.base_amount),
        quote_amount=str(order.quote_amount),
        trigger_or_display=str(order.trigger_or_display),
        expiry=order.expiry,
        max_fee_ppm=order.max_fee_ppm,
        ref=_hex(order.ref),
    )


def _digest(domain: Domain, preimage: OrderPreimage) -> bytes:
    order = SignedOrder(
        account=_unhex(preimage.account, ADDRESS_SIZE),
        nonce=int(preimage.nonce),
        flags=preimage.flags,
        lane=preimage.lane,
        base=_unhex(preimage.base, ADDRESS_SIZE),
        quote=_unhex(preimage.quote, ADDRESS_SIZE),
        base_amount=int(preimage.base_amount),
        quote_amount=int(preimage.quote_amount),
        trigger_or_display=int(preimage.trigger_or_display),
        expiry=preimage.expiry,
        max_fee_ppm=preimage.max_fee_ppm,
        ref=_unhex(preimage.ref),
        signature=b"",
        signer=b"",
        digest=b"",
    )
    return order_digest(domain, order)


def _hex(octets: bytes) -> str:
    return "0x" + octets.hex()


def _unhex(text: str, size: int = HASH_SIZE) -> bytes:
    read = bytes.fromhex(text.removeprefix("0x"))
    if len(read) != size:
        raise ValueError(f"{len(read)} bytes where {size} are asked")
    return read
