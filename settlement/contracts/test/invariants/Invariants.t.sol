// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../Fixture.sol";
import {TradersHandler} from "./TradersHandler.sol";

/// @title Settlement invariants
/// @notice Do the invariants of settlement hold, whatever anybody does and in whatever order?
/// @dev Numbers are those of the project's list of invariants:
/// I14 what accounts and fees hold is what the custodian holds; I15 batches apply once, in order;
/// I16 no order is filled beyond what it says, a cancelled one not at all; I17 no trade is outside
/// what was signed; I18 the chain says what an independent ledger says; I19 the operator gets
/// nothing but fees. I16 and I17 are judged at each accepted batch, in `TradersHandler`.
contract InvariantsTest is Fixture {
    TradersHandler internal handler;

    function setUp() public override {
        handler = new TradersHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_i14_to_i19() public view {
        handler.checkHoldings();
        handler.checkBatches();
        handler.checkLedger();
        handler.checkOperator();
    }

    /// @dev What the walk is able to do, on dice that never change.
    function test_the_calls_of_the_walk_replace_orders_within_a_batch() public {
        for (uint256 dice; dice < 12; ++dice) {
            uint256 roll = uint256(keccak256(abi.encode(dice)));
            handler.tradeAndReplace(roll >> 8, roll >> 64, roll >> 128, roll >> 192);
        }
        handler.checkLedger();
        assertTrue(handler.replaced() >= 2, "batches with both orders");
        assertTrue(handler.refused() >= 2, "and some that are refused");
    }

    /// @dev A walk in which nothing, or everything, is refused would prove little.
    function afterInvariant() public view {
        assertTrue(handler.settled() >= 2, "batches settled");
        assertTrue(handler.refused() >= 5, "batches were refused");
        assertTrue(handler.accepted() >= 20, "calls were accepted");
        assertTrue(handler.rejected() >= 10, "calls were rejected");
    }
}
