// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Token pause tests
/// @notice Does a paused token stand still, and still let everybody out?
contract PauseTest is Fixture {
    bytes internal reason;

    function setUp() public override {
        super.setUp();
        settle(plainBatch());
        exchange.setPaused(address(quote), true);
        reason = abi.encodeWithSelector(IExchange.TokenPaused.selector, quote);
    }

    function test_it_is_not_traded() public {
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        refuse(seal(buy, sellDraft()), reason);
        exchange.setPaused(address(quote), false);
        settle(seal(buy, sellDraft()));
    }

    function test_it_is_not_deposited() public {
        quote.mint(address(this), 1);
        quote.approve(address(exchange), 1);
        vm.expectRevert(reason);
        exchange.deposit(address(quote), 1, alice, 0);
    }

    function test_a_delayed_exit_goes_on() public {
        vm.prank(alice);
        exchange.requestExit(address(quote), 100e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 100e6, "out");
    }

    function test_a_withdrawal_by_consent_goes_on() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        exchange.withdraw(withdrawal, 0, long(ALICE, digest), consent(digest, 0));
        assertEq(quote.balanceOf(address(0x70)), 10e6, "out");
    }

    function test_fees_are_swept() public {
        exchange.sweepFees(address(quote));
        assertTrue(quote.balanceOf(FEES) > 0, "swept");
    }

    function test_an_exit_after_the_dead_man_switch_goes_on() public {
        vm.prank(alice);
        exchange.requestExit(address(quote), 100e8);
        vm.warp(block.timestamp + DEADMAN_DELAY + 1);
        exchange.openExits();
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 100e6, "out");
    }

    function test_only_the_admin_pauses() public {
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NotAdmin.selector, operator));
        exchange.setPaused(address(quote), false);
    }
}
