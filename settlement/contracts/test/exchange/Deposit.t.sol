// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Deposit tests
/// @notice Is exactly what arrived credited?
contract DepositTest is Fixture {
    function prepare(IToken token, uint256 raw) internal {
        token.mint(address(this), raw);
        token.approve(address(exchange), raw);
    }

    function testFuzz_six_decimals(uint40 raw) public {
        vm.assume(raw != 0);
        fund(bob, quote, raw);
        assertEq(balance(bob, quote), uint256(raw) * 100, "pips");
    }

    function test_a_fraction_of_a_pip() public {
        prepare(base, 1e10 + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.NotWholePips.selector, base, uint256(1e10 + 1), int64(1e10)
            )
        );
        exchange.deposit(address(base), 1e10 + 1, alice, 0);
    }

    function test_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAmount.selector));
        exchange.deposit(address(base), 0, alice, 0);
    }

    function test_for_nobody() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAddress.selector));
        exchange.deposit(address(base), 1e10, address(0), 0);
    }

    function test_a_token_that_is_not_listed() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.UnknownToken.selector, address(1)));
        exchange.deposit(address(1), 1, alice, 0);
    }

    function test_more_than_a_balance_holds() public {
        uint256 pips = uint256(type(uint64).max) - 50e8 + 1;
        prepare(base, pips * 1e10);
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.BalanceOverflow.selector, bob, 1, uint256(50e8), pips
            )
        );
        exchange.deposit(address(base), pips * 1e10, bob, 0);
    }

    /// @dev Found by a review: what an exchange without a custodian takes in can never leave it.
    function test_an_exchange_that_was_replaced_takes_nothing_in() public {
        address next = address(0x4E47);
        custodian.proposeExchange(next);
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.appointExchange();
        prepare(base, 1e10);
        vm.expectRevert(abi.encodeWithSelector(IExchange.Replaced.selector, next));
        exchange.deposit(address(base), 1e10, alice, 0);
    }
}
