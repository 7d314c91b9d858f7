// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title Tillbook Merkle trees
/// @notice What is the root over a batch's trades?
/// Positional: a parent is `keccak256(left ++ right)`, an odd last node is promoted
/// unchanged.
/// @dev The same tree is in `settlement/merkle.py`.
library Merkle {
    /// @notice Root over `nodes`, which are overwritten; zero if there are none.
    function rootInPlace(bytes32[] memory nodes) internal pure returns (bytes32) {
        uint256 count = nodes.length;
        if (count == 0) return 0;
        unchecked { // Indices stay below the length, and halves below their whole.
            while (count > 1) {
                uint256 pairs = count >> 1;
                // for (i = 0; i < pairs; ++i) {
                //     nodes[i] = Hashes.efficientKeccak256(nodes[2 * i], nodes[2 * i + 1]);
                // }
                // if (count & 1 != 0) nodes[pairs] = nodes[count - 1];
                assembly ("memory-safe") {
                    let from := add(nodes, 0x20)
                    let end := add(from, shl(5, pairs))
                    for { let to := from } lt(to, end) { to := add(to, 0x20) } {
                        mstore(to, keccak256(from, 0x40))
                        from := add(from, 0x40)
                    }
                    if and(count, 1) { mstore(end, mload(from)) }
                }
                count = pairs + (count & 1);
            }
        }
        return nodes[0];
    }

    /// @notice Root that `leaf` has at place `index` of `count` leaves with these siblings.
    /// @return root Zero if the place does not exist or the path has another length.
    function rootFrom(bytes32 leaf, uint256 index, uint256 count, bytes32[] calldata siblings)
        internal
        pure
        returns (bytes32 root)
    {
        if (index >= count) return 0;
        uint256 used;
        root = leaf;
        while (count > 1) {
            if (index ^ 1 < count) {
                if (used == siblings.length) return 0;
                bytes32 sibling = siblings[used++];
                root = index & 1 == 0
                    ? Hashes.efficientKeccak256(root, sibling)
                    : Hashes.efficientKeccak256(sibling, root);
            }
            index >>= 1;
            count = (count + 1) >> 1;
        }
        if (used != siblings.length) return 0;
    }
}
