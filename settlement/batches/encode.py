"""Which bytes settle these trades? Encode a batch for ``Exchange.settle`` and predict its head.

Pure: the same header and trades give the same calldata, head and leaves, so batch k + 1 can be
sealed and signed before batch k is mined.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from eth_abi.abi import encode

from engine.types import fee_pips
from settlement.protocol import merkle
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import SIGNATURE_SIZE, keccak256
from settlement.protocol.evidence import OrderBits, SignedOrder

GENESIS_HEAD: Final = bytes(32)
FIRST_BATCH: Final = 1
TOKENS_PER_WORD: Final = 3

TOKENS_MAX: Final = 32
"""The contract lists no more."""

_CALLDATA_FIXED: Final = 4 + 32 * (6 + 2 + 2)
"""Selector, header, and where the two lists begin and how long they are."""

# Gas: measured worst cases with a margin; `tests/chain` holds real batches below. Measured: 22,100
# for a word that is new, 12,800 for an order by a session key and 5,800 for a trade of two of them
# whose tokens lie in two words each, calldata of these without its last non-zero bytes.
_GAS_FIXED: Final = 130_000
_GAS_PER_WORD: Final = 23_500
_GAS_PER_ORDER: Final = 14_500
_GAS_PER_TRADE: Final = 6_500
_GAS_PER_TOKEN: Final = 24_500
_MEMORY_WORDS: Final = 64

_LEAF_TYPES: Final = (
    "uint256",
    "bytes32",
    "bytes32",
    "uint64",
    "uint64",
    "int64",
    "int64",
)
_HEAD_TYPES: Final = ("(uint64,bytes32,uint64,bytes32,uint64,uint32)", "uint256", "bytes32")

_UINT32: Final = 2**32
"""Wraps a signed fee into its 32 bits."""


class Header(NamedTuple):
    """What the operator says about a batch; ``close_time`` in seconds, hashes 32 bytes."""

    batch: int
    prev_head: bytes
    close_time: int
    log_root: bytes
    first_sequence: int
    command_count: int


class MatchedTrade(NamedTuple):
    """One trade with the evidence that both sides wanted it; amounts in pips.

    A negative fee is a rebate, paid out of the other side's fee.
    """

    trade_id: int
    sequence: int
    time_ns: int
    buy: SignedOrder
    sell: SignedOrder
    base_pips: int
    quote_pips: int
    buy_fee_ppm: int
    sell_fee_ppm: int


class Bust(NamedTuple):
    """A trade that has to be undone, and what the contract said about it."""

    trade: MatchedTrade
    reason: str

    def words(self) -> dict[str, int | str]:
        """Return what a log line says about it."""
        return {"trade": self.trade.trade_id, "reason": self.reason}


class EncodedBatch(NamedTuple):
    """A sealed batch: what to send, what the head will be, and the leaves for receipts."""

    header: Header
    calldata: bytes
    head: bytes
    trades_root: bytes
    gas_limit: int
    leaves: list[bytes]


def lane_half(order: SignedOrder) -> tuple[bytes, int, bool] | None:
    """Return (account, lane, upper half) that ``order`` rests on; None if it is single-shot."""
    if order.flags & OrderBits.SINGLE_SHOT:
        return None
    return order.account, order.lane, bool(order.flags & OrderBits.UPPER_HALF)


def encode_batch(
    header: Header, trades: list[MatchedTrade], token_numbers: dict[bytes, int]
) -> EncodedBatch:
    """Encode ``trades`` (in trade order) as one batch.

    ``token_numbers`` maps token addresses to their numbers on chain. Raises ``KeyError`` for a
    token without number.
    """
    orders = listed_once(trades)
    order_index = {order.digest: index for index, order in enumerate(orders)}

    calldata = encode_call(
        "settle",
        tuple(header),
        [order_tuple(order, token_numbers) for order in orders],
        [_pack_trade(trade, order_index) for trade in trades],
    )
    leaves = [trade_leaf(index, trade) for index, trade in enumerate(trades)]
    trades_root = merkle.root(leaves)
    return EncodedBatch(
        header=header,
        calldata=calldata,
        head=next_head(header, len(trades), trades_root),
        trades_root=trades_root,
        gas_limit=gas_bound(len(orders), len(trades), len(words_of(orders, token_numbers))),
        leaves=leaves,
    )


def next_head(header: Header, trade_count: int, trades_root: bytes) -> bytes:
    """Return the contract's head after it settled this batch (see ``Heads.sol``)."""
    return keccak256(encode(_HEAD_TYPES, (tuple(header), trade_count, trades_root)))


def trade_leaf(index: int, trade: MatchedTrade) -> bytes:
    """Return the Merkle leaf of the batch's trade number ``index`` (from 0)."""
    return leaf_of(
        index,
        trade.buy.digest,
        trade.sell.digest,
        trade.base_pips,
        trade.quote_pips,
        signed_fee_pips(trade.quote_pips, trade.buy_fee_ppm),
        signed_fee_pips(trade.quote_pips, trade.sell_fee_ppm),
    )


def leaf_of(index: int, buy_digest: bytes, sell_digest: bytes, *pips: int) -> bytes:
    """Return the leaf of trade ``index``; ``pips`` are base, quote, buyer's and seller's fee."""
    return keccak256(encode(_LEAF_TYPES, (index, buy_digest, sell_digest, *pips)))


def signed_fee_pips(quote_pips: int, fee_ppm: int) -> int:
    """Return a fee, or a rebate as a negative one; both are rounded towards zero."""
    return fee_pips(quote_pips, fee_ppm) if fee_ppm >= 0 else -fee_pips(quote_pips, -fee_ppm)


def gas_bound(orders: int, trades: int, words: int) -> int:
    """Return gas that a batch of this shape never exceeds, whatever is in it (not an estimate).

    Counts, not lists, so that the sealer can ask before it builds anything. Every word is taken for
    cold and new, every order for signed by a session key, every token for one that had no fees yet.
    """
    tokens = min(2 * orders, TOKENS_MAX)
    memory_words = _MEMORY_WORDS + 3 * orders + trades
    return (
        _GAS_FIXED
        + _GAS_PER_WORD * words
        + _GAS_PER_ORDER * orders
        + _GAS_PER_TRADE * trades
        + _GAS_PER_TOKEN * tokens
        + 3 * memory_words
        + memory_words * memory_words // 512
    )


def calldata_size(orders: int, trades: int) -> int:
    """Return how many bytes a batch of this shape has."""
    return _CALLDATA_FIXED + 32 * (5 * orders + trades)


def listed_once(trades: Iterable[MatchedTrade]) -> list[SignedOrder]:
    """Return each order once, as a batch lists them.

    Of one lane half, and of one account's single shots, the lower nonce first: behind a higher one
    the contract refuses it, a single shot if it is far behind. Apart from that market by market,
    for each change of market costs gas.
    """
    orders = {order.digest: order for trade in trades for order in (trade.buy, trade.sell)}
    nonces: defaultdict[tuple[bytes, int, bool], set[int]] = defaultdict(set)
    for order in orders.values():
        nonces[_nonces_of(order)].add(order.nonce)
    turns = {
        (key, nonce): turn
        for key, used in nonces.items()
        for turn, nonce in enumerate(sorted(used))
    }

    def place(order: SignedOrder) -> tuple[int, bytes, bytes]:
        # The first nonce of each before the second of any, whatever their markets are.
        return turns[_nonces_of(order), order.nonce], order.base, order.quote

    return sorted(orders.values(), key=place)


def _nonces_of(order: SignedOrder) -> tuple[bytes, int, bool]:
    """Return what counts the order's nonce: its lane half, or its account's window as lane 0."""
    return lane_half(order) or (order.account, 0, False)


def words_of(
    orders: Iterable[SignedOrder], token_numbers: dict[bytes, int]
) -> set[tuple[bytes, int]]:
    """Return the state words, as (account, index), that settling ``orders`` touches: base balance,
    quote balance, and what remembers the order."""
    words: set[tuple[bytes, int]] = set()
    for order in orders:
        state = 0 if order.flags & OrderBits.SINGLE_SHOT else order.lane
        groups = (token_numbers[token] // TOKENS_PER_WORD for token in (order.base, order.quote))
        words.update((order.account, index) for index in (*groups, state))
    return words


def order_tuple(order: SignedOrder, token_numbers: dict[bytes, int]) -> tuple[object, ...]:
    """Return an order as a batch lists it: terms, place, reference and compact signature."""
    terms = _packed(
        (order.nonce, 64),
        (order.base_amount, 64),
        (order.quote_amount, 64),
        (order.expiry, 32),
        (order.max_fee_ppm, 16),
        (order.flags, 16),
    )
    place = _packed(
        (order.trigger_or_display, 64),
        (token_numbers[order.base], 8),
        (token_numbers[order.quote], 8),
        (order.lane, 16),
        (int.from_bytes(order.account, "big"), 160),
    )
    return (terms, place, order.ref, *compact(order.signature))


def _pack_trade(trade: MatchedTrade, order_index: dict[bytes, int]) -> int:
    return _packed(
        (order_index[trade.buy.digest], 16),
        (order_index[trade.sell.digest], 16),
        (trade.buy_fee_ppm % _UINT32, 32),
        (trade.sell_fee_ppm % _UINT32, 32),
        (trade.base_pips, 64),
        (trade.quote_pips, 64),
    )


def _packed(*fields: tuple[int, int]) -> int:
    """Return (number, bits) fields side by side, the first one on top (see ``Packing.sol``)."""
    word = 0
    for number, bits in fields:
        assert 0 <= number < 1 << bits, "checked at admission"
        word = word << bits | number
    return word


def compact(signature: bytes) -> tuple[bytes, bytes]:
    """Return (r, vs) of a signature r, s, v: EIP-2098, the top bit of ``vs`` is v - 27."""
    assert len(signature) == SIGNATURE_SIZE and signature[64] in (27, 28), "checked at admission"
    parity = (signature[64] - 27) << 7
    return signature[:32], bytes([signature[32] | parity]) + signature[33:64]
