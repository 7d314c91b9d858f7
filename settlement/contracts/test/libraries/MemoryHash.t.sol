// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

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

    /// @dev What the assembly of `Merkle` replaces, every word that it leaves behind included.
    function replaced(bytes32[] memory nodes) private pure returns (bytes32) {
        uint256 count = nodes.length;
        if (count == 0) return 0;
        while (count > 1) {
            uint256 pairs = count >> 1;
            for (uint256 i; i < pairs; ++i) {
                nodes[i] = Hashes.efficientKeccak256(nodes[2 * i], nodes[2 * i + 1]);
            }
            if (count & 1 != 0) nodes[pairs] = nodes[count - 1];
            count = pairs + (count & 1);
        }
        return nodes[0];
    }

    function testFuzz_the_tree_is_hashed_as_solidity_would(bytes32 seed, uint256 size)
        public
        pure
    {
        size = bound(size, 0, 300);
        (bytes32[] memory nodes, bytes32[] memory others) =
            (new bytes32[](size), new bytes32[](size));
        bytes32[] memory behind = new bytes32[](1);
        for (uint256 i; i < size; ++i) {
            nodes[i] = others[i] = keccak256(abi.encode(seed, i));
        }
        assertEq(Merkle.rootInPlace(nodes), replaced(others), "root");
        assertEq(keccak256(abi.encode(nodes)), keccak256(abi.encode(others)), "each word");
        assertEq(behind[0], 0, "and nothing behind them");
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
