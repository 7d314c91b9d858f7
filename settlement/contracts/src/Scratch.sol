// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How is memory hashed without copying it first?
/// @notice The two hashes a batch takes hundreds of times, or over all of its calldata. Solidity
/// would copy the input to fresh memory each time, and the price of memory grows with its square.
/// @dev The Solidity each one replaces stands beside it; `test/scratch` holds them equal.
library Scratch {
    /// @notice `keccak256(msg.data)`.
    /// @dev Writes beyond the free memory pointer and leaves it where it is.
    function hashCalldata() internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            digest := keccak256(free, calldatasize())
        }
    }

    /// @notice `keccak256(abi.encode(w0, .., wn))` of `count` words that lie at `pointer`: the
    /// members of a struct in memory, each of one word.
    function hashWords(uint256 pointer, uint256 count) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") { digest := keccak256(pointer, shl(5, count)) }
    }
}
