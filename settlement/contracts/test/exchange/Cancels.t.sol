// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Fixture} from "../Fixture.sol";

/// @title On-chain cancel tests
/// @notice Does a cancel on chain count, and not before its delay is over?
contract CancelsTest is Fixture {
    function cancel(address account, uint16 index, bool upperHalf, uint64 nonce) internal {
        vm.prank(account);
        exchange.requestCancel(index, upperHalf, nonce);
    }

    function refuseRequest(uint16 index, bool upperHalf, uint64 nonce, bytes memory reason)
        internal
    {
        vm.prank(bob);
        vm.expectRevert(reason);
        exchange.requestCancel(index, upperHalf, nonce);
    }

    function test_a_cancelled_lane_order_settles_no_more() public {
        cancel(bob, LANE, false, 1);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(bob, LANE, false);
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, LANE, false);
        assertEq(nonce, 2, "the next nonce");
        assertEq(filled, 0, "unfilled");
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.LaneReplaced.selector, 1, 1, 2));
        Draft memory sell = sellDraft();
        sell.nonce = 2;
        settle(seal(buyDraft(), sell));
    }

    function test_what_was_matched_before_settles_first() public {
        settle(plainBatch());
        cancel(bob, LANE, false, 1);
        vm.warp(block.timestamp + EXIT_DELAY);
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        settle(seal(buy, sellDraft()));
        exchange.finishCancel(bob, LANE, false);
        (uint64 nonce,) = exchange.laneOf(bob, LANE, false);
        assertEq(nonce, 2, "cancelled after the fill");
    }

    function test_a_replaced_lane_keeps_its_order() public {
        cancel(bob, LANE, false, 1);
        Draft memory sell = sellDraft();
        sell.nonce = 5;
        settle(seal(buyDraft(), sell));
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(bob, LANE, false);
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, LANE, false);
        assertEq(nonce, 5, "a later order is not meant");
        assertEq(filled, ONE, "and keeps its fills");
    }

    function test_the_other_half_is_not_touched() public {
        Draft memory sell = sellDraft();
        sell.flags |= UPPER_HALF;
        settle(seal(buyDraft(), sell));
        cancel(bob, LANE, false, 7);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(bob, LANE, false);
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, LANE, true);
        assertEq(nonce, 1, "nonce of the upper half");
        assertEq(filled, ONE, "fills of the upper half");
    }

    function test_a_cancelled_window_nonce_settles_no_more() public {
        cancel(alice, 0, false, 1);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(alice, 0, false);
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.NonceUsed.selector, 0, 1, 1));
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        settle(seal(buy, sellDraft()));
        assertEq(balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "money is untouched");
    }

    function test_it_waits_for_the_exit_delay() public {
        cancel(bob, LANE, false, 1);
        uint64 readyAt = uint64(block.timestamp) + EXIT_DELAY;
        (uint64 nonce, uint64 told) = exchange.cancelOf(bob, LANE, false);
        assertEq(nonce, 1, "nonce");
        assertEq(told, readyAt, "ready at");
        vm.warp(readyAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.CancelNotReady.selector, readyAt, readyAt - 1)
        );
        exchange.finishCancel(bob, LANE, false);
        settle(plainBatch());
    }

    function test_one_at_a_time() public {
        cancel(bob, LANE, false, 1);
        refuseRequest(
            LANE,
            false,
            2,
            abi.encodeWithSelector(
                IExchange.CancelPending.selector, bob, LANE, false, block.timestamp + EXIT_DELAY
            )
        );
        cancel(bob, LANE, true, 2);
        cancel(bob, LANE + 1, false, 2);
    }

    function test_it_is_finished_once() public {
        bytes memory reason =
            abi.encodeWithSelector(IExchange.NoCancel.selector, bob, LANE, false);
        vm.expectRevert(reason);
        exchange.finishCancel(bob, LANE, false);
        cancel(bob, LANE, false, 1);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(bob, LANE, false);
        vm.expectRevert(reason);
        exchange.finishCancel(bob, LANE, false);
    }

    function test_balances_are_no_lanes() public {
        refuseRequest(
            1, false, 1, abi.encodeWithSelector(IExchange.NothingToCancel.selector, 1, false)
        );
        refuseRequest(
            0, true, 1, abi.encodeWithSelector(IExchange.NothingToCancel.selector, 0, true)
        );
        refuseRequest(
            LANE - 1,
            false,
            1,
            abi.encodeWithSelector(IExchange.NothingToCancel.selector, LANE - 1, false)
        );
    }

    function test_nonces_that_could_not_be_followed() public {
        uint64 most = type(uint64).max;
        refuseRequest(
            LANE, false, most, abi.encodeWithSelector(IExchange.CancelNonceTooHigh.selector, most)
        );
        refuseRequest(
            0,
            false,
            1 << 40,
            abi.encodeWithSelector(IExchange.CancelNonceTooHigh.selector, uint64(1 << 40))
        );
        cancel(bob, LANE, false, most - 1);
        cancel(bob, 0, false, (1 << 40) - 1);
    }
}
