// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Fixture} from "../Fixture.sol";

/// @title Exit tests
/// @notice Can everybody leave, and nobody before its time?
contract ExitsTest is Fixture {
    function request(uint64 amount) internal {
        vm.prank(alice);
        exchange.requestExit(address(quote), amount);
    }

    function test_anyone_may_finish_an_exit_after_the_delay() public {
        request(30e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 30e6, "paid");
        assertEq(balance(alice, quote), 99_970e8, "debited");
        (, uint64 readyAt) = exchange.exitOf(alice, address(quote));
        assertEq(readyAt, 0, "over");
    }

    function test_not_before() public {
        request(30e8);
        uint256 readyAt = block.timestamp + EXIT_DELAY;
        vm.warp(readyAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotReady.selector, readyAt, readyAt - 1)
        );
        exchange.finishExit(alice, address(quote));
    }

    function test_an_exit_pays_no_more_than_there_is() public {
        request(type(uint64).max);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 100_000e6, "all of it");
    }

    function test_an_exit_of_nothing_left_still_ends() public {
        vm.prank(bob);
        exchange.requestExit(address(quote), 1);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(bob, address(quote));
        (, uint64 readyAt) = exchange.exitOf(bob, address(quote));
        assertEq(readyAt, 0, "over");
    }

    function test_a_fraction_of_a_raw_unit_stays() public {
        request(30e8 + 99);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(balance(alice, quote), 99_970e8, "floor");
    }

    function test_one_request_at_a_time() public {
        request(1);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.ExitPending.selector, alice, quote, block.timestamp + EXIT_DELAY
            )
        );
        exchange.requestExit(address(quote), 2);
    }

    function test_a_request_for_nothing() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAmount.selector));
        exchange.requestExit(address(quote), 0);
    }

    function test_who_cancels_stays() public {
        request(1);
        vm.prank(alice);
        exchange.cancelExit(address(quote));
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoExit.selector, alice, quote));
        exchange.finishExit(alice, address(quote));
    }

    function test_cancelling_what_is_not_there() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoExit.selector, alice, quote));
        exchange.cancelExit(address(quote));
    }

    function test_a_request_cannot_spoil_a_sealed_batch() public {
        Batch memory batch = plainBatch();
        request(type(uint64).max);
        vm.warp(block.timestamp + HORIZON);
        settle(batch);
    }

    function test_exits_need_no_delay_once_the_operator_is_dead() public {
        request(30e8);
        vm.warp(exchange.lastBatchAt() + DEADMAN_DELAY + 1);
        exchange.openExits();
        vm.prank(bob);
        exchange.requestExit(address(base), 1e8);
        exchange.finishExit(bob, address(base));
        assertEq(base.balanceOf(bob), 1e18, "at once");
    }

    function test_a_living_operator_is_not_declared_dead() public {
        uint256 deadAfter = exchange.lastBatchAt() + DEADMAN_DELAY;
        vm.warp(deadAfter);
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.OperatorAlive.selector, deadAfter, deadAfter)
        );
        exchange.openExits();
    }

    function test_exits_are_opened_once() public {
        vm.warp(block.timestamp + DEADMAN_DELAY + 1);
        exchange.openExits();
        vm.expectRevert(abi.encodeWithSelector(IExchange.SettlementClosed.selector));
        exchange.openExits();
    }
}
