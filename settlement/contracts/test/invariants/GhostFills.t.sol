// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Fixture} from "../Fixture.sol";
import {PendingBatchesHandler} from "./PendingBatchesHandler.sol";

/// @title Ghost fill invariant
/// @notice Can anything that traders do make a sealed batch revert?
/// @dev The operator honours each request from the moment it is on chain, and settles within the
/// horizon what it sealed before. `PendingBatchesHandler` settles with a plain call: one refused
/// batch, for whatever reason, fails the walk.
contract GhostFillsTest is Fixture {
    PendingBatchesHandler internal handler;

    function setUp() public override {
        handler = new PendingBatchesHandler(false);
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev How forge asks which functions of which contract to call.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[13] memory wanted = [
            PendingBatchesHandler.sealSome.selector,
            PendingBatchesHandler.settleNext.selector,
            PendingBatchesHandler.pass.selector,
            PendingBatchesHandler.requestExit.selector,
            PendingBatchesHandler.cancelExit.selector,
            PendingBatchesHandler.finishExit.selector,
            PendingBatchesHandler.requestCancel.selector,
            PendingBatchesHandler.finishCancel.selector,
            PendingBatchesHandler.revokeKey.selector,
            PendingBatchesHandler.narrowKey.selector,
            PendingBatchesHandler.transferAway.selector,
            PendingBatchesHandler.withdraw.selector,
            PendingBatchesHandler.sendPayout.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](wanted.length));
        for (uint256 i; i < wanted.length; ++i) {
            targets[0].selectors[i] = wanted[i];
        }
    }

    function invariant_a_sealed_batch_always_settles() public view {
        handler.checkQueue();
    }

    /// @dev Found by a long walk: the operator of the walk forgot the higher cancel for the lower
    /// one that came after it.
    function test_a_later_cancel_of_lower_nonces_does_not_revive_the_higher_ones() public {
        handler.requestCancel(0, 0, 2);
        vm.warp(block.timestamp + EXIT_DELAY + 1);
        handler.finishCancel(0, 0);
        handler.requestCancel(0, 0, 0);
        for (uint256 i; i < 4; ++i) {
            handler.sealSome(0, 4, ONE, 1);
            handler.settleAll();
        }
        assertTrue(handler.settled() > 4, "batches settled");
    }

    /// @dev Found by a review, for withdrawals were not among the calls. An operator whose consent
    /// waits for nothing is what the contract was before it bound it to the log.
    function test_the_calls_of_the_walk_find_a_withdrawal_that_waits_for_nothing() public {
        PendingBatchesHandler careless = new PendingBatchesHandler(true);
        bytes memory told;
        for (uint256 dice; dice < 100 && told.length == 0; ++dice) {
            uint256 roll = uint256(keccak256(abi.encode(dice)));
            careless.sealSome(roll, roll >> 64, roll >> 128, roll >> 192);
            careless.withdraw(roll >> 32, roll >> 96, roll % 2 == 0);
            (, told) = address(careless).call(abi.encodeCall(PendingBatchesHandler.settleAll, ()));
        }
        assertEq(
            bytes32(bytes4(told)), bytes32(IExchange.InsufficientBalance.selector), "a ghost"
        );
    }

    /// @dev What the walk is able to do, on dice that never change: traders try, and while batches
    /// are waiting. Of thousands of walks on other dice a few are quiet: everybody has left early.
    function test_the_calls_of_the_walk_settle_batches_under_threat() public {
        for (uint256 dice; dice < 160; ++dice) {
            call(uint256(keccak256(abi.encode("walk", dice))));
        }
        handler.settleAll();
        assertTrue(handler.settled() >= 6, "batches settled");
        assertTrue(handler.threatened() >= 3, "with something done while they waited");
        assertTrue(handler.accepted() >= 10, "traders' calls were accepted");
        assertTrue(handler.rejected() >= 5, "and rejected");
    }

    function call(uint256 roll) private {
        (uint256 one, uint256 other) = (roll >> 16, roll >> 80);
        bool coin = roll & 256 != 0;
        uint256 which = roll % 13;
        if (which == 0) handler.sealSome(one, other, roll >> 128, roll >> 192);
        else if (which == 1) handler.settleNext();
        else if (which == 2) handler.pass(one);
        else if (which == 3) handler.requestExit(one, uint64(other), coin);
        else if (which == 4) handler.cancelExit(one, coin);
        else if (which == 5) handler.finishExit(one, coin);
        else if (which == 6) handler.requestCancel(one, uint8(other), uint64(roll >> 128));
        else if (which == 7) handler.finishCancel(one, uint8(other));
        else if (which == 8) handler.revokeKey(one);
        else if (which == 9) handler.narrowKey(one, uint64(other));
        else if (which == 10) handler.transferAway(one, other);
        else if (which == 11) handler.withdraw(one, other, coin);
        else handler.sendPayout(one);
    }

    /// @dev A walk has done something, however quiet it was.
    function afterInvariant() public {
        handler.settleAll();
        assertTrue(handler.settled() > 0, "batches settled");
        assertTrue(handler.accepted() + handler.rejected() >= 32, "traders have tried");
    }
}
