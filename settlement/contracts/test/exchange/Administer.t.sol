// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Fixture} from "../Fixture.sol";

/// @title Administration tests
/// @notice What can the admin do, and nobody else?
contract AdministerTest is Fixture {
    function test_only_the_admin_lists_tokens_and_names_roles() public {
        bytes memory reason = abi.encodeWithSelector(IExchange.NotAdmin.selector, alice);
        address token = address(newToken(8));
        vm.prank(alice);
        vm.expectRevert(reason);
        exchange.listToken(token, 1);
        vm.prank(alice);
        vm.expectRevert(reason);
        exchange.setOperator(alice);
        vm.prank(alice);
        vm.expectRevert(reason);
        exchange.setFeeReceiver(alice);
    }

    function test_roles_are_replaced() public {
        exchange.setOperator(alice);
        exchange.setFeeReceiver(bob);
        assertEq(exchange.operator(), alice, "operator");
        assertEq(exchange.feeReceiver(), bob, "fee receiver");
    }

    function test_no_role_is_nobodys() public {
        bytes memory reason = abi.encodeWithSelector(IExchange.ZeroAddress.selector);
        vm.expectRevert(reason);
        exchange.setOperator(address(0));
        vm.expectRevert(reason);
        exchange.setFeeReceiver(address(0));
        vm.expectRevert(reason);
        this.tryDeploy(address(0), HORIZON, EXIT_DELAY, DEADMAN_DELAY);
    }

    /// @dev What the constructor says is passed on, which the cheatcode does not do.
    function tryDeploy(address admin, uint64 horizon, uint64 exitDelay, uint64 deadman) external {
        bytes memory arguments =
            abi.encode(admin, operator, FEES, custodian, horizon, exitDelay, deadman);
        bytes memory code = bytes.concat(vm.getCode("Exchange.sol:Exchange"), arguments);
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function refuseDelays(uint64 horizon, uint64 exitDelay, uint64 deadman) internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IExchange.DelaysTooShort.selector, horizon, exitDelay, deadman, 2 * EXIT_DELAY
            )
        );
        this.tryDeploy(address(this), horizon, exitDelay, deadman);
    }

    function test_delays_must_outlast_the_horizon() public {
        refuseDelays(HORIZON, HORIZON, DEADMAN_DELAY);
        refuseDelays(HORIZON, EXIT_DELAY + 1, DEADMAN_DELAY);
        refuseDelays(HORIZON, EXIT_DELAY, HORIZON);
    }

    function test_a_token_is_listed_once() public {
        vm.expectRevert(
            abi.encodeWithSelector(IExchange.TokenAlreadyListed.selector, address(base), 1)
        );
        exchange.listToken(address(base), 1);
    }

    function test_a_token_is_a_contract() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.NotAContract.selector, alice));
        exchange.listToken(alice, 1);
    }

    function test_a_scale_says_something() public {
        address token = address(newToken(8));
        int64[3] memory bad = [int64(0), -1, type(int64).min];
        for (uint256 i; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IExchange.BadUnitScale.selector, bad[i]));
            exchange.listToken(token, bad[i]);
        }
    }

    function test_there_is_a_last_token() public {
        while (exchange.tokenCount() < 32) exchange.listToken(address(newToken(8)), 1);
        address token = address(newToken(8));
        vm.expectRevert(abi.encodeWithSelector(IExchange.TooManyTokens.selector, 32));
        exchange.listToken(token, 1);
    }

    function test_fees_go_to_the_receiver_in_whole_raw_units() public {
        Batch memory batch = plainBatch();
        (batch.trades[0].buyFeePpm, batch.trades[0].sellFeePpm) = (1, 0);
        settle(batch);
        assertEq(exchange.feesOf(address(quote)), 250_000, "0.0025");
        exchange.sweepFees(address(quote));
        assertEq(quote.balanceOf(FEES), 2_500, "raw");
        assertEq(exchange.feesOf(address(quote)), 0, "swept");
    }

    function test_no_fees_to_sweep() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAmount.selector));
        exchange.sweepFees(address(quote));
    }
}
