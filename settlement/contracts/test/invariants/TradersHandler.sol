// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Withdrawal} from "../../src/interfaces/Types.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Handler of traders and operator
/// @notice Four traders and an operator who do, in any order, what each can do.
/// @dev Whatever the exchange accepts is judged here again, in plain figures, and entered into an
/// independent ledger.
contract TradersHandler is Fixture {
    uint256 public accepted;
    uint256 public rejected;
    uint256 public settled;
    uint256 public refused;
    /// @notice Batches that carried an order and what replaced it.
    uint256 public replaced;

    uint256 private constant TRADERS = 4;
    uint256 private constant FEE_MAX_PPM = 10_000;

    mapping(address account => mapping(IToken token => uint256 pips)) private _owned;
    mapping(IToken token => uint256 pips) private _fees;
    mapping(bytes32 digest => uint256 base) private _filled;
    mapping(address account => mapping(bool upperHalf => uint256 nonce)) private _cancelled;
    mapping(address account => mapping(bool upperHalf => Draft resting)) private _resting;
    mapping(uint256 secret => uint64 nonce) private _nonces;
    uint64 private _withdrawals;
    bytes private _lastBatch;

    /// @dev Not in `setUp`, which would be one more thing the handler does.
    constructor() {
        super.setUp();
        (_owned[alice][quote], _owned[bob][base]) = (100_000e8, 50e8);
        for (uint256 who; who < TRADERS; ++who) {
            address account = vm.addr(secretOf(who));
            fund(account, quote, 10_000e6);
            fund(account, base, 10e18);
            _owned[account][quote] += 10_000e8;
            _owned[account][base] += 10e8;
        }
    }

    function setUp() public pure override {}

    function secretOf(uint256 who) private pure returns (uint256) {
        return [ALICE, BOB, uint256(3), uint256(4)][who % TRADERS];
    }

    // ---------------------------------------------------------------- invariants

    function checkHoldings() external view {
        uint256 quoteOwed = exchange.feesOf(address(quote));
        uint256 baseOwed = exchange.feesOf(address(base));
        for (uint256 who; who < TRADERS; ++who) {
            quoteOwed += balance(vm.addr(secretOf(who)), quote);
            baseOwed += balance(vm.addr(secretOf(who)), base);
        }
        assertEq(quoteOwed, quote.balanceOf(address(custodian)) * 100, "quote owed and held");
        assertEq(baseOwed * 1e10, base.balanceOf(address(custodian)), "base owed and held");
    }

    function checkBatches() external view {
        assertEq(exchange.nextBatch(), settled + 1, "as many as were accepted");
        assertEq(exchange.batchHash(settled + 1), 0, "and none to come");
    }

    function checkLedger() external view {
        for (uint256 who; who < TRADERS; ++who) {
            address account = vm.addr(secretOf(who));
            assertEq(balance(account, quote), _owned[account][quote], "quote");
            assertEq(balance(account, base), _owned[account][base], "base");
        }
        assertEq(exchange.feesOf(address(quote)), _fees[quote], "fees");
    }

    function checkOperator() external view {
        assertEq(balance(operator, quote) + balance(operator, base), 0, "in the vault");
        assertEq(quote.balanceOf(operator) + base.balanceOf(operator), 0, "in its wallet");
    }

    /// @dev I16 and I17, told anew in plain figures.
    function judge(Draft memory order, Match memory one, int32 feePpm, uint256 closeTime)
        private
    {
        assertTrue(order.secret == order.owner, "I17: signed by its owner");
        assertTrue(order.expiry >= closeTime, "I17: not expired");
        uint256 paid = uint256(one.quoteAmount) * order.baseAmount;
        uint256 limit = uint256(one.baseAmount) * order.quoteAmount;
        bool sells = order.flags & SELL != 0;
        assertTrue(sells ? paid >= limit : paid <= limit, "I17: within the limit");
        assertTrue(feePpm <= int256(uint256(order.maxFeePpm)), "I17: within the signed fee");
        assertTrue(feePpm <= int256(FEE_MAX_PPM), "I17: within one percent");
        uint256 filled = _filled[digestOf(order)] += one.baseAmount;
        assertTrue(filled <= order.baseAmount, "I16: no more than ordered");
        if (sells) {
            uint256 dead = _cancelled[vm.addr(order.owner)][order.flags & UPPER_HALF != 0];
            assertTrue(order.nonce > dead, "I16: not cancelled");
        }
    }

    function enter(address buyer, address seller, Match memory one) private {
        uint256 amount = one.quoteAmount;
        int256 buyFee = int256(amount) * one.buyFeePpm / 1e6;
        int256 sellFee = int256(amount) * one.sellFeePpm / 1e6;
        // The buyer's side first: one account on both sides may sell on what it just bought.
        _owned[buyer][quote] -= uint256(int256(amount) + buyFee);
        _owned[buyer][base] += one.baseAmount;
        _owned[seller][base] -= one.baseAmount;
        _owned[seller][quote] += uint256(int256(amount) - sellFee);
        _fees[quote] += uint256(buyFee + sellFee);
    }

    // ---------------------------------------------------------------- the operator

    /// @dev Three, so that there is more trading than anything else.
    function trades(uint256 buyer, uint256 seller, uint256 amount, uint256 price, uint256 flaw)
        external
    {
        for (uint256 i; i < 3; ++i) {
            trade(buyer / 4 + i, seller, amount / (i + 1), price / (i + 1), flaw / (i + 1));
        }
    }

    /// @dev One trade; `flaw` spoils about every third.
    function trade(uint256 buyer, uint256 seller, uint256 amount, uint256 price, uint256 flaw)
        public
    {
        (Draft memory buy, Draft memory sell) = orders(buyer, seller, amount, price);
        Match memory one = oneTrade();
        one.baseAmount = buy.baseAmount;
        one.quoteAmount = uint64(uint256(buy.quoteAmount));
        one.buyFeePpm = int32(uint32(bound(flaw >> 8, 0, 5_000)));
        one.sellFeePpm = int32(int256(bound(flaw >> 24, 0, 3_000))) - 1_000;
        flaw = bound(flaw, 0, 23);
        if (flaw == 0) buy.expiry = uint32(block.timestamp - 1);
        if (flaw == 1) buy.secret = OPERATOR;
        if (flaw == 2) sell.secret = OPERATOR;
        if (flaw == 3) one.buyFeePpm = 5_001;
        if (flaw == 4) one.sellFeePpm = -5_001;
        if (flaw == 5) one.quoteAmount += 1;
        if (flaw == 6) one.quoteAmount /= 2;
        if (flaw == 7) {
            (buy.baseAmount, buy.quoteAmount) = (one.baseAmount / 2, one.quoteAmount / 2);
        }
        Draft[] memory drafts = new Draft[](2);
        (drafts[0], drafts[1]) = (buy, sell);
        Batch memory batch = seal(drafts, one);
        vm.prank(operator);
        (bool done,) = address(exchange).call(callOf(batch));
        if (!done) {
            ++refused;
            return;
        }
        ++settled;
        _lastBatch = callOf(batch);
        judge(buy, one, one.buyFeePpm, batch.header.closeTime);
        judge(sell, one, one.sellFeePpm, batch.header.closeTime);
        enter(vm.addr(buy.owner), vm.addr(sell.owner), one);
    }

    /// @dev A fresh single-shot buy, and a sale that rests: the one before or a new one.
    function orders(uint256 buyer, uint256 seller, uint256 amount, uint256 price)
        private
        returns (Draft memory buy, Draft memory sell)
    {
        uint256 seller_ = secretOf(seller);
        bool upper = amount % 2 == 0;
        sell = _resting[vm.addr(seller_)][upper];
        if (sell.nonce == 0 || price % 3 == 0) {
            sell = sellDraft();
            sell.owner = sell.secret = seller_;
            sell.flags |= upper ? UPPER_HALF : 0;
            sell.nonce = ++_nonces[seller_];
            sell.baseAmount = uint64(bound(amount, 3, ONE));
            sell.quoteAmount = uint64(bound(price, 0, PRICE) * sell.baseAmount / ONE);
            sell.expiry = uint32(block.timestamp + bound(price, 0, 99 * EXIT_DELAY));
            _resting[vm.addr(seller_)][upper] = sell;
        }
        buy = buyDraft();
        buy.owner = buy.secret = secretOf(buyer);
        buy.nonce = ++_nonces[buy.owner];
        buy.baseAmount = uint64(bound(amount, 1, uint256(sell.baseAmount) * 2 / 3));
        uint256 quote_ = uint256(buy.baseAmount) * sell.quoteAmount + sell.baseAmount - 1;
        buy.quoteAmount = uint64(quote_ / sell.baseAmount);
    }

    /// @dev One buyer takes what rests on a lane half, and what replaces it, in one batch. Every
    /// third lists the replacement first, which is refused.
    function tradeAndReplace(uint256 buyer, uint256 seller, uint256 amount, uint256 price)
        external
    {
        (Draft memory buy, Draft memory first) = orders(buyer, seller, amount, price);
        Draft memory next = sellDraft();
        (next.owner, next.secret, next.flags) = (first.owner, first.secret, first.flags);
        next.nonce = ++_nonces[first.owner];
        (next.baseAmount, next.quoteAmount) = (first.baseAmount, first.quoteAmount);
        _resting[vm.addr(next.owner)][next.flags & UPPER_HALF != 0] = next;
        Match memory one = oneTrade();
        (one.baseAmount, one.quoteAmount) = (buy.baseAmount, buy.quoteAmount);
        (buy.baseAmount, buy.quoteAmount) = (2 * one.baseAmount, 2 * one.quoteAmount);
        Draft[] memory drafts = new Draft[](3);
        bool wrong = price % 3 == 1;
        (drafts[0], drafts[1], drafts[2]) = wrong ? (buy, next, first) : (buy, first, next);
        Batch memory batch = seal(drafts, one);
        Match memory second = abi.decode(abi.encode(one), (Match));
        second.sell = 2;
        batch.trades = nextTo(one, second);
        vm.prank(operator);
        (bool done,) = address(exchange).call(callOf(batch));
        if (!done) {
            ++refused;
            return;
        }
        assertTrue(!wrong, "I16: what was replaced settles no more");
        (++settled, ++replaced);
        _lastBatch = callOf(batch);
        for (uint256 i; i < 2; ++i) {
            judge(buy, one, one.buyFeePpm, batch.header.closeTime);
            judge(i == 0 ? first : next, one, one.sellFeePpm, batch.header.closeTime);
            enter(vm.addr(buy.owner), vm.addr(first.owner), one);
        }
    }

    function resend() external {
        vm.prank(operator);
        (bool done,) = address(exchange).call(_lastBatch);
        assertTrue(!done, "I15: never twice");
        ++refused;
    }

    function operatorTakes(uint256 who, uint64 amount, bool ownerSigns) external {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.account = vm.addr(secretOf(who));
        withdrawal.amount = uint64(bound(amount, 1, 1e10));
        withdrawal.to = operator;
        withdrawal.nonce = ++_withdrawals;
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        // The owner signed another withdrawal, at best.
        bytes32 other = ownerSigns ? keccak256(abi.encode(digest)) : digest;
        bytes memory signature = long(ownerSigns ? secretOf(who) : OPERATOR, other);
        vm.prank(operator);
        (bool done,) = address(exchange)
            .call(
                abi.encodeCall(IExchange.withdraw, (withdrawal, 0, signature, consent(digest, 0)))
            );
        assertTrue(!done, "I19: not without the owner");
        ++rejected;
    }

    function sweepFees() external {
        if (note(abi.encodeCall(IExchange.sweepFees, (address(quote))))) {
            _fees[quote] %= 100;
        }
    }

    // ---------------------------------------------------------------- traders

    function deposit(uint256 who, uint256 raw, bool ofBase) external {
        raw = bound(raw, 0, 1e12) * (ofBase ? 1e8 : 1);
        IToken token = ofBase ? base : quote;
        address account = vm.addr(secretOf(who));
        token.mint(address(this), raw);
        token.approve(address(exchange), raw);
        if (note(abi.encodeCall(IExchange.deposit, (address(token), raw, account, 0)))) {
            _owned[account][token] += ofBase ? raw / 1e10 : raw * 100;
        }
    }

    function requestExit(uint256 who, uint64 amount, bool ofBase) external {
        vm.prank(vm.addr(secretOf(who)));
        address token = address(ofBase ? base : quote);
        note(abi.encodeCall(IExchange.requestExit, (token, amount)));
    }

    function finishExit(uint256 who, bool ofBase, uint8 wait) external {
        if (wait % 4 == 0) vm.warp(block.timestamp + EXIT_DELAY);
        IToken token = ofBase ? base : quote;
        address account = vm.addr(secretOf(who));
        uint256 before = token.balanceOf(account);
        if (note(abi.encodeCall(IExchange.finishExit, (account, address(token))))) {
            uint256 raw = token.balanceOf(account) - before;
            _owned[account][token] -= ofBase ? raw / 1e10 : raw * 100;
        }
    }

    /// @dev `ahead` asks for a place in the log that may not be settled yet.
    function withdraw(uint256 who, uint256 amount, bool whole, uint8 ahead) external {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.account = vm.addr(secretOf(who));
        withdrawal.amount = uint64(bound(amount, 0, 1e10));
        if (whole) withdrawal.amount -= withdrawal.amount % 100;
        withdrawal.nonce = ++_withdrawals;
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        uint64 place = exchange.nextSequence() - 1 + ahead % 2;
        bytes memory message = abi.encodeCall(
            IExchange.withdraw,
            (withdrawal, place, long(secretOf(who), digest), consent(digest, place))
        );
        if (!note(message)) return;
        assertTrue(ahead % 2 == 0, "not before what it stands behind");
        _owned[withdrawal.account][quote] -= withdrawal.amount;
    }

    function requestCancel(uint256 who, bool upper, uint64 ahead) external {
        uint64 nonce = _nonces[secretOf(who)] + ahead % 3;
        vm.prank(vm.addr(secretOf(who)));
        note(abi.encodeCall(IExchange.requestCancel, (LANE, upper, nonce)));
    }

    function finishCancel(uint256 who, bool upper, uint8 wait) external {
        if (wait % 4 == 0) vm.warp(block.timestamp + EXIT_DELAY);
        address account = vm.addr(secretOf(who));
        (uint64 nonce,) = exchange.cancelOf(account, LANE, upper);
        if (note(abi.encodeCall(IExchange.finishCancel, (account, LANE, upper)))) {
            _cancelled[account][upper] = nonce;
        }
    }

    function note(bytes memory calldata_) private returns (bool done) {
        (done,) = address(exchange).call(calldata_);
        done ? ++accepted : ++rejected;
    }
}
