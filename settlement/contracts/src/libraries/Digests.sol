// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    Acknowledgement,
    KeyGrant,
    KeyRevocation,
    SignedOrder,
    Withdrawal
} from "../interfaces/Types.sol";

/// @title Tillbook typed data digests
/// @notice Which 32 bytes does a wallet sign?
/// @dev EIP-712. The same type strings stand in `settlement/eip712.py`; tests hold both equal.
library Digests {
    bytes32 internal constant DOMAIN_TYPE = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );
    bytes32 internal constant ORDER_TYPE = keccak256(
        "Order(address account,uint64 nonce,uint16 flags,uint16 lane,address base,address quote,"
        "uint64 baseAmount,uint64 quoteAmount,uint64 triggerOrDisplay,uint32 expiry,"
        "uint16 maxFeePpm,bytes32 ref)"
    );
    bytes32 internal constant WITHDRAWAL_TYPE = keccak256(
        "Withdrawal(address account,address token,uint64 amount,address to,uint64 nonce,"
        "uint32 expiry)"
    );
    bytes32 internal constant COUNTERSIGNATURE_TYPE =
        keccak256("Countersignature(bytes32 withdrawal,uint64 afterSequence)");
    bytes32 internal constant GRANT_TYPE = keccak256(
        "KeyGrant(address account,address key,address base,address quote,uint8 sides,uint32 expiry,"
        "uint64 notionalCap,uint64 floorPrice,uint64 nonce)"
    );
    bytes32 internal constant REVOCATION_TYPE =
        keccak256("KeyRevocation(address account,address key,uint64 nonce)");

    bytes32 internal constant ACKNOWLEDGEMENT_TYPE =
        keccak256("Acknowledgement(uint64 sequence,bytes32 item,bytes32 head)");
    bytes32 internal constant ACKNOWLEDGEMENTS_TYPE = keccak256("Acknowledgements(bytes32 root)");

    /// @notice Domain separator of `exchange` on this chain.
    function domain(address exchange) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPE, keccak256("Tillbook"), keccak256("1"), block.chainid, exchange
            )
        );
    }

    /// @notice Digest of an order.
    function ofOrder(bytes32 domain_, SignedOrder memory order) internal pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(ORDER_TYPE, order)));
    }

    /// @notice Digest of a withdrawal.
    function ofWithdrawal(bytes32 domain_, Withdrawal calldata withdrawal)
        internal
        pure
        returns (bytes32)
    {
        return _digest(domain_, keccak256(abi.encode(WITHDRAWAL_TYPE, withdrawal)));
    }

    /// @notice Digest of the operator's consent to the withdrawal with this digest.
    function ofCountersignature(bytes32 domain_, bytes32 withdrawal, uint64 afterSequence)
        internal
        pure
        returns (bytes32)
    {
        return
            _digest(
                domain_, keccak256(abi.encode(COUNTERSIGNATURE_TYPE, withdrawal, afterSequence))
            );
    }

    /// @notice Digest of a session key's grant.
    function ofGrant(bytes32 domain_, KeyGrant calldata grant) internal pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(GRANT_TYPE, grant)));
    }

    /// @notice Digest of a session key's revocation.
    function ofRevocation(bytes32 domain_, KeyRevocation calldata revocation)
        internal
        pure
        returns (bytes32)
    {
        return _digest(domain_, keccak256(abi.encode(REVOCATION_TYPE, revocation)));
    }

    /// @notice Leaf of an acknowledgement in the tree whose root is signed: its struct hash.
    /// @dev Four words, the first of them its type; an inner node is the hash of two. So no node
    /// of a tree can be read as a leaf that it is not.
    function leafOf(Acknowledgement calldata acknowledgement) internal pure returns (bytes32) {
        return keccak256(abi.encode(ACKNOWLEDGEMENT_TYPE, acknowledgement));
    }

    /// @notice Digest of the operator's word on all acknowledgements under `root`.
    function ofAcknowledgements(bytes32 domain_, bytes32 root) internal pure returns (bytes32) {
        return _digest(domain_, keccak256(abi.encode(ACKNOWLEDGEMENTS_TYPE, root)));
    }

    function _digest(bytes32 domain_, bytes32 structHash) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain_, structHash);
    }
}
