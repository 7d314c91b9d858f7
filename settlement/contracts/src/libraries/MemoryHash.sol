// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Tillbook memory hash
/// @notice How is memory hashed without copying it first?
/// The hash a batch takes hundreds of times. Solidity would copy the input to fresh memory
/// each time, and the price of memory grows with its square.
/// @dev The Solidity it replaces stands beside it; `test/libraries` holds them equal.
library MemoryHash {
    /// @notice `keccak256(abi.encode(w0, .., wn))` of `count` words that lie at `pointer`: the
    /// members of a struct in memory, each of one word.
    function hashWords(uint256 pointer, uint256 count) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") { digest := keccak256(pointer, shl(5, count)) }
    }
}
