"""What does a batch that was sent say? Read the calldata of ``Exchange.settle`` back into orders.

The head on chain binds header, trades and the orders behind them, so whoever has the calldata of a
batch needs nobody's word: not for the orders, not for the trades, not for the order they came in.
"""

from typing import NamedTuple

import msgspec
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from settlement.batches.encode import Header, leaf_of, next_head, signed_fee_pips
from settlement.protocol import merkle
from settlement.protocol.abi import SELECTOR_SIZE, abi_types, selector
from settlement.protocol.checksum import ADDRESS_SIZE
from settlement.protocol.eip712 import Domain, order_digest, recover
from settlement.protocol.evidence import SignedOrder


class NoBatchError(ValueError):
    """The bytes are no call of ``settle``."""


class OpenedTrade(NamedTuple):
    """One trade of a batch; amounts and fees in pips."""

    buy: SignedOrder
    sell: SignedOrder
    base_pips: int
    quote_pips: int
    buy_fee_pips: int
    sell_fee_pips: int

    def leaf(self, index: int) -> bytes:
        """Return the Merkle leaf of this trade as number ``index`` (from 0) of its batch."""
        return leaf_of(
            index,
            self.buy.digest,
            self.sell.digest,
            self.base_pips,
            self.quote_pips,
            self.buy_fee_pips,
            self.sell_fee_pips,
        )


class OpenedBatch(NamedTuple):
    """A batch as the contract read it."""

    header: Header
    orders: list[SignedOrder]
    trades: list[OpenedTrade]
    leaves: list[bytes]
    trades_root: bytes
    head: bytes


def open_batch(calldata: bytes, domain: Domain, tokens: list[bytes]) -> OpenedBatch:
    """Return what ``calldata`` settles; ``tokens`` are the listed addresses by number on chain.

    Raises ``NoBatchError``. Signers are recovered, not believed: an order that nobody signed has
    an empty ``signer``.
    """
    if calldata[:SELECTOR_SIZE] != selector("settle"):
        raise NoBatchError("the call is not settle")
    types = abi_types("Exchange", "function", "settle")
    try:
        header, orders, trades = decode(types, calldata[SELECTOR_SIZE:])
        opened = [_order(fields, domain, tokens) for fields in orders]
        listed = [_trade(fields, opened) for fields in trades]
    except (DecodingError, IndexError) as error:
        raise NoBatchError(f"the arguments of settle cannot be read: {error}") from error
    leaves = [trade.leaf(index) for index, trade in enumerate(listed)]
    root = merkle.root(leaves)
    said = Header(*header)
    return OpenedBatch(said, opened, listed, leaves, root, next_head(said, len(listed), root))


def _order(
    fields: tuple[int, int, bytes, bytes, bytes], domain: Domain, tokens: list[bytes]
) -> SignedOrder:
    terms, place, ref, r, vs = fields
    nonce, base_amount, quote_amount, *narrow = _unpacked(terms, 64, 64, 64, 32, 16, 16)
    expiry, max_fee_ppm, flags = narrow
    special, base, quote, lane, account = _unpacked(place, 64, 8, 8, 16, 160)
    order = SignedOrder(
        account=account.to_bytes(ADDRESS_SIZE, "big"),
        nonce=nonce,
        flags=flags,
        lane=lane,
        base=tokens[base],
        quote=tokens[quote],
        base_amount=base_amount,
        quote_amount=quote_amount,
        trigger_or_display=special,
        expiry=expiry,
        max_fee_ppm=max_fee_ppm,
        ref=ref,
        signature=r + bytes([vs[0] & 0x7F]) + vs[1:] + bytes([27 + (vs[0] >> 7)]),
        signer=b"",
        digest=b"",
    )
    digest = order_digest(domain, order)
    signer = recover(digest, order.signature)
    return msgspec.structs.replace(order, digest=digest, signer=signer or b"")


def _trade(word: int, orders: list[SignedOrder]) -> OpenedTrade:
    buy, sell, buy_ppm, sell_ppm, base_pips, quote_pips = _unpacked(word, 48, 16, 32, 32, 64, 64)
    return OpenedTrade(
        orders[buy],
        orders[sell],
        base_pips,
        quote_pips,
        signed_fee_pips(quote_pips, _signed(buy_ppm)),
        signed_fee_pips(quote_pips, _signed(sell_ppm)),
    )


def _unpacked(word: int, *widths: int) -> list[int]:
    """Return the fields of ``word``, the first one on top (see ``Packing.sol``)."""
    fields = []
    for width in reversed(widths):
        fields.append(word & (1 << width) - 1)
        word >>= width
    return fields[::-1]


def _signed(ppm: int) -> int:
    return ppm - (1 << 32) if ppm >> 31 else ppm
