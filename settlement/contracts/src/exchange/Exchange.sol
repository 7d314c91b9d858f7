// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Custodian} from "../custody/Custodian.sol";
import {Digests} from "../libraries/Digests.sol";
import {FlatLists} from "../libraries/FlatLists.sol";
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
/// no token and no wallet can stop a batch. Balances, replay windows and lanes are worked on where
/// they are stored: a word that was touched before is read and written for 100 gas, less than a
/// copy costs, and there is no copy that could differ.
contract Exchange is Receipts {
    using Packing for uint256;
    using Packing for Trade;
    using FlatLists for uint256[];
    using FlatLists for bytes32[];

    /// @dev The highest fee any order can be charged, whatever it signed: one percent.
    uint256 private constant FEE_MAX_PPM = 10_000;
    int256 private constant PPM = 1_000_000;
    /// @dev Clocks of engine and chain may differ this much; seconds.
    uint64 private constant CLOCK_TOLERANCE = 15;

    uint256 private constant SELL = 1;
    uint256 private constant SINGLE_SHOT = 2;
    uint256 private constant UPPER_HALF = 4;
    /// @dev Post-only, re-price, stop, iceberg and immediate: nothing for who does not wait.
    uint256 private constant WAITING = 8 | 32 | 64 | 128 | 1024;
    uint256 private constant FLAGS_END = 2048;

    /// @dev Length of what is hashed of `Form` and of `Leaf`, in words.
    uint256 private constant ORDER_WORDS = 13;
    uint256 private constant LEAF_WORDS = 7;

    /// @dev No order has it: a market has 16 bits. With zero, token 0 against itself would pass for
    /// the market that was looked at last.
    uint256 private constant NO_MARKET = type(uint256).max;

    /// @dev What EIP-712 hashes of an order, in its order and width: the digest is taken from it in
    /// place. One serves the whole batch.
    struct Form {
        bytes32 typeHash;
        address account;
        uint256 nonce;
        uint256 flags;
        uint256 lane;
        address base;
        address quote;
        uint256 baseAmount;
        uint256 quoteAmount;
        uint256 triggerOrDisplay;
        uint256 expiry;
        uint256 maxFeePpm;
        bytes32 ref;
    }

    /// @dev What a batch knows beside storage. `digests`, `filled` and `signers` are as long as
    /// `orders`, `fees` and `tokens` as there are tokens. Lists of words and not of structs: a
    /// function that hands out a struct in memory zeroes a new one at each call.
    struct Work {
        uint256 closeTime;
        bytes32 domain;
        /// The market whose token addresses are in `form`.
        uint256 market;
        uint256[] fees;
        address[] tokens;
        /// Of each order: what was signed.
        bytes32[] digests;
        /// Of each order: base pips filled in this batch.
        uint256[] filled;
        /// Of each order: the session key that signed; zero if the account did.
        uint256[] signers;
        Form form;
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
    function settle(Header calldata header, Order[] calldata orders, Trade[] calldata trades)
        external
    {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        if (trades.length != 0 && header.commandCount == 0) revert TradesWithoutCommands();
        _open(header);

        Work memory work;
        work.closeTime = header.closeTime;
        work.domain = domainSeparator();
        work.market = NO_MARKET;
        work.fees = new uint256[](tokenCount());
        work.tokens = new address[](tokenCount());
        work.digests = new bytes32[](orders.length);
        work.filled = new uint256[](orders.length);
        work.signers = new uint256[](orders.length);
        work.form.typeHash = Digests.ORDER_TYPE;
        for (uint256 i; i < orders.length; ++i) {
            _admit(i, orders[i], work);
        }
        bytes32 tradesRoot = _tradeAll(orders, trades, work);
        for (uint256 i; i < orders.length; ++i) {
            _close(i, orders[i], work.filled.get(i));
        }
        for (uint256 number; number < work.fees.length; ++number) {
            if (work.fees[number] != 0) _fees[number] += work.fees[number];
        }

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
            StateWords.lane(_words[StateWords.keyOf(account, lane)].bits, shift);
        return lane < StateWords.FIRST_LANE ? (0, 0) : (uint64(nonce), uint64(filled));
    }

    /// @inheritdoc IExchange
    function windowOf(address account) external view returns (uint40, uint24) {
        (uint256 highest, uint256 bitmap) =
            StateWords.window(_words[StateWords.keyOf(account, 0)].bits);
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

    // ---------------------------------------------------------------- orders

    /// @dev Verify order number `index`; a single-shot one spends its nonce.
    function _admit(uint256 index, Order calldata order, Work memory work) private {
        Form memory form = work.form;
        uint256 place = order.place;
        _unpack(order, form);
        if (form.flags >= FLAGS_END) revert UnknownFlags(index, form.flags);
        if (form.expiry < work.closeTime) {
            revert OrderExpired(index, form.expiry, work.closeTime);
        }
        if (place.market() != work.market) _enter(index, place, work);
        bytes32 digest = MessageHashUtils.toTypedDataHash(
            work.domain, MemoryHash.hashWords(_pointer(form), ORDER_WORDS)
        );
        work.digests.put(index, digest);
        address signer = Signatures.recoverCompact(digest, order.r, order.vs);
        // What recovers to nobody must not pass for a signature of account zero.
        if (signer == address(0)) revert BadSignature(index);
        if (signer != form.account) {
            _requireKey(index, signer, place, work);
            work.signers.put(index, uint160(signer));
        }
        if (form.flags & SINGLE_SHOT == 0) {
            if (form.lane < StateWords.FIRST_LANE) revert NotALane(index, form.lane);
        } else {
            if (form.lane != 0) revert NotALane(index, form.lane);
            if (form.flags & (UPPER_HALF | WAITING) != 0) {
                revert ContradictoryFlags(index, form.flags);
            }
            _spendNonce(index, form.account, form.nonce);
        }
    }

    function _unpack(Order calldata order, Form memory form) private pure {
        uint256 terms = order.terms;
        form.nonce = terms.nonce();
        form.baseAmount = terms.orderBase();
        form.quoteAmount = terms.orderQuote();
        form.expiry = terms.expiry();
        form.maxFeePpm = terms.maxFeePpm();
        form.flags = terms.flags();
        uint256 place = order.place;
        form.account = place.account();
        form.lane = place.lane();
        form.triggerOrDisplay = place.triggerOrDisplay();
        form.ref = order.ref;
    }

    /// @dev Bring the addresses of the order's market into the form.
    function _enter(uint256 index, uint256 place, Work memory work) private view {
        uint256 number = place.baseToken();
        if (number == place.quoteToken()) revert SameToken(index, number);
        work.form.base = _address(work.tokens, number);
        work.form.quote = _address(work.tokens, place.quoteToken());
        work.market = place.market();
    }

    /// @dev Refuse unless `signer` is a key that may sign the order in the form.
    function _requireKey(uint256 index, address signer, uint256 place, Work memory work)
        private
        view
    {
        Form memory form = work.form;
        _checkKey(
            index,
            form.account,
            signer,
            place.market(),
            form.flags & SELL != 0,
            form.baseAmount,
            form.quoteAmount,
            work.closeTime
        );
    }

    /// @dev Note a single-shot order's nonce in its account's replay window, or refuse it.
    function _spendNonce(uint256 index, address account, uint256 nonce) private {
        if (nonce == 0 || nonce >= StateWords.WINDOW_NONCE_LIMIT) {
            revert NonceOutOfRange(index, nonce);
        }
        StateWord storage word = _words[StateWords.keyOf(account, 0)];
        (bool fresh, uint256 spent) = StateWords.spend(word.bits, nonce);
        if (!fresh) {
            (uint256 highest,) = StateWords.window(word.bits);
            revert NonceUsed(index, nonce, highest);
        }
        word.bits = spent;
    }

    /// @dev Hold the order's fills of this batch, and of all before on its lane, to its amount. A
    /// higher nonce replaces what the lane remembers; a lower one, if it was listed later in this
    /// batch or settled in a later one, is refused.
    function _close(uint256 index, Order calldata order, uint256 filled) private {
        if (filled == 0) revert OrderWithoutTrade(index);
        uint256 terms = order.terms;
        uint256 most = terms.orderBase();
        if (terms & SINGLE_SHOT != 0) {
            if (filled > most) revert Overfilled(index, filled, most);
            return;
        }
        uint256 place = order.place;
        StateWord storage word = _words[StateWords.keyOf(place.account(), place.lane())];
        uint256 bits = word.bits;
        uint256 shift = terms & UPPER_HALF == 0 ? 0 : StateWords.HALF_BITS;
        uint256 nonce = terms.nonce();
        (uint256 current, uint256 before) = StateWords.lane(bits, shift);
        if (nonce < current) revert LaneReplaced(index, nonce, current);
        unchecked {
            if (nonce == current) filled += before; // Trades of 64 bits each, and 64 bits.
        }
        if (filled > most) revert Overfilled(index, filled, most);
        word.bits = StateWords.withLane(bits, shift, nonce, filled);
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
    function _tradeAll(Order[] calldata orders, Trade[] calldata trades, Work memory work)
        private
        returns (bytes32)
    {
        bytes32[] memory nodes = new bytes32[](trades.length);
        Leaf memory leaf;
        for (uint256 i; i < trades.length; ++i) {
            leaf.index = i;
            _trade(trades[i], orders, work, leaf);
            nodes.put(i, MemoryHash.hashWords(_pointer(leaf), LEAF_WORDS));
        }
        return Merkle.rootInPlace(nodes);
    }

    /// @dev Move base and quote between two orders, and say so in `leaf`, which has the index. The
    /// buyer's side is done first.
    function _trade(Trade trade, Order[] calldata orders, Work memory work, Leaf memory leaf)
        private
    {
        uint256 index = leaf.index;
        Order calldata buy = orders[trade.buyIndex()];
        Order calldata sell = orders[trade.sellIndex()];
        uint256 base = trade.baseAmount();
        uint256 quote = trade.quoteAmount();
        _checkTerms(index, base, quote, buy, sell);
        int256 buyFee = _fee(index, quote, trade.buyFeePpm(), buy.terms.maxFeePpm());
        int256 sellFee = _fee(index, quote, trade.sellFeePpm(), sell.terms.maxFeePpm());
        leaf.baseAmount = base;
        leaf.quoteAmount = quote;
        leaf.buyFee = buyFee;
        leaf.sellFee = sellFee;

        uint256 baseToken = buy.place.baseToken();
        uint256 quoteToken = buy.place.quoteToken();
        unchecked { // Terms have 64 bits; a fee is at most 1 % of the quote.
            // A rebate comes out of the other side's fee and out of nothing else.
            if (buyFee + sellFee < 0) revert RebateAboveFee(index, buyFee, sellFee);
            work.fees.put(quoteToken, work.fees.get(quoteToken) + uint256(buyFee + sellFee));
            _swap(buy.place.account(), quoteToken, quote + uint256(buyFee), baseToken, base);
            _swap(sell.place.account(), baseToken, base, quoteToken, quote - uint256(sellFee));
        }
        leaf.buyDigest = _fill(trade.buyIndex(), buy, work, leaf);
        leaf.sellDigest = _fill(trade.sellIndex(), sell, work, leaf);
    }

    /// @dev Sides, market and both limit prices.
    function _checkTerms(
        uint256 index,
        uint256 base,
        uint256 quote,
        Order calldata buy,
        Order calldata sell
    ) private pure {
        uint256 bought = buy.terms;
        uint256 sold = sell.terms;
        if ((bought | ~sold) & SELL != 0) revert WrongSide(index);
        if ((buy.place ^ sell.place).market() != 0) revert MarketMismatch(index);
        if (base == 0) revert EmptyTrade(index);
        unchecked { // Products of two 64-bit figures.
            if (quote * bought.orderBase() > base * bought.orderQuote()) {
                revert BuyLimitBroken(index);
            }
            if (quote * sold.orderBase() < base * sold.orderQuote()) {
                revert SellLimitBroken(index);
            }
        }
    }

    /// @dev Count the fill of order number `which`, and hold the key that signed it to its cap.
    /// @return What was signed.
    function _fill(uint256 which, Order calldata order, Work memory work, Leaf memory leaf)
        private
        returns (bytes32)
    {
        unchecked { // Trades of 64 bits each.
            work.filled.put(which, work.filled.get(which) + leaf.baseAmount);
        }
        address key = address(uint160(work.signers.get(which)));
        if (key != address(0)) {
            uint256 notional =
                leaf.baseAmount * order.terms.orderQuote() / order.terms.orderBase();
            _chargeKey(leaf.index, order.place.account(), key, notional);
        }
        return work.digests.get(which);
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

    /// @dev Take `paid` of one token from `account` and give it `got` of another: one read and one
    /// write where one word holds both balances.
    function _swap(
        address account,
        uint256 paidToken,
        uint256 paid,
        uint256 gotToken,
        uint256 got
    ) private {
        uint256 group = StateWords.groupOf(paidToken);
        StateWord storage word = _words[StateWords.keyOf(account, group)];
        uint256 bits = word.bits;
        uint256 shift = StateWords.shiftOf(paidToken);
        uint256 held = bits >> shift & StateWords.MASK;
        if (paid > held) revert InsufficientBalance(account, paidToken, held, paid);
        unchecked {
            bits -= paid << shift; // The field holds at least that much.
        }
        uint256 gotGroup = StateWords.groupOf(gotToken);
        if (gotGroup != group) {
            word.bits = bits;
            word = _words[StateWords.keyOf(account, gotGroup)];
            bits = word.bits;
        }
        shift = StateWords.shiftOf(gotToken);
        held = bits >> shift & StateWords.MASK;
        unchecked { // Both are 64 bits; the field has room for the sum.
            if (held + got > StateWords.MASK) {
                revert BalanceOverflow(account, gotToken, held, got);
            }
            word.bits = bits + (got << shift);
        }
    }

    function _pointer(Form memory form) private pure returns (uint256 pointer) {
        assembly ("memory-safe") { pointer := form }
    }

    function _pointer(Leaf memory leaf) private pure returns (uint256 pointer) {
        assembly ("memory-safe") { pointer := leaf }
    }
}
