// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {IToken, Fixture} from "../Fixture.sol";
import {
    DenyingToken,
    GreedyToken,
    PausableToken,
    PlainToken,
    RebasingToken,
    ReentrantToken,
    RefusingToken,
    SilentToken,
    StubbornToken
} from "../doubles/AwkwardTokens.sol";

/// @title Awkward token tests (weird ERC-20)
/// @notice Do awkward tokens hurt nobody but those who hold them?
/// @dev Ten kinds: silent, refusing, greedy, denying, reentrant, rebasing, pausable, stubborn, of
/// no decimals, and of more decimals than pips.
contract AwkwardTokensTest is Fixture {
    function list(address token, int64 unitScale) internal returns (IToken) {
        exchange.listToken(token, unitScale);
        return IToken(token);
    }

    /// @dev A deposit that must go through, from this contract.
    function bring(IToken token, uint256 raw) internal {
        token.mint(address(this), raw);
        token.approve(address(exchange), raw);
        exchange.deposit(address(token), raw, alice, 0);
    }

    function takeOut(IToken token, uint64 amount) internal {
        vm.prank(alice);
        exchange.requestExit(address(token), amount);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(token));
    }

    function test_silent() public {
        IToken token = list(address(new SilentToken()), 1);
        token.mint(address(this), 5e8);
        (bool done,) =
            address(token).call(abi.encodeCall(IToken.approve, (address(exchange), 5e8)));
        assertTrue(done, "approved without a word");
        exchange.deposit(address(token), 5e8, alice, 0);
        assertEq(balance(alice, token), 5e8, "credited");
        takeOut(token, 5e8);
        assertEq(token.balanceOf(alice), 5e8, "paid");
    }

    function test_refusing() public {
        RefusingToken refusing = new RefusingToken();
        IToken token = list(address(refusing), 1);
        bring(token, 5e8);
        refusing.setRefuses(true);
        token.mint(address(this), 5e8);
        token.approve(address(exchange), 5e8);
        bytes memory reason =
            abi.encodeWithSignature("SafeERC20FailedOperation(address)", address(token));
        vm.expectRevert(reason);
        exchange.deposit(address(token), 5e8, alice, 0);
        vm.prank(alice);
        exchange.requestExit(address(token), 5e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.expectRevert(reason);
        exchange.finishExit(alice, address(token));
        assertEq(balance(alice, token), 5e8, "what could not be paid is still owed");
    }

    function test_greedy() public {
        IToken token = list(address(new GreedyToken()), 1);
        bring(token, 1_000);
        assertEq(balance(alice, token), 990, "what arrived is credited");
        assertEq(token.balanceOf(address(custodian)), 990, "and held");
    }

    function test_denying() public {
        DenyingToken denying = new DenyingToken();
        IToken token = list(address(denying), 1);
        fund(bob, token, 5e8);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.baseToken, sell.baseToken) = (2, 2);
        denying.deny(alice);
        settle(seal(buy, sell));
        assertEq(balance(alice, token), ONE, "a denied account does not stop a batch");
        vm.prank(alice);
        exchange.requestExit(address(token), ONE);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.expectRevert(abi.encodeWithSelector(DenyingToken.Denied.selector, alice));
        exchange.finishExit(alice, address(token));
        vm.prank(bob);
        exchange.requestExit(address(token), 4e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(bob, address(token));
        assertEq(token.balanceOf(bob), 4e8, "others leave");
    }

    function test_a_denied_receiver_of_fees_is_replaced() public {
        DenyingToken denying = new DenyingToken();
        IToken token = list(address(denying), 1);
        fund(alice, token, 5_000e8);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.quoteToken, sell.quoteToken) = (2, 2);
        settle(seal(buy, sell));
        denying.deny(FEES);
        vm.expectRevert(abi.encodeWithSelector(DenyingToken.Denied.selector, FEES));
        exchange.sweepFees(address(token));
        exchange.setFeeReceiver(address(0x600D));
        exchange.sweepFees(address(token));
        assertEq(token.balanceOf(address(0x600D)), PRICE / 1_000 + PRICE / 2_000, "swept");
    }

    function test_reentrant() public {
        ReentrantToken reentrant = new ReentrantToken();
        IToken token = list(address(reentrant), 1);
        bring(token, 5e8);
        bytes memory guarded = abi.encodeWithSignature("ReentrancyGuardReentrantCall()");
        token.mint(address(this), 5e8);
        token.approve(address(exchange), 5e8);
        reentrant.callBack(
            address(exchange),
            abi.encodeCall(IExchange.deposit, (address(token), 0, alice, bytes32(0)))
        );
        vm.expectRevert(guarded);
        exchange.deposit(address(token), 5e8, alice, 0);

        vm.prank(alice);
        exchange.requestExit(address(token), 2e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        reentrant.callBack(
            address(exchange), abi.encodeCall(IExchange.finishExit, (alice, address(token)))
        );
        vm.expectRevert(guarded);
        exchange.finishExit(alice, address(token));
    }

    function test_rebasing() public {
        RebasingToken rebasing = new RebasingToken();
        IToken token = list(address(rebasing), 1);
        bring(token, 100);
        rebasing.rebase(150);
        assertEq(balance(alice, token), 100, "growth belongs to nobody");
        rebasing.rebase(100);
        takeOut(token, 100);
        assertEq(rebasing.balanceOf(alice), 100, "paid");
    }

    function test_pausable() public {
        PausableToken pausable = new PausableToken();
        IToken token = list(address(pausable), 1);
        fund(bob, token, 5e8);
        pausable.stop(true);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.baseToken, sell.baseToken) = (2, 2);
        settle(seal(buy, sell));
        vm.prank(bob);
        exchange.requestExit(address(token), 4e8);
        vm.warp(block.timestamp + EXIT_DELAY);
        vm.expectRevert(abi.encodeWithSelector(PausableToken.Stopped.selector));
        exchange.finishExit(bob, address(token));
        pausable.stop(false);
        exchange.finishExit(bob, address(token));
        assertEq(token.balanceOf(bob), 4e8, "the request survived");
    }

    function test_stubborn() public {
        StubbornToken stubborn = new StubbornToken();
        IToken token = list(address(stubborn), 1);
        address factory =
            vm.deployCode("InvoiceDeposits.sol:InvoiceDeposits", abi.encode(address(exchange)));
        for (uint256 i; i < 2; ++i) {
            (, bytes memory told) = factory.call(
                abi.encodeWithSignature("addressOf(address,bytes32)", alice, bytes32("X"))
            );
            token.mint(abi.decode(told, (address)), 3e8);
            (bool done,) = factory.call(
                abi.encodeWithSignature(
                    "sweep(address,bytes32,address)", alice, bytes32("X"), address(token)
                )
            );
            assertTrue(done, "swept");
        }
        assertEq(balance(alice, token), 6e8, "twice");
    }

    function test_of_no_decimals() public {
        IToken token = list(address(new PlainToken(0)), -1e8);
        bring(token, 7);
        assertEq(balance(alice, token), 7e8, "whole tokens are pips");
        takeOut(token, 3.5e8);
        assertEq(token.balanceOf(alice), 3, "whole ones are paid");
        assertEq(balance(alice, token), 4e8, "the half stays");
    }

    function test_of_more_decimals_than_pips() public {
        IToken token = list(address(new PlainToken(24)), 1e16);
        bring(token, 3e24);
        assertEq(balance(alice, token), 3e8, "pips");
        takeOut(token, 1);
        assertEq(token.balanceOf(alice), 1e16, "one pip");
    }
}
