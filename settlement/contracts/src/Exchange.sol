// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

import {Custodian} from "./Custodian.sol";
import {Digests} from "./Digests.sol";
import {Exits} from "./Exits.sol";
import {IExchange} from "./IExchange.sol";
import {Signatures} from "./Signatures.sol";
import {Header, Order, SignedOrder, Trade} from "./Types.sol";
import {Vault} from "./Vault.sol";
import {Words} from "./Words.sol";

/// @title How is a batch of trades settled?
/// @notice Every order of a batch is verified here: signature, limit price, expiry, fee cap, fills.
/// The operator chooses what is matched and when, and nothing else.
/// @dev Invariants: a batch applies once, on the history it was built on, whole or not at all; an
/// order is never filled beyond its amount or its limit, over all batches; a settlement moves
/// balances and fees and leaves their sum per token unchanged. `settle` calls no other contract, so
/// no token and no wallet can stop a batch.
contract Exchange is Exits {
    /// @dev The highest fee any order can be charged, whatever it signed: one percent.
    uint32 private constant FEE_MAX_PPM = 10_000;
    uint256 private constant PPM = 1_000_000;
    /// @dev Clocks of engine and chain may differ this much; seconds.
    uint64 private constant CLOCK_TOLERANCE = 15;

    uint256 private constant SELL = 1;
    uint256 private constant SINGLE_SHOT = 2;
    uint256 private constant UPPER_HALF = 4;
    uint256 private constant FLAGS_END = 16;

    /// @inheritdoc IExchange
    mapping(uint256 batch => bytes32 head) public batchHash;

    /// @dev What trades need to know of a verified order beside its calldata.
    struct Admitted {
        bytes32 digest;
        /// Base pips filled in this batch; counted for single-shot orders only, lanes count themselves.
        uint256 filled;
        /// The session key that signed; zero if the account did.
        address key;
    }

    /// @dev The batch's working copy of storage. One word is here once, because keys ascend strictly.
    struct Work {
        uint256[] words;
        uint256[] fees;
        Admitted[] admitted;
    }

    constructor(
        address admin_,
        address operator_,
        address feeReceiver_,
        Custodian custodian_,
        uint64 horizon_,
        uint64 exitDelay_,
        uint64 deadmanDelay_
    )
        Vault(
            admin_, operator_, feeReceiver_, custodian_, horizon_, exitDelay_, deadmanDelay_
        )
    {}

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
        bytes32 payload = keccak256(msg.data);
        _open(header);

        Work memory work;
        work.words = _load(keys);
        work.fees = new uint256[](tokenCount());
        work.admitted = _admitAll(header.closeTime, keys, orders, work.words);
        bytes32 tradesRoot = _tradeAll(keys, orders, trades, work);
        _store(keys, work);

        bytes32 newHead = keccak256(abi.encode(header.prevHead, payload, tradesRoot));
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
        uint256 shift = upperHalf ? Words.HALF_BITS : 0;
        (uint256 nonce, uint256 filled) = Words.lane(_words[Words.keyOf(account, lane)], shift);
        return lane < Words.FIRST_LANE ? (0, 0) : (uint64(nonce), uint64(filled));
    }

    /// @inheritdoc IExchange
    function windowOf(address account) external view returns (uint40, uint24) {
        (uint256 highest, uint256 bitmap) = Words.window(_words[Words.keyOf(account, 0)]);
        return (uint40(highest), uint24(bitmap));
    }

    /// @inheritdoc IExchange
    function orderDigest(SignedOrder calldata order) external view returns (bytes32) {
        return Digests.ofOrder(domainSeparator(), order);
    }

    /// @dev Is it this batch's turn and time?
    function _open(Header calldata header) private {
        uint64 batch = nextBatch;
        uint64 closeTime = header.closeTime;
        if (exitsOpen) revert SettlementClosed();
        if (header.batch != batch) revert BatchOutOfOrder(batch, header.batch);
        bytes32 prevHead = batchHash[batch - 1];
        if (header.prevHead != prevHead) revert WrongPrevHead(prevHead, header.prevHead);
        if (closeTime < lastCloseTime) revert CloseTimeTooEarly(lastCloseTime, closeTime);
        if (closeTime + horizon < block.timestamp) {
            revert CloseTimeTooEarly(uint64(block.timestamp) - horizon, closeTime);
        }
        if (closeTime > block.timestamp + CLOCK_TOLERANCE) {
            revert CloseTimeTooLate(uint64(block.timestamp) + CLOCK_TOLERANCE, closeTime);
        }
        nextBatch = batch + 1;
        lastCloseTime = closeTime;
        lastBatchAt = uint64(block.timestamp);
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

    function _store(uint256[] calldata keys, Work memory work) private {
        for (uint256 i; i < keys.length; ++i) {
            _words[keys[i]] = work.words[i];
        }
        for (uint256 number; number < work.fees.length; ++number) {
            if (work.fees[number] != 0) _fees[number] += work.fees[number];
        }
    }

    // ---------------------------------------------------------------- orders

    function _admitAll(
        uint64 closeTime,
        uint256[] calldata keys,
        Order[] calldata orders,
        uint256[] memory words
    ) private view returns (Admitted[] memory admitted) {
        admitted = new Admitted[](orders.length);
        address[] memory addresses = new address[](tokenCount());
        bytes32 domain = domainSeparator();
        for (uint256 i; i < orders.length; ++i) {
            Order calldata order = orders[i];
            if (order.expiry < closeTime) revert OrderExpired(i, order.expiry, closeTime);
            (address account, uint256 lane) = _bind(i, order, keys);
            words[order.stateWord] = _spendNonce(i, order, words[order.stateWord]);
            bytes32 digest = Digests.ofOrder(
                domain,
                SignedOrder({
                    account: account,
                    nonce: order.nonce,
                    flags: order.flags,
                    lane: uint16(lane),
                    base: _address(addresses, order.baseToken),
                    quote: _address(addresses, order.quoteToken),
                    baseAmount: order.baseAmount,
                    quoteAmount: order.quoteAmount,
                    expiry: order.expiry,
                    maxFeePpm: order.maxFeePpm,
                    ref: order.ref
                })
            );
            admitted[i].digest = digest;
            admitted[i].key = _signingKey(i, account, digest, order, closeTime);
        }
    }

    /// @dev Hold the order's three words to its account, tokens and kind; say whose it is.
    /// @return account Owner of the words.
    /// @return lane Index of the lane word; zero for single-shot orders.
    function _bind(uint256 index, Order calldata order, uint256[] calldata keys)
        private
        pure
        returns (address account, uint256 lane)
    {
        if (order.flags >= FLAGS_END) revert UnknownFlags(index, order.flags);
        if (order.baseToken == order.quoteToken) revert SameToken(index, order.baseToken);
        account = Words.accountOf(keys[order.baseWord]);
        _requireKey(index, account, Words.groupOf(order.baseToken), keys[order.baseWord]);
        _requireKey(index, account, Words.groupOf(order.quoteToken), keys[order.quoteWord]);
        uint256 stateKey = keys[order.stateWord];
        if (order.flags & SINGLE_SHOT == 0) {
            lane = uint16(stateKey);
            if (lane < Words.FIRST_LANE) revert NotALane(index, lane);
        }
        _requireKey(index, account, lane, stateKey);
    }

    function _requireKey(uint256 index, address account, uint256 word, uint256 key) private pure {
        uint256 expected = Words.keyOf(account, word);
        if (key != expected) revert WrongWord(index, expected, key);
    }

    /// @dev Note the order's nonce in its state word, or refuse it.
    function _spendNonce(uint256 index, Order calldata order, uint256 word)
        private
        pure
        returns (uint256)
    {
        uint64 nonce = order.nonce;
        if (order.flags & SINGLE_SHOT == 0) {
            uint256 shift = order.flags & UPPER_HALF == 0 ? 0 : Words.HALF_BITS;
            (uint256 current,) = Words.lane(word, shift);
            if (nonce < current) revert LaneReplaced(index, nonce, uint64(current));
            return nonce == current ? word : Words.withLane(word, shift, nonce, 0);
        }
        if (nonce == 0 || nonce >= Words.WINDOW_NONCE_LIMIT) revert NonceOutOfRange(index, nonce);
        (bool fresh, uint256 spent) = Words.spend(word, nonce);
        if (!fresh) {
            (uint256 highest,) = Words.window(word);
            revert NonceUsed(index, nonce, uint64(highest));
        }
        return spent;
    }

    /// @return key The session key that signed, or zero if the account did.
    function _signingKey(
        uint256 index,
        address account,
        bytes32 digest,
        Order calldata order,
        uint64 closeTime
    ) private view returns (address key) {
        address signer = Signatures.recoverCompact(digest, order.r, order.vs);
        if (signer == account && signer != address(0)) return address(0);
        if (signer == address(0)) revert BadSignature(index);
        uint256 market = _market(order.baseToken, order.quoteToken);
        _checkKey(index, account, signer, market, order.flags & SELL != 0, closeTime);
        return signer;
    }

    /// @dev Address of token `number`, read from storage once per batch.
    function _address(address[] memory addresses, uint256 number) private view returns (address) {
        if (number >= addresses.length) revert UnknownTokenNumber(number);
        if (addresses[number] == address(0)) (addresses[number],) = tokens(number);
        return addresses[number];
    }

    // ---------------------------------------------------------------- trades

    /// @return Merkle root over the trades; a parent is the hash of left and right, and an odd last
    /// node is promoted. Zero if there are no trades.
    function _tradeAll(
        uint256[] calldata keys,
        Order[] calldata orders,
        Trade[] calldata trades,
        Work memory work
    ) private returns (bytes32) {
        uint256 count = trades.length;
        if (count == 0) return 0;
        bytes32[] memory nodes = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            nodes[i] = _trade(i, keys, orders, trades[i], work);
        }
        while (count > 1) {
            uint256 parents = (count + 1) / 2;
            for (uint256 i; i < count / 2; ++i) {
                nodes[i] = Hashes.efficientKeccak256(nodes[2 * i], nodes[2 * i + 1]);
            }
            if (count % 2 == 1) nodes[parents - 1] = nodes[count - 1];
            count = parents;
        }
        return nodes[0];
    }

    /// @return Leaf of the trade in the batch's Merkle tree.
    function _trade(
        uint256 index,
        uint256[] calldata keys,
        Order[] calldata orders,
        Trade calldata trade,
        Work memory work
    ) private returns (bytes32) {
        Order calldata buy = orders[trade.buy];
        Order calldata sell = orders[trade.sell];
        _checkTerms(index, trade, buy, sell);
        _fill(index, trade.buy, buy, trade.baseAmount, work);
        _fill(index, trade.sell, sell, trade.baseAmount, work);

        uint256 base = trade.baseAmount;
        uint256 quote = trade.quoteAmount;
        uint256 buyFee = quote * trade.buyFeePpm / PPM;
        uint256 sellFee = quote * trade.sellFeePpm / PPM;
        _take(keys, work.words, buy.quoteWord, buy.quoteToken, quote + buyFee);
        _take(keys, work.words, sell.baseWord, sell.baseToken, base);
        _give(keys, work.words, buy.baseWord, buy.baseToken, base);
        _give(keys, work.words, sell.quoteWord, sell.quoteToken, quote - sellFee);
        work.fees[buy.quoteToken] += buyFee + sellFee;

        Admitted memory buyer = work.admitted[trade.buy];
        Admitted memory seller = work.admitted[trade.sell];
        if (buyer.key != address(0)) {
            address account = Words.accountOf(keys[buy.baseWord]);
            _chargeKey(index, account, buyer.key, false, base, quote);
        }
        if (seller.key != address(0)) {
            address account = Words.accountOf(keys[sell.baseWord]);
            _chargeKey(index, account, seller.key, true, base, quote);
        }
        return keccak256(
            abi.encode(index, buyer.digest, seller.digest, base, quote, buyFee, sellFee)
        );
    }

    /// @dev Sides, market, both limit prices and both fee caps.
    function _checkTerms(
        uint256 index,
        Trade calldata trade,
        Order calldata buy,
        Order calldata sell
    ) private pure {
        if (buy.flags & SELL != 0 || sell.flags & SELL == 0) revert WrongSide(index);
        if (buy.baseToken != sell.baseToken || buy.quoteToken != sell.quoteToken) {
            revert MarketMismatch(index);
        }
        uint256 base = trade.baseAmount;
        uint256 quote = trade.quoteAmount;
        if (base == 0) revert EmptyTrade(index);
        if (quote * buy.baseAmount > base * buy.quoteAmount) revert BuyLimitBroken(index);
        if (quote * sell.baseAmount < base * sell.quoteAmount) revert SellLimitBroken(index);
        _checkFee(index, trade.buyFeePpm, buy.maxFeePpm);
        _checkFee(index, trade.sellFeePpm, sell.maxFeePpm);
    }

    function _checkFee(uint256 index, uint32 feePpm, uint32 capPpm) private pure {
        if (capPpm > FEE_MAX_PPM) capPpm = FEE_MAX_PPM;
        if (feePpm > capPpm) revert FeeTooHigh(index, feePpm, capPpm);
    }

    /// @dev Count `base` as filled. A lane is held to the order's nonce once more, for a second order
    /// of the same batch may have replaced this one on it.
    function _fill(
        uint256 index,
        uint256 orderIndex,
        Order calldata order,
        uint256 base,
        Work memory work
    ) private pure {
        uint256 filled;
        if (order.flags & SINGLE_SHOT != 0) {
            filled = work.admitted[orderIndex].filled + base;
            work.admitted[orderIndex].filled = filled;
        } else {
            uint256 shift = order.flags & UPPER_HALF == 0 ? 0 : Words.HALF_BITS;
            uint256 word = work.words[order.stateWord];
            (uint256 nonce, uint256 before) = Words.lane(word, shift);
            if (nonce != order.nonce) revert LaneReplaced(orderIndex, order.nonce, uint64(nonce));
            filled = before + base;
            // Checked below before anything is stored: what does not fit reverts.
            work.words[order.stateWord] = Words.withLane(word, shift, nonce, filled & Words.MASK);
        }
        if (filled > order.baseAmount) {
            revert Overfilled(index, orderIndex, filled, order.baseAmount);
        }
    }

    function _take(
        uint256[] calldata keys,
        uint256[] memory words,
        uint256 at,
        uint256 number,
        uint256 amount
    ) private pure {
        uint256 word = words[at];
        uint256 held = Words.balance(word, number);
        if (amount > held) {
            revert InsufficientBalance(Words.accountOf(keys[at]), number, held, amount);
        }
        words[at] = word - (amount << Words.shiftOf(number));
    }

    function _give(
        uint256[] calldata keys,
        uint256[] memory words,
        uint256 at,
        uint256 number,
        uint256 amount
    ) private pure {
        uint256 word = words[at];
        uint256 held = Words.balance(word, number);
        if (amount > Words.MASK - held) {
            revert BalanceOverflow(Words.accountOf(keys[at]), number, held, amount);
        }
        words[at] = word + (amount << Words.shiftOf(number));
    }
}
