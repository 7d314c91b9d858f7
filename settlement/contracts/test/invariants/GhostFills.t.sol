// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Rig} from "../Rig.sol";
import {Haunted} from "./Haunted.sol";

/// @title Can anything that traders do make a sealed batch revert?
/// @dev The operator honours each request from the moment it is on chain, and settles within the
/// horizon what it sealed before. `Haunted` settles with a plain call: one refused batch, for
/// whatever reason, fails the walk.
contract GhostFillsTest is Rig {
    Haunted internal haunted;

    function setUp() public override {
        haunted = new Haunted(false);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(haunted);
    }

    /// @dev How forge asks which functions of which contract to call.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[13] memory wanted = [
            Haunted.sealSome.selector,
            Haunted.settleNext.selector,
            Haunted.pass.selector,
            Haunted.requestExit.selector,
            Haunted.cancelExit.selector,
            Haunted.finishExit.selector,
            Haunted.requestCancel.selector,
            Haunted.finishCancel.selector,
            Haunted.revokeKey.selector,
            Haunted.narrowKey.selector,
            Haunted.transferAway.selector,
            Haunted.withdraw.selector,
            Haunted.sendPayout.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(haunted), new bytes4[](wanted.length));
        for (uint256 i; i < wanted.length; ++i) {
            targets[0].selectors[i] = wanted[i];
        }
    }

    function invariant_a_sealed_batch_always_settles() public view {
        haunted.checkQueue();
    }

    /// @dev Found by a long walk: the operator of the walk forgot the higher cancel for the lower
    /// one that came after it.
    function test_a_later_cancel_of_lower_nonces_does_not_revive_the_higher_ones() public {
        haunted.requestCancel(0, 0, 2);
        vm.warp(block.timestamp + EXIT_DELAY + 1);
        haunted.finishCancel(0, 0);
        haunted.requestCancel(0, 0, 0);
        for (uint256 i; i < 4; ++i) {
            haunted.sealSome(0, 4, ONE, 1);
            haunted.settleAll();
        }
        yes(haunted.settled() > 4, "batches settled");
    }

    /// @dev Found by a review, for withdrawals were not among the calls. An operator whose consent
    /// waits for nothing is what the contract was before it bound it to the log.
    function test_the_calls_of_the_walk_find_a_withdrawal_that_waits_for_nothing() public {
        Haunted careless = new Haunted(true);
        bytes memory told;
        for (uint256 dice; dice < 100 && told.length == 0; ++dice) {
            uint256 roll = uint256(keccak256(abi.encode(dice)));
            careless.sealSome(roll, roll >> 64, roll >> 128, roll >> 192);
            careless.withdraw(roll >> 32, roll >> 96, roll % 2 == 0);
            (, told) = address(careless).call(abi.encodeCall(Haunted.settleAll, ()));
        }
        same(bytes32(bytes4(told)), bytes32(IExchange.InsufficientBalance.selector), "a ghost");
    }

    /// @dev A quiet night proves nothing: traders must have tried, and while batches were waiting.
    function afterInvariant() public {
        haunted.settleAll();
        yes(haunted.settled() >= 6, "batches settled");
        yes(haunted.threatened() >= 3, "with something done while they waited");
        yes(haunted.accepted() >= 10, "traders' calls were accepted");
        yes(haunted.rejected() >= 5, "and rejected");
    }
}
