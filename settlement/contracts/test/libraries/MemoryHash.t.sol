// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../../src/libraries/Merkle.sol";
import {MemoryHash} from "../../src/libraries/MemoryHash.sol";
import {Base} from "../Base.sol";

/// @title Memory hash tests
/// @notice Is the hand-written hash the one that Solidity would take, and the root the tree's?
contract MemoryHashTest is Base {
    struct Seven {
        uint256 a;
        bytes32 b;
        address c;
        uint256 d;
        uint256 e;
        bytes32 f;
        uint256 g;
    }

    function testFuzz_words_of_a_struct(Seven memory seven) public pure {
        uint256 pointer;
        assembly ("memory-safe") { pointer := seven }
        assertEq(
            MemoryHash.hashWords(pointer, 7), keccak256(abi.encode(seven)), "hash of a struct"
        );
    }

    function testFuzz_merkle_root(bytes32[] memory leaves) public pure {
        bytes32 expected = leaves.length == 0 ? bytes32(0) : rootOf(leaves, 0, leaves.length);
        assertEq(Merkle.rootInPlace(leaves), expected, "root");
    }

    /// @dev The same tree from above: the left side of a node is the largest power of two below.
    function rootOf(bytes32[] memory leaves, uint256 from, uint256 count)
        private
        pure
        returns (bytes32)
    {
        if (count == 1) return leaves[from];
        uint256 left = 1;
        while (left * 2 < count) left *= 2;
        return keccak256(
            abi.encodePacked(
                rootOf(leaves, from, left), rootOf(leaves, from + left, count - left)
            )
        );
    }
}
