// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, Header} from "../../src/Types.sol";
import {BondRig, IBond} from "./BondRig.sol";

/// @title What forfeits the bond, and what does not?
contract BondTest is BondRig {
    address internal prover = address(0x9A0);

    function setUp() public override {
        super.setUp();
        commit(5, "first");
        commit(3, "second");
    }

    function equivocate(Acknowledgement memory first, Acknowledgement memory second) internal {
        bytes memory one = signed(first, OPERATOR);
        bytes memory other = signed(second, OPERATOR);
        vm.prank(prover);
        bond.proveEquivocation(first, one, second, other);
    }

    function refuseEquivocation(
        Acknowledgement memory first,
        Acknowledgement memory second,
        uint256 secret,
        bytes memory reason
    ) internal {
        bytes memory one = signed(first, OPERATOR);
        bytes memory other = signed(second, secret);
        vm.expectRevert(reason);
        bond.proveEquivocation(first, one, second, other);
    }

    /// @dev Claim that the log of batch `at` has `item` where `said` was acknowledged.
    function omit(
        Acknowledgement memory said,
        uint256 at,
        bytes32 item,
        uint64 place,
        bytes memory reason
    ) internal {
        bytes memory signature = signed(said, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[at], place);
        vm.prank(prover);
        if (reason.length != 0) vm.expectRevert(reason);
        bond.proveOmission(said, signature, headers[at], 0, 0, item, siblings);
    }

    function test_two_items_at_one_sequence() public {
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        same(bond.bonded(), 0, "all of it");
        same(quote.balanceOf(prover), STAKE / 10, "a tenth to the prover");
        same(quote.balanceOf(bond.BURN()), STAKE - STAKE / 10, "the rest is burnt");
    }

    function test_an_item_that_the_log_does_not_have() public {
        omit(acknowledge(7, "lost"), 1, log[6], 7, "");
        same(bond.bonded(), 0, "all of it");
    }

    function test_the_last_of_an_odd_log() public {
        omit(acknowledge(5, "lost"), 0, log[4], 5, "");
        same(bond.bonded(), 0, "all of it");
    }

    function test_the_same_item_twice_is_honest() public {
        refuseEquivocation(
            acknowledge(2, "this"),
            acknowledge(2, "this"),
            OPERATOR,
            abi.encodeWithSelector(IBond.SameItem.selector, bytes32("this"))
        );
    }

    function test_different_sequences_are_honest() public {
        refuseEquivocation(
            acknowledge(2, "this"),
            acknowledge(3, "that"),
            OPERATOR,
            abi.encodeWithSelector(IBond.DifferentSequences.selector, 2, 3)
        );
    }

    function test_somebody_elses_word() public {
        refuseEquivocation(
            acknowledge(2, "this"),
            acknowledge(2, "that"),
            ALICE,
            abi.encodeWithSelector(IBond.NotAcknowledged.selector, alice)
        );
    }

    function test_an_item_that_is_in_the_log() public {
        omit(
            acknowledge(2, log[1]),
            0,
            log[1],
            2,
            abi.encodeWithSelector(IBond.SameItem.selector, log[1])
        );
    }

    function test_an_item_of_another_place() public {
        Acknowledgement memory said = acknowledge(2, log[1]);
        bytes memory signature = signed(said, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[0], 3);
        bytes32 root = keccak256(abi.encode(siblings[0], log[2]));
        root = keccak256(abi.encode(keccak256(abi.encode(root, siblings[1])), siblings[2]));
        vm.expectRevert(abi.encodeWithSelector(IBond.NotInLog.selector, root, headers[0].logRoot));
        bond.proveOmission(said, signature, headers[0], 0, 0, log[2], siblings);
    }

    function test_a_made_up_log() public {
        bytes32[] memory items = new bytes32[](5);
        bytes32[] memory siblings = pathOf(items, 1);
        Acknowledgement memory said = acknowledge(2, log[1]);
        bytes memory signature = signed(said, OPERATOR);
        vm.expectRevert(
            abi.encodeWithSelector(IBond.NotInLog.selector, rootOf(items), headers[0].logRoot)
        );
        bond.proveOmission(said, signature, headers[0], 0, 0, 0, siblings);
    }

    function test_a_made_up_batch() public {
        Header memory header = headers[0];
        header.logRoot = "made up";
        Acknowledgement memory said = acknowledge(2, "lost");
        bytes memory signature = signed(said, OPERATOR);
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IBond.UnknownBatch.selector, 1, keccak256(abi.encode(header, 0, bytes32(0)))
            )
        );
        bond.proveOmission(said, signature, header, 0, 0, 0, none);
    }

    function test_a_sequence_of_another_batch() public {
        bytes memory reason = abi.encodeWithSelector(IBond.NotCovered.selector, 6, 1, 5);
        omit(acknowledge(6, "lost"), 0, log[0], 1, reason);
        reason = abi.encodeWithSelector(IBond.NotCovered.selector, 5, 6, 3);
        omit(acknowledge(5, "lost"), 1, log[5], 6, reason);
    }

    function test_a_log_that_is_withheld_has_no_paths() public {
        Batch memory batch;
        batch.header = Header(3, exchange.head(), uint64(block.timestamp), 0, 9, 2);
        settle(batch);
        headers.push(batch.header);
        log.push(0);
        log.push(0);
        Acknowledgement memory said = acknowledge(9, "lost");
        bytes memory signature = signed(said, OPERATOR);
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(IBond.NotInLog.selector, 0, 0));
        bond.proveOmission(said, signature, batch.header, 0, 0, 0, none);
    }

    function test_nothing_is_forfeit_twice() public {
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        refuseEquivocation(
            acknowledge(9, "this"),
            acknowledge(9, "that"),
            OPERATOR,
            abi.encodeWithSelector(IBond.NothingBonded.selector)
        );
    }

    function test_a_release_waits() public {
        vm.expectRevert(abi.encodeWithSelector(IBond.NoRelease.selector));
        bond.release();
        bond.requestRelease();
        uint256 readyAt = block.timestamp + bond.RELEASE_DELAY();
        vm.warp(readyAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IBond.ReleaseNotReady.selector, readyAt, readyAt - 1)
        );
        bond.release();
        vm.warp(readyAt);
        bond.release();
        same(quote.balanceOf(address(this)), STAKE, "back");
    }

    function test_who_leaves_can_still_be_slashed() public {
        bond.requestRelease();
        vm.warp(block.timestamp + bond.RELEASE_DELAY() - 1);
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        same(bond.bonded(), 0, "gone");
    }

    function test_only_the_owner_releases() public {
        bytes memory reason = abi.encodeWithSelector(IBond.NotOwner.selector, alice);
        vm.prank(alice);
        vm.expectRevert(reason);
        bond.requestRelease();
        vm.prank(alice);
        vm.expectRevert(reason);
        bond.release();
    }

    function test_a_bond_has_signer_and_owner() public {
        address[2] memory nobody = [address(0), address(1)];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IBond.ZeroAddress.selector));
            this.tryDeploy(nobody[i], nobody[1 - i]);
        }
    }

    /// @dev What the constructor says is passed on, which the cheatcode does not do.
    function tryDeploy(address signer, address owner) external {
        bytes memory arguments = abi.encode(exchange, quote, signer, owner);
        bytes memory code = bytes.concat(vm.getCode("Bond.sol:Bond"), arguments);
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }
}
