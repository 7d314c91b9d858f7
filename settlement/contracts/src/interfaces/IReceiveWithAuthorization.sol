// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ERC-3009 receive with authorization
/// @notice Which part of ERC-3009 does the collector use?
interface IReceiveWithAuthorization {
    /// @notice Take `value` of `from` on its signature; only `to` may call.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
}
