// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, Header, SignedPath} from "../../src/interfaces/Types.sol";
import {BondFixture, IBond} from "./BondFixture.sol";

/// @title Bond tests
/// @notice What forfeits the bond, and what does not?
contract BondTest is BondFixture {
    address internal prover = address(0x9A0);

    function setUp() public override {
        super.setUp();
        commit(5, "first");
        commit(3, "second");
    }

    function equivocate(Acknowledgement memory first, Acknowledgement memory second) internal {
        SignedPath memory one = signed(first, OPERATOR);
        SignedPath memory other = signed(second, OPERATOR);
        vm.prank(prover);
        bond.proveEquivocation(first, one, second, other);
    }

    function refuseEquivocation(
        Acknowledgement memory first,
        Acknowledgement memory second,
        uint256 secret,
        bytes memory reason
    ) internal {
        SignedPath memory one = signed(first, OPERATOR);
        SignedPath memory other = signed(second, secret);
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
        SignedPath memory path = signed(said, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[at], place);
        vm.prank(prover);
        if (reason.length != 0) vm.expectRevert(reason);
        bond.proveOmission(said, path, headers[at], 0, 0, item, siblings);
    }

    function test_two_items_at_one_sequence() public {
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        assertEq(bond.bonded(), 0, "all of it");
        assertEq(quote.balanceOf(bond.BURN()), STAKE, "is burnt");
    }

    /// @dev Found by a review: the liar sees the proof in the pool, or proves its own lie first.
    function test_a_liar_that_copies_the_proof_gets_nothing_back() public {
        prover = operator;
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        assertEq(quote.balanceOf(operator) + quote.balanceOf(address(this)), 0, "nothing");
    }

    function test_an_item_that_the_log_does_not_have() public {
        omit(acknowledge(7, "lost"), 1, log[6], 7, "");
        assertEq(bond.bonded(), 0, "all of it");
    }

    function test_the_last_of_an_odd_log() public {
        omit(acknowledge(5, "lost"), 0, log[4], 5, "");
        assertEq(bond.bonded(), 0, "all of it");
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
        SignedPath memory path = signed(said, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[0], 3);
        bytes32 root = keccak256(abi.encode(siblings[0], log[2]));
        root = keccak256(abi.encode(keccak256(abi.encode(root, siblings[1])), siblings[2]));
        vm.expectRevert(abi.encodeWithSelector(IBond.NotInLog.selector, root, headers[0].logRoot));
        bond.proveOmission(said, path, headers[0], 0, 0, log[2], siblings);
    }

    function test_a_made_up_log() public {
        bytes32[] memory items = new bytes32[](5);
        bytes32[] memory siblings = pathOf(items, 1);
        Acknowledgement memory said = acknowledge(2, log[1]);
        SignedPath memory path = signed(said, OPERATOR);
        vm.expectRevert(
            abi.encodeWithSelector(IBond.NotInLog.selector, rootOf(items), headers[0].logRoot)
        );
        bond.proveOmission(said, path, headers[0], 0, 0, 0, siblings);
    }

    function test_a_made_up_batch() public {
        Header memory header = headers[0];
        header.logRoot = "made up";
        Acknowledgement memory said = acknowledge(2, "lost");
        SignedPath memory path = signed(said, OPERATOR);
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IBond.UnknownBatch.selector, 1, keccak256(abi.encode(header, 0, bytes32(0)))
            )
        );
        bond.proveOmission(said, path, header, 0, 0, 0, none);
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
        SignedPath memory path = signed(said, OPERATOR);
        bytes32[] memory none = new bytes32[](0);
        vm.expectRevert(abi.encodeWithSelector(IBond.NotInLog.selector, 0, 0));
        bond.proveOmission(said, path, batch.header, 0, 0, 0, none);
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
        assertEq(bond.bonded(), STAKE, "at stake until then");
        vm.warp(readyAt);
        assertEq(bond.bonded(), 0, "may be gone in this block");
        bond.release();
        assertEq(quote.balanceOf(address(this)), STAKE, "back");
    }

    /// @dev Found by a review: a release asked for on the first day was ready for ever, so a lie
    /// and the release could share a block.
    function test_a_wish_to_release_lapses() public {
        bond.requestRelease();
        uint256 lapsedAt = block.timestamp + bond.RELEASE_DELAY() + bond.RELEASE_WINDOW();
        vm.warp(lapsedAt);
        assertEq(bond.bonded(), 0, "ripe to the last second");
        vm.warp(lapsedAt + 1);
        assertEq(bond.bonded(), STAKE, "at stake again");
        vm.expectRevert(
            abi.encodeWithSelector(IBond.ReleaseLapsed.selector, lapsedAt, lapsedAt + 1)
        );
        bond.release();
    }

    function test_who_posts_stays_and_nobody_else_can_make_him() public {
        bond.requestRelease();
        quote.mint(alice, 2);
        vm.prank(alice);
        quote.approve(address(bond), 1);
        vm.prank(alice);
        bond.post(1);
        assertTrue(bond.releaseReadyAt() != 0, "a stranger's coin keeps nobody");
        stake();
        assertEq(bond.releaseReadyAt(), 0, "the owner's does");
        vm.warp(block.timestamp + bond.RELEASE_DELAY());
        vm.expectRevert(abi.encodeWithSelector(IBond.NoRelease.selector));
        bond.release();
    }

    function test_what_is_ripe_to_leave_can_still_be_slashed() public {
        bond.requestRelease();
        vm.warp(block.timestamp + bond.RELEASE_DELAY());
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        assertEq(quote.balanceOf(bond.BURN()), STAKE, "burnt");
    }

    // ---------------------------------------------------------------- silence

    /// @dev The log has eight items; `sequence` is acknowledged, and challenged now.
    function challenged(uint64 sequence) internal returns (uint64 silentAt) {
        Acknowledgement memory said = acknowledge(sequence, "said");
        bond.challenge(said, signed(said, OPERATOR));
        return bond.challenges(sequence);
    }

    function test_a_word_that_no_batch_ever_covers() public {
        uint64 silentAt = challenged(9);
        assertEq(silentAt, block.timestamp + bond.SILENCE_MAX(), "the operator has time");
        vm.warp(silentAt - 1);
        vm.expectRevert(
            abi.encodeWithSelector(IBond.SilenceTooShort.selector, silentAt, silentAt - 1)
        );
        bond.proveSilence(9);
        assertEq(challenged(9), silentAt, "asked again, nothing is put off");
        vm.warp(silentAt);
        bond.proveSilence(9);
        assertEq(quote.balanceOf(bond.BURN()), STAKE, "all of it");
    }

    function test_an_operator_that_answers_late_but_in_time() public {
        vm.warp(challenged(9));
        commit(1, "third");
        vm.expectRevert(abi.encodeWithSelector(IBond.Covered.selector, 9, 10));
        bond.proveSilence(9);
    }

    function test_what_a_batch_covers_is_no_silence() public {
        Acknowledgement memory said = acknowledge(8, log[7]);
        SignedPath memory path = signed(said, OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(IBond.Covered.selector, 8, 9));
        bond.challenge(said, path);
    }

    function test_silence_without_a_challenge() public {
        vm.expectRevert(abi.encodeWithSelector(IBond.NotChallenged.selector, 9));
        bond.proveSilence(9);
    }

    function test_a_challenge_needs_the_operators_word() public {
        Acknowledgement memory said = acknowledge(9, "said");
        SignedPath memory path = signed(said, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, alice));
        bond.challenge(said, path);
    }

    function test_who_leaves_can_still_be_slashed() public {
        bond.requestRelease();
        vm.warp(block.timestamp + bond.RELEASE_DELAY() - 1);
        equivocate(acknowledge(9, "this"), acknowledge(9, "that"));
        assertEq(bond.bonded(), 0, "gone");
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
