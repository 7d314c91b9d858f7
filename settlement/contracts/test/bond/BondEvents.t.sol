// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, SignedPath} from "../../src/interfaces/Types.sol";
import {BondFixture, IBond} from "./BondFixture.sol";

/// @title Bond event and boundary tests
/// @notice Does the bond tell what happens to it, and does it count to the last second and item?
contract BondEventsTest is BondFixture {
    event Bonded(uint256 rawAmount);
    event ReleaseRequested(uint64 readyAt);
    event Released(uint256 rawAmount);
    event Challenged(uint64 indexed sequence, uint64 silentAt);
    event Slashed(address indexed prover, uint64 indexed sequence, uint256 burnt);

    address internal prover = address(0x9A0);

    function setUp() public override {
        super.setUp();
        commit(4, "first");
    }

    function expect() internal {
        vm.expectEmit(address(bond));
    }

    /// @dev All that lies there, not what was added.
    function test_of_a_posting() public {
        quote.mint(address(this), 5);
        quote.approve(address(bond), 5);
        expect();
        emit Bonded(STAKE + 5);
        bond.post(5);
    }

    function test_of_a_release() public {
        uint64 readyAt = uint64(block.timestamp) + bond.RELEASE_DELAY();
        expect();
        emit ReleaseRequested(readyAt);
        bond.requestRelease();
        vm.warp(readyAt);
        expect();
        emit Released(STAKE);
        bond.release();
        assertEq(bond.releaseReadyAt(), 0, "the wish is over");
    }

    /// @dev The wish that was fulfilled is none for what is posted afterwards.
    function test_a_second_bond_needs_a_second_wish() public {
        bond.requestRelease();
        vm.warp(block.timestamp + bond.RELEASE_DELAY());
        bond.release();
        quote.transfer(address(bond), STAKE);
        assertEq(bond.bonded(), STAKE, "at stake");
        vm.expectRevert(abi.encodeWithSelector(IBond.NoRelease.selector));
        bond.release();
    }

    function test_of_a_challenge_and_its_silence() public {
        Acknowledgement memory said = acknowledge(5, "said");
        SignedPath memory path = signed(said, OPERATOR);
        uint64 silentAt = uint64(block.timestamp) + bond.SILENCE_MAX();
        expect();
        emit Challenged(5, silentAt);
        bond.challenge(said, path);
        vm.warp(silentAt);
        vm.prank(prover);
        expect();
        emit Slashed(prover, 5, STAKE);
        bond.proveSilence(5);
    }

    function test_of_two_words() public {
        Acknowledgement memory first = acknowledge(9, "this");
        Acknowledgement memory second = acknowledge(9, "that");
        (SignedPath memory one, SignedPath memory other) =
            (signed(first, OPERATOR), signed(second, OPERATOR));
        vm.prank(prover);
        expect();
        emit Slashed(prover, 9, STAKE);
        bond.proveEquivocation(first, one, second, other);
    }

    /// @dev A stranger's word in the first place is as little worth as in the second.
    function test_the_first_word_is_the_operators_too() public {
        Acknowledgement memory first = acknowledge(9, "this");
        Acknowledgement memory second = acknowledge(9, "that");
        (SignedPath memory one, SignedPath memory other) =
            (signed(first, ALICE), signed(second, OPERATOR));
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, alice));
        bond.proveEquivocation(first, one, second, other);
    }

    function test_an_omission_needs_the_operators_word() public {
        Acknowledgement memory said = acknowledge(2, "lost");
        SignedPath memory path = signed(said, ALICE);
        bytes32[] memory siblings = pathIn(headers[0], 2);
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, alice));
        bond.proveOmission(said, path, headers[0], 0, 0, log[1], siblings);
    }

    /// @dev First and last of a batch are covered by it, and nothing beside them.
    function testFuzz_each_item_of_a_batch_can_be_shown(uint64 place) public {
        place = uint64(bound(place, 1, 4));
        Acknowledgement memory said = acknowledge(place, "lost");
        SignedPath memory path = signed(said, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[0], place);
        vm.prank(prover);
        expect();
        emit Slashed(prover, place, STAKE);
        bond.proveOmission(said, path, headers[0], 0, 0, log[place - 1], siblings);
        assertEq(quote.balanceOf(bond.BURN()), STAKE, "burnt");
    }

    /// @dev The last covered sequence is answered, the next one is not.
    function test_the_first_sequence_that_can_be_challenged() public {
        Acknowledgement memory said = acknowledge(4, log[3]);
        SignedPath memory path = signed(said, OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(IBond.Covered.selector, 4, 5));
        bond.challenge(said, path);
        said = acknowledge(5, "said");
        bond.challenge(said, signed(said, OPERATOR));
        assertEq(
            bond.challenges(5), uint64(block.timestamp) + bond.SILENCE_MAX(), "its time runs"
        );
    }
}
