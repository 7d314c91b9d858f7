// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ERC-1271 wallet
/// @notice A contract wallet (ERC-1271) with one owner key, which the owner may forget.
contract ContractWallet {
    address private _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function forget() external {
        _owner = address(0);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        returns (bytes4)
    {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        address signer = ecrecover(digest, uint8(signature[64]), r, s);
        return signer == _owner && signer != address(0) ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }

    /// @dev The wallet itself calls, as it would execute a user's transaction.
    function call(address target, bytes calldata message) external returns (bool done) {
        (done,) = target.call(message);
    }
}

/// @title Wallet with wrong answers
/// @notice A wallet that answers everything with yes, but in the wrong words.
contract MumblingWallet {
    fallback(bytes calldata) external returns (bytes memory) {
        return abi.encode(true);
    }
}

/// @title Wallet without answers
/// @notice A wallet that cannot be asked.
contract BrokenWallet {
    fallback() external {
        revert("broken");
    }
}
