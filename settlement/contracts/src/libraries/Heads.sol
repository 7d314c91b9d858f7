// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Header} from "../interfaces/Types.sol";

/// @title Tillbook batch heads
/// @notice What is the head of a batch?
/// The hash that names a batch and all before it.
/// @dev It binds header and trades, and a trade's leaf binds both its orders as they were signed.
/// An order without a trade is refused, so nothing that moves state stays outside.
library Heads {
    /// @notice Head after the batch with this header, `tradeCount` trades and their Merkle root.
    function headOf(Header memory header, uint256 tradeCount, bytes32 tradesRoot)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(header, tradeCount, tradesRoot));
    }
}
