// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../../src/libraries/Merkle.sol";
import {Fixture} from "../Fixture.sol";

/// @title Merkle path tests
/// @notice Does a path lead to the root from its own place, and from no other?
contract MerklePathTest is Fixture {
    function setUp() public pure override {}

    /// @dev Paths are read from calldata.
    function rootFrom(bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata siblings)
        external
        pure
        returns (bytes32)
    {
        return Merkle.rootFrom(leaf, index, count, siblings);
    }

    function leavesOf(uint256 count, bytes32 seed)
        private
        pure
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(seed, i));
        }
    }

    function testFuzz_every_place_of_every_tree(uint256 size, uint256 place, bytes32 seed)
        public
        view
    {
        size = bound(size, 1, 40);
        place = bound(place, 0, size - 1);
        bytes32[] memory leaves = leavesOf(size, seed);
        bytes32[] memory siblings = pathOf(leaves, place);
        bytes32 told = this.rootFrom(leaves[place], place, size, siblings);
        assertEq(told, Merkle.rootInPlace(leavesOf(size, seed)), "the root");
    }

    function testFuzz_another_place_leads_elsewhere(
        uint256 size,
        uint256 place,
        uint256 claimed,
        bytes32 seed
    ) public view {
        size = bound(size, 2, 40);
        place = bound(place, 0, size - 1);
        claimed = bound(claimed, 0, size - 1);
        vm.assume(claimed != place);
        bytes32[] memory leaves = leavesOf(size, seed);
        bytes32[] memory siblings = pathOf(leaves, place);
        bytes32 told = this.rootFrom(leaves[place], claimed, size, siblings);
        assertTrue(told != Merkle.rootInPlace(leavesOf(size, seed)), "not the root");
    }

    function testFuzz_a_path_too_long_or_too_short(uint256 size, uint256 place, bytes32 seed)
        public
        view
    {
        size = bound(size, 2, 40);
        place = bound(place, 0, size - 1);
        bytes32[] memory leaves = leavesOf(size, seed);
        bytes32[] memory siblings = pathOf(leaves, place);
        bytes32[] memory longer = appended(siblings, seed);
        assertEq(this.rootFrom(leaves[place], place, size, longer), 0, "one sibling more");
        bytes32[] memory shorter = new bytes32[](siblings.length - 1);
        for (uint256 i; i < shorter.length; ++i) {
            shorter[i] = siblings[i];
        }
        assertEq(this.rootFrom(leaves[place], place, size, shorter), 0, "one sibling less");
    }

    function testFuzz_a_place_beyond_the_end(uint256 size, uint256 beyond, bytes32 seed)
        public
        view
    {
        size = bound(size, 0, 40);
        vm.assume(beyond >= size);
        assertEq(this.rootFrom(seed, beyond, size, new bytes32[](0)), 0, "there is no such place");
    }
}
