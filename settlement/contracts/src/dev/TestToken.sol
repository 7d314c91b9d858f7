// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Tillbook test token
/// @notice What do people pay with on a development chain?
/// An ERC-20 that anyone may mint, with the permits of ERC-2612 and the transfers by signature of
/// ERC-3009. Worth nothing, on purpose.
/// @dev Both standards share the domain of ERC-2612, whose version is "1". An authorization is
/// good once: its nonce is used before anything moves.
contract TestToken is ERC20Permit {
    /// @notice Type hash of ERC-3009 for a transfer that anyone may send.
    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );
    /// @notice Type hash of ERC-3009 for a transfer that only the payee may send.
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );

    /// @notice A nonce of `authorizer` is used up.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice The authorization is good between the two, both excluded.
    error AuthorizationNotValidNow(uint256 validAfter, uint256 validBefore);
    /// @notice The nonce was used before.
    error AuthorizationUsedBefore(address authorizer, bytes32 nonce);
    /// @notice Somebody else has signed, or something else was signed.
    error AuthorizationNotSignedBy(address authorizer);
    /// @notice Only the payee may send this one.
    error CallerIsNotPayee(address caller, address payee);

    /// @notice Whether a nonce of ERC-3009 is used up.
    mapping(address authorizer => mapping(bytes32 nonce => bool used)) public authorizationState;

    uint8 private immutable _decimals;

    constructor(string memory name_, string memory symbol_, uint8 decimals_)
        ERC20(name_, symbol_)
        ERC20Permit(name_)
    {
        _decimals = decimals_;
    }

    /// @notice Create `rawAmount` for `to`.
    function mint(address to, uint256 rawAmount) external {
        _mint(to, rawAmount);
    }

    /// @notice Move `value` on the signature of `from`. Anyone may send it.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        bytes32 kind = TRANSFER_WITH_AUTHORIZATION_TYPEHASH;
        bytes memory signature = abi.encodePacked(r, s, v);
        _authorized(kind, from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @notice The same for a contract that signs as ERC-1271 says.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 kind = TRANSFER_WITH_AUTHORIZATION_TYPEHASH;
        _authorized(kind, from, to, value, validAfter, validBefore, nonce, signature);
    }

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
    ) external {
        if (msg.sender != to) revert CallerIsNotPayee(msg.sender, to);
        bytes32 kind = RECEIVE_WITH_AUTHORIZATION_TYPEHASH;
        bytes memory signature = abi.encodePacked(r, s, v);
        _authorized(kind, from, to, value, validAfter, validBefore, nonce, signature);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function _authorized(
        bytes32 kind,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) private {
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) {
            revert AuthorizationNotValidNow(validAfter, validBefore);
        }
        if (authorizationState[from][nonce]) revert AuthorizationUsedBefore(from, nonce);
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(kind, from, to, value, validAfter, validBefore, nonce))
        );
        if (!SignatureChecker.isValidSignatureNow(from, digest, signature)) {
            revert AuthorizationNotSignedBy(from);
        }
        authorizationState[from][nonce] = true;
        emit AuthorizationUsed(from, nonce);
        _transfer(from, to, value);
    }
}
