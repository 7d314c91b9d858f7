// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Tillbook signatures
/// @notice Who signed a digest?
/// @dev A high s is refused everywhere, so that a signature has one form only. Zero means nobody.
/// A contract is asked (ERC-1271) for grants and withdrawals only, never for the orders of a batch:
/// what it answers can change between match and settlement.
library Signatures {
    uint256 private constant HALF_ORDER =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice Neither `expected`'s key nor, if it is a contract, its own word stands behind this.
    error NotSignedBy(address expected, address recovered);

    /// @notice Signer of a compact signature (EIP-2098: the top bit of `vs` is v - 27).
    function recoverCompact(bytes32 digest, bytes32 r, bytes32 vs)
        internal
        pure
        returns (address)
    {
        uint256 s = uint256(vs) & type(uint256).max >> 1;
        if (s > HALF_ORDER) return address(0);
        return ecrecover(digest, uint8(uint256(vs) >> 255) + 27, r, bytes32(s));
    }

    /// @notice Signer of a 65-byte signature r, s, v with v 27 or 28.
    function recover(bytes32 digest, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        uint8 v = uint8(signature[64]);
        if (v != 27 && v != 28) return address(0);
        if (uint256(bytes32(signature[32:64])) > HALF_ORDER) return address(0);
        return ecrecover(digest, v, bytes32(signature[:32]), bytes32(signature[32:64]));
    }

    /// @notice Refuse unless `expected` signed `digest`, with its key or as a contract.
    function requireSigner(address expected, bytes32 digest, bytes calldata signature)
        internal
        view
    {
        address signer = recover(digest, signature);
        if (signer != address(0) && signer == expected) return;
        if (
            expected.code.length == 0
                || !SignatureChecker.isValidERC1271SignatureNowCalldata(
                    expected, digest, signature
                )
        ) {
            revert NotSignedBy(expected, signer);
        }
    }
}
