// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rig} from "../Rig.sol";
import {Crowd} from "./Crowd.sol";

/// @title Do the laws of settlement hold, whatever anybody does and in whatever order?
/// @dev Numbers are those of the project's list of invariants:
/// I14 what accounts and fees hold is what the custodian holds; I15 batches apply once, in order;
/// I16 no order is filled beyond what it says, a cancelled one not at all; I17 no trade is outside
/// what was signed; I18 the chain says what an independent ledger says; I19 the operator gets
/// nothing but fees. I16 and I17 are judged at each accepted batch, in `Crowd`.
contract LawsTest is Rig {
    Crowd internal crowd;

    function setUp() public override {
        crowd = new Crowd();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crowd);
    }

    function invariant_i14_to_i19() public view {
        crowd.checkHoldings();
        crowd.checkBatches();
        crowd.checkLedger();
        crowd.checkOperator();
    }

    /// @dev A walk in which nothing, or everything, is refused would prove little.
    function afterInvariant() public view {
        yes(crowd.settled() >= 2, "batches settled");
        yes(crowd.refused() >= 5, "batches were refused");
        yes(crowd.accepted() >= 20, "calls were accepted");
        yes(crowd.rejected() >= 10, "calls were rejected");
    }
}
