// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Forge cheatcodes
/// @notice Which cheatcodes of forge do the tests use?
interface Vm {
    function addr(uint256 secret) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function deal(address account, uint256 wei_) external;
    function deployCode(string calldata name, bytes calldata arguments) external returns (address);
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata) external;
    function getCode(string calldata name) external view returns (bytes memory);
    function prank(address sender) external;
    function revertToState(uint256 id) external returns (bool done);
    function sign(uint256 secret, bytes32 digest)
        external
        pure
        returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotState() external returns (uint256 id);
    function warp(uint256 time) external;
}

/// @title Test base
/// @notice What do all tests stand on? Cheatcodes and a few assertions.
/// @dev A failed assertion reverts with both figures, which forge counts as a failed test.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Forge takes contracts with this function for tests.
    bool public constant IS_TEST = true;

    error Unequal(uint256 actual, uint256 expected, string what);
    error False(string what);

    function assertEq(uint256 actual, uint256 expected, string memory what) internal pure {
        if (actual != expected) revert Unequal(actual, expected, what);
    }

    function assertEq(address actual, address expected, string memory what) internal pure {
        assertEq(uint160(actual), uint160(expected), what);
    }

    function assertEq(bytes32 actual, bytes32 expected, string memory what) internal pure {
        assertEq(uint256(actual), uint256(expected), what);
    }

    function assertTrue(bool condition, string memory what) internal pure {
        if (!condition) revert False(what);
    }

    /// @dev `value` folded into `low` .. `high`.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }
}
