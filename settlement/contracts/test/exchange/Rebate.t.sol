// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Fixture} from "../Fixture.sol";

/// @title Maker rebate tests
/// @notice Is a rebate paid out of the other side's fee, and of nothing else?
contract RebateTest is Fixture {
    function withFees(int32 buyFeePpm, int32 sellFeePpm)
        internal
        view
        returns (Batch memory batch)
    {
        batch = plainBatch();
        (batch.trades[0].buyFeePpm, batch.trades[0].sellFeePpm) = (buyFeePpm, sellFeePpm);
    }

    function test_the_maker_is_paid_by_the_taker() public {
        settle(withFees(1_000, -400));
        assertEq(balance(alice, quote), 100_000e8 - PRICE - 2.5e8, "taker paid");
        assertEq(balance(bob, quote), PRICE + 1e8, "maker was paid");
        assertEq(exchange.feesOf(address(quote)), 1.5e8, "the rest is kept");
    }

    function test_a_buyer_can_be_the_maker() public {
        settle(withFees(-1_000, 1_000));
        assertEq(balance(alice, quote), 100_000e8 - PRICE + 2.5e8, "buyer was paid");
        assertEq(balance(bob, quote), PRICE - 2.5e8, "seller paid");
        assertEq(exchange.feesOf(address(quote)), 0, "nothing is left");
    }

    function test_more_than_the_other_side_pays() public {
        refuse(
            withFees(1_000, -1_001),
            abi.encodeWithSelector(
                IExchange.RebateAboveFee.selector, 0, int256(2.5e8), int256(-2.5025e8)
            )
        );
    }

    function test_a_rebate_without_a_fee() public {
        refuse(
            withFees(0, -1),
            abi.encodeWithSelector(
                IExchange.RebateAboveFee.selector, 0, int256(0), int256(-250_000)
            )
        );
    }

    function testFuzz_both_are_rounded_towards_zero(uint64 amount, uint16 fee, uint16 rebate)
        public
    {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        uint64 quote_ = uint64(bound(amount, 1, PRICE));
        (buy.quoteAmount, sell.quoteAmount) = (quote_, 2 * quote_);
        uint256 feePpm = bound(fee, 0, 5_000);
        uint256 rebatePpm = bound(rebate, 0, feePpm);
        Batch memory batch = seal(buy, sell);
        batch.trades[0].quoteAmount = quote_;
        batch.trades[0].buyFeePpm = int32(uint32(feePpm));
        batch.trades[0].sellFeePpm = -int32(uint32(rebatePpm));
        settle(batch);
        uint256 paid = uint256(quote_) * feePpm / 1e6;
        uint256 given = uint256(quote_) * rebatePpm / 1e6;
        assertEq(balance(alice, quote), 100_000e8 - quote_ - paid, "taker");
        assertEq(balance(bob, quote), quote_ + given, "maker");
        assertEq(exchange.feesOf(address(quote)), paid - given, "kept");
    }
}
