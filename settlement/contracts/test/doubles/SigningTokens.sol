// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Token with permits and authorizations
/// @notice A token with ERC-2612 permits and ERC-3009 authorizations, six decimals.
contract SigningToken is ERC20Permit {
    bytes32 public constant RECEIVE_TYPE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );

    error CallerIsNotPayee();
    error NotYetOrNoMore();
    error AuthorizationUsed();
    error WrongSignature();

    mapping(address from => mapping(bytes32 nonce => bool used)) public used;

    constructor() ERC20("Signing", "SIGN") ERC20Permit("Signing") {}

    function mint(address to, uint256 raw) external {
        _mint(to, raw);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function receiveDigest(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(abi.encode(RECEIVE_TYPE, from, to, value, validAfter, validBefore, nonce))
        );
    }

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
        if (to != msg.sender) revert CallerIsNotPayee();
        if (block.timestamp <= validAfter || block.timestamp >= validBefore) {
            revert NotYetOrNoMore();
        }
        if (used[from][nonce]) revert AuthorizationUsed();
        bytes32 digest = receiveDigest(from, to, value, validAfter, validBefore, nonce);
        if (ecrecover(digest, v, r, s) != from) revert WrongSignature();
        used[from][nonce] = true;
        _transfer(from, to, value);
    }
}
