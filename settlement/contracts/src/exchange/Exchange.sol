// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Custodian} from "../custody/Custodian.sol";
import {Digests} from "../libraries/Digests.sol";
import {Heads} from "../libraries/Heads.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Packing} from "../libraries/Packing.sol";
import {Receipts} from "./Receipts.sol";
import {MemoryHash} from "../libraries/MemoryHash.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Header, Order, Trade} from "../interfaces/Types.sol";
import {Vault} from "./Vault.sol";
import {StateWords} from "../libraries/StateWords.sol";

/// @title Tillbook exchange
/// @notice How is a batch of trades settled?
/// Every order of a batch is verified here: signature, limit price, expiry, fee cap, fills.
/// The operator chooses what is matched and when, and nothing else.
/// @dev Invariants: a batch applies once, on the history it was built on, whole or not at all; an
/// order is never filled beyond its amount or its limit, over all batches; a settlement moves
/// balances and fees and leaves their sum per token unchanged. `settle` calls no other contract, so
/// no token and no wallet can stop a batch.
contract Exchange is Receipts {
    using Packing for uint256;
    using Packing for Trade;

    /// @dev The highest fee any order can be charged, whatever it signed: one percent.
    uint256 private constant FEE_MAX_PPM = 10_000;
    int256 private constant PPM = 1_000_000;
    /// @dev Clocks of engine and chain may differ this much; seconds.
    uint64 private constant CLOCK_TOLERANCE = 15;

    uint256 private constant SELL = 1;
    uint256 private constant SINGLE_SHOT = 2;
    uint256 private constant UPPER_HALF = 4;
    uint256 private constant FLAGS_END = 16;

    /// @dev Length of what is hashed of `Admitted` and of `Leaf`, in words.
    uint256 private constant ORDER_WORDS = 12;
    uint256 private constant LEAF_WORDS = 7;

    /// @dev A verified order. The first twelve words are what EIP-712 hashes, in its order and
    /// width: the digest is taken from them in place, and what the trades use is what was signed.
    struct Admitted {
        bytes32 typeHash;
        address account;
        uint256 nonce;
        uint256 flags;
        uint256 lane;
        address base;
        address quote;
        uint256 baseAmount;
        uint256 quoteAmount;
        uint256 expiry;
        uint256 maxFeePpm;
        bytes32 ref;
        /// What was signed ends here.
        bytes32 digest;
        /// The session key that signed; zero if the account did.
        address key;
        /// Base pips filled in this batch.
        uint256 filled;
        uint256 baseToken;
        uint256 quoteToken;
        uint256 baseWord;
        uint256 quoteWord;
        uint256 stateWord;
    }

    /// @dev The batch's working copy of storage. One word is here once, because keys ascend
    /// strictly.
    struct BatchState {
        uint256 closeTime;
        bytes32 domain;
        uint256[] words;
        uint256[] fees;
        address[] tokens;
        Admitted[] orders;
    }

    constructor(
        address admin_,
        address operator_,
        address feeReceiver_,
        Custodian custodian_,
        uint64 horizon_,
        uint64 exitDelay_,
        uint64 deadmanDelay_
    ) Vault(admin_, operator_, feeReceiver_, custodian_, horizon_, exitDelay_, deadmanDelay_) {}

    /// @inheritdoc IExchange
    /// @dev `prevHead` makes a resend after a lost receipt revert here instead of paying twice: the
    /// chain, not the sender's database, decides exactly-once.
    function settle(
        Header calldata header,
        uint256[] calldata keys,
        Order[] calldata orders,
        Trade[] calldata trades
    ) external {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        if (trades.length != 0 && header.commandCount == 0) revert TradesWithoutCommands();
        _open(header);

        BatchState memory state;
        state.closeTime = header.closeTime;
        state.domain = domainSeparator();
        state.words = _load(keys);
        state.fees = new uint256[](tokenCount());
        state.tokens = new address[](tokenCount());
        Admitted[] memory admitted = new Admitted[](orders.length);
        state.orders = admitted;
        for (uint256 i; i < orders.length; ++i) {
            _admit(i, orders[i], keys, state, admitted[i]);
        }
        bytes32 tradesRoot = _tradeAll(trades, state);
        _store(keys, state);

        bytes32 newHead = Heads.headOf(header, trades.length, tradesRoot);
        batchHash[header.batch] = newHead;
        emit BatchSettled(header.batch, newHead, header.logRoot, tradesRoot);
    }

    /// @inheritdoc IExchange
    function head() public view returns (bytes32) {
        return batchHash[nextBatch - 1];
    }

    /// @inheritdoc IExchange
    function laneOf(address account, uint16 lane, bool upperHalf)
        external
        view
        returns (uint64, uint64)
    {
        uint256 shift = upperHalf ? StateWords.HALF_BITS : 0;
        (uint256 nonce, uint256 filled) =
            StateWords.lane(_words[StateWords.keyOf(account, lane)], shift);
        return lane < StateWords.FIRST_LANE ? (0, 0) : (uint64(nonce), uint64(filled));
    }

    /// @inheritdoc IExchange
    function windowOf(address account) external view returns (uint40, uint24) {
        (uint256 highest, uint256 bitmap) =
            StateWords.window(_words[StateWords.keyOf(account, 0)]);
        return (uint40(highest), uint24(bitmap));
    }

    /// @dev Is it this batch's turn and time?
    function _open(Header calldata header) private {
        uint64 batch = nextBatch;
        uint64 closeTime = header.closeTime;
        if (exitsOpen) revert SettlementClosed();
        if (header.batch != batch) revert BatchOutOfOrder(batch, header.batch);
        bytes32 prevHead = batchHash[batch - 1];
        if (header.prevHead != prevHead) revert WrongPrevHead(prevHead, header.prevHead);
        if (header.firstSequence != nextSequence) {
            revert SequenceGap(nextSequence, header.firstSequence);
        }
        if (closeTime < lastCloseTime) revert CloseTimeTooEarly(lastCloseTime, closeTime);
        if (closeTime + horizon < block.timestamp) {
            revert CloseTimeTooEarly(uint64(block.timestamp) - horizon, closeTime);
        }
        if (closeTime > block.timestamp + CLOCK_TOLERANCE) {
            revert CloseTimeTooLate(uint64(block.timestamp) + CLOCK_TOLERANCE, closeTime);
        }
        nextBatch = batch + 1;
        lastCloseTime = uint48(closeTime);
        lastBatchAt = uint48(block.timestamp);
        nextSequence = header.firstSequence + header.commandCount;
    }

    function _load(uint256[] calldata keys) private view returns (uint256[] memory words) {
        words = new uint256[](keys.length);
        uint256 last;
        for (uint256 i; i < keys.length; ++i) {
            uint256 key = keys[i];
            if (key <= last) revert KeysNotAscending(i);
            last = key;
            words[i] = _words[key];
        }
    }

    function _store(uint256[] calldata keys, BatchState memory state) private {
        uint256[] memory words = state.words;
        Admitted[] memory admitted = state.orders;
        for (uint256 i; i < admitted.length; ++i) {
            _countFills(i, admitted[i], words);
        }
        for (uint256 i; i < keys.length; ++i) {
            _words[keys[i]] = words[i];
        }
        for (uint256 number; number < state.fees.length; ++number) {
            if (state.fees[number] != 0) _fees[number] += state.fees[number];
        }
    }

    // ---------------------------------------------------------------- orders

    /// @dev Verify order number `index` and lay it out for the trades.
    function _admit(
        uint256 index,
        Order calldata order,
        uint256[] calldata keys,
        BatchState memory state,
        Admitted memory admitted
    ) private view {
        admitted.typeHash = Digests.ORDER_TYPE;
        _unpack(order, admitted);
        if (admitted.flags >= FLAGS_END) revert UnknownFlags(index, admitted.flags);
        if (admitted.expiry < state.closeTime) {
            revert OrderExpired(index, admitted.expiry, state.closeTime);
        }
        if (admitted.baseToken == admitted.quoteToken) {
            revert SameToken(index, admitted.baseToken);
        }
        admitted.base = _address(state.tokens, admitted.baseToken);
        admitted.quote = _address(state.tokens, admitted.quoteToken);
        _resolveKeys(index, keys, admitted);
        uint256[] memory words = state.words;
        words[admitted.stateWord] = _spendNonce(index, admitted, words[admitted.stateWord]);

        admitted.digest = MessageHashUtils.toTypedDataHash(
            state.domain, MemoryHash.hashWords(_pointer(admitted), ORDER_WORDS)
        );
        admitted.key = _signingKey(index, admitted, order.r, order.vs, state.closeTime);
    }

    function _unpack(Order calldata order, Admitted memory admitted) private pure {
        uint256 terms = order.terms;
        admitted.nonce = terms.nonce();
        admitted.baseAmount = terms.orderBase();
        admitted.quoteAmount = terms.orderQuote();
        admitted.expiry = terms.expiry();
        admitted.maxFeePpm = terms.maxFeePpm();
        uint256 place = order.place;
        admitted.flags = place.flags();
        admitted.baseToken = place.baseToken();
        admitted.quoteToken = place.quoteToken();
        admitted.baseWord = place.baseWord();
        admitted.quoteWord = place.quoteWord();
        admitted.stateWord = place.stateWord();
        admitted.ref = order.ref;
    }

    /// @dev Hold the order's three words to its account, tokens and kind.
    function _resolveKeys(uint256 index, uint256[] calldata keys, Admitted memory order)
        private
        pure
    {
        uint256 key = keys[order.baseWord];
        address account = StateWords.accountOf(key);
        uint256 first = StateWords.keyOf(account, 0);
        order.account = account;
        _requireKey(index, first | StateWords.groupOf(order.baseToken), key);
        _requireKey(index, first | StateWords.groupOf(order.quoteToken), keys[order.quoteWord]);

        key = keys[order.stateWord];
        if (order.flags & SINGLE_SHOT == 0) {
            uint256 lane = key & StateWords.INDEX_MASK;
            if (lane < StateWords.FIRST_LANE) revert NotALane(index, lane);
            order.lane = lane;
        }
        _requireKey(index, first | order.lane, key);
    }

    function _requireKey(uint256 index, uint256 expected, uint256 key) private pure {
        if (key != expected) revert WrongWord(index, expected, key);
    }

    /// @dev Note the order's nonce in its state word, or refuse it.
    function _spendNonce(uint256 index, Admitted memory order, uint256 word)
        private
        pure
        returns (uint256)
    {
        uint256 nonce = order.nonce;
        if (order.flags & SINGLE_SHOT == 0) {
            uint256 shift = _laneShift(order);
            (uint256 current,) = StateWords.lane(word, shift);
            if (nonce < current) revert LaneReplaced(index, nonce, current);
            return nonce == current ? word : StateWords.withLane(word, shift, nonce, 0);
        }
        if (nonce == 0 || nonce >= StateWords.WINDOW_NONCE_LIMIT) {
            revert NonceOutOfRange(index, nonce);
        }
        (bool fresh, uint256 spent) = StateWords.spend(word, nonce);
        if (!fresh) {
            (uint256 highest,) = StateWords.window(word);
            revert NonceUsed(index, nonce, highest);
        }
        return spent;
    }

    /// @return The session key that signed, or zero if the account did.
    function _signingKey(
        uint256 index,
        Admitted memory order,
        bytes32 r,
        bytes32 vs,
        uint256 closeTime
    ) private view returns (address) {
        address signer = Signatures.recoverCompact(order.digest, r, vs);
        if (signer == address(0)) revert BadSignature(index);
        if (signer == order.account) return address(0);
        _checkKey(
            index,
            order.account,
            signer,
            _market(order.baseToken, order.quoteToken),
            order.flags & SELL != 0,
            order.baseAmount,
            order.quoteAmount,
            closeTime
        );
        return signer;
    }

    /// @dev Hold the order's fills of this batch, and of all before on its lane, to its amount. The
    /// nonce is compared again because another order of this batch may have replaced it on the
    /// lane.
    function _countFills(uint256 index, Admitted memory order, uint256[] memory words)
        private
        pure
    {
        uint256 filled = order.filled;
        if (filled == 0) revert OrderWithoutTrade(index);
        if (order.flags & SINGLE_SHOT == 0) {
            uint256 shift = _laneShift(order);
            uint256 word = words[order.stateWord];
            (uint256 nonce, uint256 before) = StateWords.lane(word, shift);
            if (nonce != order.nonce) {
                revert LaneReplaced(index, order.nonce, nonce);
            }
            unchecked {
                filled += before; // At most 2**16 trades of 64 bits each, and 64 bits.
            }
            if (filled > order.baseAmount) revert Overfilled(index, filled, order.baseAmount);
            words[order.stateWord] = StateWords.withLane(word, shift, nonce, filled);
        } else if (filled > order.baseAmount) {
            revert Overfilled(index, filled, order.baseAmount);
        }
    }

    function _laneShift(Admitted memory order) private pure returns (uint256) {
        return order.flags & UPPER_HALF == 0 ? 0 : StateWords.HALF_BITS;
    }

    /// @dev Address of token `number`, read from storage once per batch. Refused while paused.
    function _address(address[] memory addresses, uint256 number) private view returns (address) {
        if (number >= addresses.length) revert UnknownTokenNumber(number);
        address token = addresses[number];
        if (token == address(0)) {
            bool paused;
            (token,, paused) = tokens(number);
            if (paused) revert TokenPaused(token);
            addresses[number] = token;
        }
        return token;
    }

    // ---------------------------------------------------------------- trades

    /// @return Merkle root over the trades, see `Merkle`; zero if there are none.
    function _tradeAll(Trade[] calldata trades, BatchState memory state)
        private
        returns (bytes32)
    {
        bytes32[] memory nodes = new bytes32[](trades.length);
        Leaf memory leaf;
        for (uint256 i; i < trades.length; ++i) {
            leaf.index = i;
            _trade(trades[i], state, leaf);
            nodes[i] = MemoryHash.hashWords(_pointer(leaf), LEAF_WORDS);
        }
        return Merkle.rootInPlace(nodes);
    }

    /// @dev Move base and quote between two orders, and say so in `leaf`, which has the index.
    function _trade(Trade trade, BatchState memory state, Leaf memory leaf) private {
        uint256 index = leaf.index;
        Admitted memory buy = state.orders[trade.buyIndex()];
        Admitted memory sell = state.orders[trade.sellIndex()];
        uint256 base = trade.baseAmount();
        uint256 quote = trade.quoteAmount();
        _checkTerms(index, base, quote, buy, sell);
        int256 buyFee = _fee(index, quote, trade.buyFeePpm(), buy.maxFeePpm);
        int256 sellFee = _fee(index, quote, trade.sellFeePpm(), sell.maxFeePpm);

        unchecked { // Terms have 64 bits, a batch 2**16 trades; a fee is at most 1 % of the quote.
            // A rebate comes out of the other side's fee and out of nothing else.
            if (buyFee + sellFee < 0) revert RebateAboveFee(index, buyFee, sellFee);
            buy.filled += base;
            sell.filled += base;
            state.fees[buy.quoteToken] += uint256(buyFee + sellFee);
            uint256[] memory words = state.words;
            _debit(words, buy.account, buy.quoteWord, buy.quoteToken, quote + uint256(buyFee));
            _debit(words, sell.account, sell.baseWord, sell.baseToken, base);
            _credit(words, buy.account, buy.baseWord, buy.baseToken, base);
            _credit(
                words, sell.account, sell.quoteWord, sell.quoteToken, quote - uint256(sellFee)
            );
        }
        if (buy.key != address(0)) {
            uint256 notional = base * buy.quoteAmount / buy.baseAmount;
            _chargeKey(index, buy.account, buy.key, notional);
        }
        if (sell.key != address(0)) {
            uint256 notional = base * sell.quoteAmount / sell.baseAmount;
            _chargeKey(index, sell.account, sell.key, notional);
        }

        leaf.buyDigest = buy.digest;
        leaf.sellDigest = sell.digest;
        leaf.baseAmount = base;
        leaf.quoteAmount = quote;
        leaf.buyFee = buyFee;
        leaf.sellFee = sellFee;
    }

    /// @dev Sides, market and both limit prices.
    function _checkTerms(
        uint256 index,
        uint256 base,
        uint256 quote,
        Admitted memory buy,
        Admitted memory sell
    ) private pure {
        if (buy.flags & SELL != 0 || sell.flags & SELL == 0) {
            revert WrongSide(index);
        }
        if (buy.base != sell.base || buy.quote != sell.quote) revert MarketMismatch(index);
        if (base == 0) revert EmptyTrade(index);
        unchecked { // Products of two 64-bit figures.
            if (quote * buy.baseAmount > base * buy.quoteAmount) revert BuyLimitBroken(index);
            if (quote * sell.baseAmount < base * sell.quoteAmount) revert SellLimitBroken(index);
        }
    }

    /// @dev Fee in quote pips. It and its negative, a rebate, are rounded towards zero.
    function _fee(uint256 index, uint256 quote, int256 feePpm, uint256 capPpm)
        private
        pure
        returns (int256)
    {
        if (capPpm > FEE_MAX_PPM) capPpm = FEE_MAX_PPM;
        if (feePpm > int256(capPpm)) revert FeeTooHigh(index, uint256(feePpm), capPpm);
        unchecked {
            return int256(quote) * feePpm / PPM; // 64 bits times 32 bits.
        }
    }

    function _debit(
        uint256[] memory words,
        address account,
        uint256 at,
        uint256 number,
        uint256 amount
    ) private pure {
        uint256 word = words[at];
        uint256 shift = StateWords.shiftOf(number);
        uint256 held = word >> shift & StateWords.MASK;
        if (amount > held) revert InsufficientBalance(account, number, held, amount);
        unchecked {
            words[at] = word - (amount << shift); // The field holds at least that much.
        }
    }

    function _credit(
        uint256[] memory words,
        address account,
        uint256 at,
        uint256 number,
        uint256 amount
    ) private pure {
        uint256 word = words[at];
        uint256 shift = StateWords.shiftOf(number);
        uint256 held = word >> shift & StateWords.MASK;
        unchecked { // Both are 64 bits; the field has room for the sum.
            if (held + amount > StateWords.MASK) {
                revert BalanceOverflow(account, number, held, amount);
            }
            words[at] = word + (amount << shift);
        }
    }

    function _pointer(Admitted memory order) private pure returns (uint256 pointer) {
        assembly ("memory-safe") { pointer := order }
    }

    function _pointer(Leaf memory leaf) private pure returns (uint256 pointer) {
        assembly ("memory-safe") { pointer := leaf }
    }
}
