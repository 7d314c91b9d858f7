// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {Withdrawal} from "../../src/Types.sol";
import {IToken, Rig} from "../Rig.sol";

/// @title Does the custodian always hold exactly what the exchange owes?
contract SolvencyTest is Rig {
    Crowd internal crowd;

    function setUp() public override {
        super.setUp();
        crowd = new Crowd();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function invariant_balances_and_fees_equal_tokens_held() public view {
        crowd.checkSolvency();
    }

    /// @dev A walk in which nothing, or everything, is refused would prove little.
    function afterInvariant() public view {
        yes(crowd.settled() > 0, "some batches settled");
        yes(crowd.accepted() > crowd.rejected() / 8, "enough was accepted");
        yes(crowd.rejected() > 0, "something was refused");
    }
}

/// @dev Four accounts that do, in any order, what anyone can do.
contract Crowd is Rig {
    uint256 public accepted;
    uint256 public rejected;
    uint256 public settled;
    mapping(uint256 secret => uint64 nonce) private _nonces;
    uint64 private _withdrawals;

    /// @dev Not in `setUp`, which would be one more thing the crowd does.
    constructor() {
        super.setUp();
        for (uint256 who; who < 4; ++who) {
            fund(vm.addr(secretOf(who)), quote, 10_000e6);
            fund(vm.addr(secretOf(who)), base, 10e18);
        }
    }

    function setUp() public pure override {}

    function secretOf(uint256 who) private pure returns (uint256) {
        return [ALICE, BOB, uint256(3), uint256(4)][who % 4];
    }

    function checkSolvency() external view {
        uint256 quoteOwed = exchange.feesOf(address(quote));
        uint256 baseOwed = exchange.feesOf(address(base));
        for (uint256 who; who < 4; ++who) {
            quoteOwed += balance(vm.addr(secretOf(who)), quote);
            baseOwed += balance(vm.addr(secretOf(who)), base);
        }
        same(quoteOwed, quote.balanceOf(address(custodian)) * 100, "quote owed and held");
        same(baseOwed * 1e10, base.balanceOf(address(custodian)), "base owed and held");
    }

    function deposit(uint256 who, uint256 raw, bool ofBase) external {
        raw = within(raw, 0, 1e12) * (ofBase ? 1e8 : 1);
        IToken token = ofBase ? base : quote;
        token.mint(address(this), raw);
        token.approve(address(exchange), raw);
        note(abi.encodeCall(IExchange.deposit, (address(token), raw, vm.addr(secretOf(who)), 0)));
    }

    function trade(uint256 buyer, uint256 seller, uint256 amount, uint256 price, uint256 fee)
        external
    {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        buy.owner = buy.secret = secretOf(buyer);
        sell.owner = sell.secret = secretOf(seller);
        sell.flags |= amount % 2 == 0 ? UPPER_HALF : 0;
        buy.nonce = ++_nonces[buy.owner];
        sell.nonce = ++_nonces[sell.owner];
        uint64 base_ = uint64(within(amount, 1, ONE));
        buy.baseAmount = sell.baseAmount = base_;
        buy.quoteAmount = sell.quoteAmount = uint64(within(price, 0, PRICE) * base_ / ONE);
        if (fee % 16 == 0) sell.quoteAmount += 1;
        Batch memory batch = seal(buy, sell);
        Match memory only = batch.trades[0];
        (only.baseAmount, only.quoteAmount) = (base_, buy.quoteAmount);
        only.buyFeePpm = int32(uint32(within(fee, 0, 5_100)));
        vm.prank(operator);
        if (note(callOf(batch))) ++settled;
    }

    function requestExit(uint256 who, uint64 amount, bool ofBase) external {
        vm.prank(vm.addr(secretOf(who)));
        address token = address(ofBase ? base : quote);
        note(abi.encodeCall(IExchange.requestExit, (token, amount)));
    }

    function finishExit(uint256 who, bool ofBase, bool wait) external {
        if (wait) vm.warp(block.timestamp + EXIT_DELAY);
        address token = address(ofBase ? base : quote);
        note(abi.encodeCall(IExchange.finishExit, (vm.addr(secretOf(who)), token)));
    }

    function withdraw(uint256 who, uint256 amount, bool whole) external {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.account = vm.addr(secretOf(who));
        withdrawal.amount = uint64(within(amount, 0, 1e10));
        if (whole) withdrawal.amount -= withdrawal.amount % 100;
        withdrawal.nonce = ++_withdrawals;
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        note(
            abi.encodeCall(
                IExchange.withdraw,
                (withdrawal, long(secretOf(who), digest), long(OPERATOR, digest))
            )
        );
    }

    function sweepFees() external {
        note(abi.encodeCall(IExchange.sweepFees, (address(quote))));
    }

    function note(bytes memory calldata_) private returns (bool done) {
        (done,) = address(exchange).call(calldata_);
        done ? ++accepted : ++rejected;
    }
}
