// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../Fixture.sol";

/// @title Custodian tests
/// @notice Do tokens leave only on the word of the current exchange?
contract CustodianTest is Fixture {
    address internal constant NEXT = address(0x4E47);

    function test_only_the_exchange_pays() public {
        vm.expectRevert(abi.encodeWithSignature("NotExchange(address)", address(this)));
        custodian.pay(address(quote), address(this), 1);
    }

    function test_a_new_exchange_waits() public {
        custodian.proposeExchange(NEXT);
        uint256 readyAt = block.timestamp + 2 * EXIT_DELAY;
        vm.warp(readyAt - 1);
        vm.expectRevert(
            abi.encodeWithSignature("ChangeNotReady(uint64,uint256)", readyAt, readyAt - 1)
        );
        custodian.appointExchange();
        vm.warp(readyAt);
        custodian.appointExchange();
        assertEq(custodian.exchange(), NEXT, "rules");
        assertEq(custodian.proposedExchange(), address(0), "no proposal is left");
    }

    function test_whoever_asks_to_leave_is_out_before_the_new_exchange_rules() public {
        custodian.proposeExchange(NEXT);
        vm.prank(alice);
        exchange.requestExit(address(quote), type(uint64).max);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishExit(alice, address(quote));
        assertEq(quote.balanceOf(alice), 100_000e6, "out");
    }

    function test_only_the_admin_proposes_and_appoints() public {
        bytes memory reason = abi.encodeWithSignature("NotAdmin(address)", alice);
        vm.prank(alice);
        vm.expectRevert(reason);
        custodian.proposeExchange(NEXT);
        vm.prank(alice);
        vm.expectRevert(reason);
        custodian.appointExchange();
    }

    function test_nobody_cannot_rule() public {
        vm.expectRevert(abi.encodeWithSignature("ZeroAddress()"));
        custodian.proposeExchange(address(0));
        vm.expectRevert(abi.encodeWithSignature("NothingProposed()"));
        custodian.appointExchange();
    }

    /// @dev Found by a review: a ripe proposal that stays is a change without notice.
    function test_a_proposal_lapses() public {
        custodian.proposeExchange(NEXT);
        uint256 lapsedAt = block.timestamp + 2 * EXIT_DELAY + custodian.CHANGE_WINDOW();
        vm.warp(lapsedAt + 1);
        vm.expectRevert(
            abi.encodeWithSignature("ChangeLapsed(uint64,uint256)", lapsedAt, lapsedAt + 1)
        );
        custodian.appointExchange();

        custodian.proposeExchange(NEXT);
        vm.warp(block.timestamp + 2 * EXIT_DELAY + custodian.CHANGE_WINDOW());
        custodian.appointExchange();
        assertEq(custodian.exchange(), NEXT, "announced again, and in time");
    }

    event ExchangeProposed(address exchange, uint64 readyAt);
    event ExchangeChanged(address exchange);

    function test_a_change_is_announced() public {
        uint64 readyAt = uint64(block.timestamp) + 2 * EXIT_DELAY;
        vm.expectEmit(address(custodian));
        emit ExchangeProposed(NEXT, readyAt);
        custodian.proposeExchange(NEXT);
        vm.warp(readyAt);
        vm.expectEmit(address(custodian));
        emit ExchangeChanged(NEXT);
        custodian.appointExchange();
    }

    function test_an_exchange_is_appointed_once() public {
        custodian.proposeExchange(NEXT);
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.appointExchange();
        vm.expectRevert(abi.encodeWithSignature("NothingProposed()"));
        custodian.appointExchange();
    }

    /// @dev Who lists tokens has no way to them: the admin of the custodian is not its exchange.
    function test_neither_admin_nor_operator_pays() public {
        address[2] memory callers = [address(this), operator];
        for (uint256 i; i < 2; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSignature("NotExchange(address)", callers[i]));
            custodian.pay(address(quote), callers[i], 1);
        }
        assertEq(quote.balanceOf(address(custodian)), 100_000e6, "all is there");
    }
}
