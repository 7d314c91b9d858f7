// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IPermit2} from "../../src/interfaces/IPermit2.sol";

/// @title Permit2 test double
/// @notice What Permit2 does with a witness transfer, written after its documentation.
/// @dev Domain, type strings, nonce bitmap and checks are those of the deployed contract, so what a
/// wallet signs for it is what it signs there.
contract TestPermit2 is IPermit2 {
    error SignatureExpired(uint256 deadline);
    error InvalidAmount(uint256 most);
    error InvalidNonce();
    error InvalidSigner();

    string private constant STUB = "PermitWitnessTransferFrom("
        "TokenPermissions permitted,address spender," "uint256 nonce,uint256 deadline,";
    bytes32 private constant PERMISSIONS_TYPE =
        keccak256("TokenPermissions(address token,uint256 amount)");

    mapping(address owner => mapping(uint256 word => uint256 bits)) public nonceBitmap;

    function digestOf(
        PermitTransferFrom calldata permit,
        address spender,
        bytes32 witness,
        string calldata witnessTypeString
    ) public view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(this)
            )
        );
        bytes32 permissions = keccak256(
            abi.encode(PERMISSIONS_TYPE, permit.permitted.token, permit.permitted.amount)
        );
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(abi.encodePacked(STUB, witnessTypeString)),
                permissions,
                spender,
                permit.nonce,
                permit.deadline,
                witness
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function permitWitnessTransferFrom(
        PermitTransferFrom calldata permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        if (block.timestamp > permit.deadline) {
            revert SignatureExpired(permit.deadline);
        }
        if (transferDetails.requestedAmount > permit.permitted.amount) {
            revert InvalidAmount(permit.permitted.amount);
        }
        uint256 bit = 1 << (permit.nonce & 0xff);
        uint256 bits = nonceBitmap[owner][permit.nonce >> 8];
        if (bits & bit != 0) revert InvalidNonce();
        nonceBitmap[owner][permit.nonce >> 8] = bits | bit;
        bytes32 digest = digestOf(permit, msg.sender, witness, witnessTypeString);
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        if (ecrecover(digest, uint8(signature[64]), r, s) != owner) revert InvalidSigner();
        IERC20(permit.permitted.token)
            .transferFrom(owner, transferDetails.to, transferDetails.requestedAmount);
    }
}
