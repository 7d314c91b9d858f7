// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Permit2 witness transfers
/// @notice Which part of Permit2 does the collector use?
/// Signature transfers with a witness, as deployed at
/// 0x000000000022D473030F116dDEE9F6B43aC78BA3 on most chains.
interface IPermit2 {
    /// @notice What may be taken.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// @notice What the owner signed, beside spender and witness.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice What is taken, and where it goes.
    struct SignatureTransferDetails {
        address to;
        uint256 requestedAmount;
    }

    /// @notice Take tokens of `owner` on its signature, which binds the caller and `witness`.
    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external;
}
