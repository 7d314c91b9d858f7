// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {KeyGrant, Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Tests of exits in odd orders
/// @notice Do exits, withdrawals, trades and cancels get along in whatever order they come?
contract ExitOrdersTest is Fixture {
    function request(address account, address token, uint64 amount) internal {
        vm.prank(account);
        exchange.requestExit(token, amount);
    }

    function pay(Withdrawal memory withdrawal) internal {
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        exchange.withdraw(withdrawal, 0, long(ALICE, digest), consent(digest, 0));
    }

    /// @dev Else a request that was taken back could be kept warm for years.
    function test_a_request_taken_back_and_made_anew_waits_anew() public {
        request(alice, address(quote), 1e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(alice);
        exchange.cancelExit(address(quote));
        request(alice, address(quote), 2e8);
        uint256 readyAt = block.timestamp + EXIT_DELAY;
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotReady.selector, readyAt, block.timestamp)
        );
        exchange.finishExit(alice, address(quote));
        vm.warp(readyAt);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 2e6, "what was asked for last");
    }

    function test_an_exit_is_finished_once() public {
        request(alice, address(quote), 1e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoExit.selector, alice, quote));
        exchange.finishExit(alice, address(quote));
    }

    function test_each_token_leaves_by_itself() public {
        fund(alice, base, 3e18);
        request(alice, address(quote), 1e8);
        vm.warp(block.timestamp + 1);
        request(alice, address(base), 1e8);
        vm.warp(block.timestamp + EXIT_DELAY - 1);
        exchange.finishExit(alice, address(quote));
        uint256 readyAt = block.timestamp + 1;
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.ExitNotReady.selector, readyAt, readyAt - 1)
        );
        exchange.finishExit(alice, address(base));
        vm.warp(readyAt);
        exchange.finishExit(alice, address(base));
        assertEq(base.balanceOf(alice), 1e18, "base");
        assertEq(quote.balanceOf(alice), 1e6, "quote");
    }

    /// @dev Nobody can keep another one here, nor send it away.
    function test_a_stranger_has_no_say_in_an_exit() public {
        request(alice, address(quote), 1e8);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoExit.selector, bob, quote));
        exchange.cancelExit(address(quote));
        (uint64 amount,) = exchange.exitOf(alice, address(quote));
        assertEq(amount, 1e8, "untouched");
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.prank(bob);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(bob), 0, "who sends it gets nothing");
        assertEq(quote.balanceOf(alice), 1e6, "its owner does");
    }

    function test_a_stranger_cancels_and_revokes_only_its_own() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.NoLiveKey.selector, alice, grant.key);
        vm.prank(alice);
        vm.expectRevert(reason);
        exchange.revokeKey(grant.key, 9);
        vm.prank(alice);
        exchange.requestCancel(LANE, false, 9);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoCancel.selector, bob, LANE, false));
        exchange.finishCancel(bob, LANE, false);
        exchange.finishCancel(alice, LANE, false);
        Draft memory sell = sellDraft();
        sell.expiry = uint32(block.timestamp);
        settle(seal(buyDraft(), sell));
    }

    /// @dev A withdrawal by consent does not wait for the exit, and the exit pays what is left.
    function testFuzz_a_withdrawal_comes_between(uint64 first, uint64 wanted) public {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.amount = uint64(bound(first, 1, 1_000_000)) * 100;
        withdrawal.expiry = type(uint32).max;
        wanted = uint64(bound(wanted, 1, type(uint64).max));
        request(alice, address(quote), wanted);
        pay(withdrawal);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        uint256 left = 100_000e8 - withdrawal.amount;
        uint256 paid = (wanted < left ? wanted : left) / 100;
        assertEq(quote.balanceOf(alice), paid, "at most what is left");
        assertEq(balance(alice, quote), left - paid * 100, "and the rest stays");
    }

    function test_a_trade_comes_between_and_the_exit_takes_what_is_left() public {
        request(alice, address(quote), type(uint64).max);
        settle(plainBatch());
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 100_000e6 - 2_500e6 - 2.5e6, "less price and fee");
        assertEq(balance(alice, base), ONE, "what was bought is not touched");
    }

    /// @dev The dead-man switch ends settlement and nothing else.
    function test_after_the_switch_money_still_comes_and_goes() public {
        settle(plainBatch());
        vm.warp(block.timestamp + DEADMAN_DELAY + 1);
        exchange.openExits();
        exchange.sweepFees(address(quote));
        pay(plainWithdrawal());
        fund(alice, quote, 5e6);
        request(alice, address(quote), type(uint64).max);
        exchange.finishExit(alice, address(quote));
        assertEq(balance(alice, quote), 0, "all out in the same second");
        assertEq(quote.balanceOf(address(0x70)), 10e6, "by consent");
    }

    function test_a_cancel_needs_its_delay_even_after_the_switch() public {
        vm.warp(block.timestamp + DEADMAN_DELAY + 1);
        exchange.openExits();
        vm.prank(bob);
        exchange.requestCancel(LANE, false, 1);
        uint256 readyAt = block.timestamp + EXIT_DELAY;
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.CancelNotReady.selector, readyAt, block.timestamp)
        );
        exchange.finishCancel(bob, LANE, false);
    }

    /// @dev Nonces may be left out but not used again: what was signed and not sent is void.
    function test_a_higher_withdrawal_voids_the_lower_one() public {
        Withdrawal memory higher = plainWithdrawal();
        higher.nonce = 3;
        pay(higher);
        Withdrawal memory lower = plainWithdrawal();
        lower.nonce = 2;
        bytes32 digest = exchange.withdrawalDigest(lower);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, 0));
        vm.expectRevert(abi.encodeWithSelector(IExchange.NonceTooLow.selector, alice, 3, 2));
        exchange.withdraw(lower, 0, owner, countersigned);
    }
}
