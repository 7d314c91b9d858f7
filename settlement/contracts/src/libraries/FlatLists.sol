// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Tillbook flat lists
/// @notice How is a list in memory read and written without holding the index to its end twice?
/// @dev A batch goes through its lists with indices that were held against `orders`, `trades` or
/// the tokens just before, and each list is as long as those. The Solidity that each line replaces
/// stands above it; `test/libraries` holds them equal.
library FlatLists {
    /// @notice `list[index]`, which the caller holds to the list's length.
    function get(uint256[] memory list, uint256 index) internal pure returns (uint256 value) {
        // value = list[index];
        assembly ("memory-safe") { value := mload(add(add(list, 0x20), shl(5, index))) }
    }

    /// @notice `list[index] = value`; the caller holds the index to the list's length.
    function put(uint256[] memory list, uint256 index, uint256 value) internal pure {
        // list[index] = value;
        assembly ("memory-safe") { mstore(add(add(list, 0x20), shl(5, index)), value) }
    }

    /// @notice `list[index]`, which the caller holds to the list's length.
    function get(bytes32[] memory list, uint256 index) internal pure returns (bytes32 value) {
        // value = list[index];
        assembly ("memory-safe") { value := mload(add(add(list, 0x20), shl(5, index))) }
    }

    /// @notice `list[index] = value`; the caller holds the index to the list's length.
    function put(bytes32[] memory list, uint256 index, bytes32 value) internal pure {
        // list[index] = value;
        assembly ("memory-safe") { mstore(add(add(list, 0x20), shl(5, index)), value) }
    }
}
