// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../Fixture.sol";

interface IAuthorizes {
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function authorizationState(address from, bytes32 nonce) external view returns (bool);
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
    ) external;
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
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

/// @title Tests of the test token's authorizations
/// @notice Does a signature as in ERC-3009 move what it says, once, and nothing else?
contract AuthorizationsTest is Fixture {
    bytes32 private constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
        "uint256 validBefore,bytes32 nonce)"
    );
    address private constant PAYEE = address(0xCAFE);
    uint256 private constant UNTIL = type(uint64).max;

    IAuthorizes private token;

    function setUp() public override {
        super.setUp();
        token = IAuthorizes(address(base));
        base.mint(alice, type(uint128).max);
    }

    function signed(bytes32 kind, uint256 value, uint256 since, uint256 until, bytes32 nonce)
        private
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 content = keccak256(abi.encode(kind, alice, PAYEE, value, since, until, nonce));
        return vm.sign(
            ALICE, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content))
        );
    }

    function testFuzz_what_was_signed_moves_once(uint128 value, bytes32 nonce, bool inBytes)
        public
    {
        (uint8 v, bytes32 r, bytes32 s) = signed(TRANSFER, value, 0, UNTIL, nonce);
        if (inBytes) {
            bytes memory signature = abi.encodePacked(r, s, v);
            token.transferWithAuthorization(alice, PAYEE, value, 0, UNTIL, nonce, signature);
        } else {
            token.transferWithAuthorization(alice, PAYEE, value, 0, UNTIL, nonce, v, r, s);
        }
        assertEq(base.balanceOf(PAYEE), value, "moved");
        assertTrue(token.authorizationState(alice, nonce), "used");
        vm.expectRevert(
            abi.encodeWithSignature("AuthorizationUsedBefore(address,bytes32)", alice, nonce)
        );
        token.transferWithAuthorization(alice, PAYEE, value, 0, UNTIL, nonce, v, r, s);
    }

    function testFuzz_another_amount_was_not_signed(uint128 value) public {
        vm.assume(value != 1);
        (uint8 v, bytes32 r, bytes32 s) = signed(TRANSFER, 1, 0, UNTIL, 0);
        vm.expectRevert(abi.encodeWithSignature("AuthorizationNotSignedBy(address)", alice));
        token.transferWithAuthorization(alice, PAYEE, value, 0, UNTIL, 0, v, r, s);
    }

    function test_it_is_good_between_its_times_only() public {
        uint256[2][2] memory wrong = [[block.timestamp, UNTIL], [uint256(0), block.timestamp]];
        for (uint256 i; i < 2; ++i) {
            (uint256 since, uint256 until) = (wrong[i][0], wrong[i][1]);
            (uint8 v, bytes32 r, bytes32 s) = signed(TRANSFER, 1, since, until, 0);
            vm.expectRevert(
                abi.encodeWithSignature("AuthorizationNotValidNow(uint256,uint256)", since, until)
            );
            token.transferWithAuthorization(alice, PAYEE, 1, since, until, 0, v, r, s);
        }
    }

    function test_only_the_payee_receives_by_its_own_kind() public {
        (uint8 v, bytes32 r, bytes32 s) = signed(RECEIVE, 5, 0, UNTIL, 0);
        vm.expectRevert(
            abi.encodeWithSignature("CallerIsNotPayee(address,address)", address(this), PAYEE)
        );
        token.receiveWithAuthorization(alice, PAYEE, 5, 0, UNTIL, 0, v, r, s);
        vm.prank(PAYEE);
        token.receiveWithAuthorization(alice, PAYEE, 5, 0, UNTIL, 0, v, r, s);
        assertEq(base.balanceOf(PAYEE), 5, "received");
    }
}
