// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {IPermit2} from "../../src/interfaces/IPermit2.sol";
import {IToken, Fixture} from "../Fixture.sol";
import {SigningToken} from "../doubles/SigningTokens.sol";
import {TestPermit2} from "../doubles/TestPermit2.sol";

interface ICollector {
    function depositWithPermit(
        address token,
        uint256 rawAmount,
        address account,
        bytes32 ref,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    function depositWithAuthorization(
        address token,
        address from,
        uint256 rawAmount,
        address account,
        bytes32 ref,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    function depositWithPermit2(
        IPermit2.PermitTransferFrom calldata permit,
        address owner,
        address account,
        bytes32 ref,
        bytes calldata signature
    ) external;
    function authorizationNonce(address account, bytes32 ref, bytes32 salt)
        external
        pure
        returns (bytes32);
}

/// @title Collector tests
/// @notice Does one signature of the payer credit whom it meant, and nobody else?
/// @dev Carol pays the merchant Bob for invoice "X".
contract CollectorTest is Fixture {
    uint256 internal constant CAROL = 0xCA201;
    uint256 internal constant PRICE_RAW = 25e6;
    bytes32 internal constant INVOICE = "X";
    string internal constant WITNESS = "Deposit witness)Deposit(address account,bytes32 ref)"
        "TokenPermissions(address token,uint256 amount)";

    address internal carol = vm.addr(CAROL);
    address internal thief = address(0x7417F);
    SigningToken internal token = new SigningToken();
    TestPermit2 internal permit2 = new TestPermit2();
    ICollector internal collector;

    function setUp() public override {
        super.setUp();
        exchange.listToken(address(token), -100);
        collector =
            ICollector(vm.deployCode("Collector.sol:Collector", abi.encode(exchange, permit2)));
        token.mint(carol, 100e6);
        vm.prank(carol);
        token.approve(address(permit2), type(uint256).max);
    }

    function credited() internal view returns (uint256) {
        return balance(bob, IToken(address(token)));
    }

    // ---------------------------------------------------------------- ERC-2612

    function permitted(uint256 secret, uint256 raw)
        internal
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,"
                    "uint256 deadline)"
                ),
                carol,
                address(collector),
                raw,
                token.nonces(carol),
                block.timestamp
            )
        );
        bytes32 digest =
            keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        return vm.sign(secret, digest);
    }

    function payByPermit(address sender, uint256 secret) internal returns (bool done) {
        (uint8 v, bytes32 r, bytes32 s) = permitted(secret, PRICE_RAW);
        bytes memory message = abi.encodeCall(
            ICollector.depositWithPermit,
            (address(token), PRICE_RAW, bob, INVOICE, block.timestamp, v, r, s)
        );
        vm.prank(sender);
        (done,) = address(collector).call(message);
    }

    function test_a_permit_pays_the_invoice() public {
        assertTrue(payByPermit(carol, CAROL), "paid");
        assertEq(credited(), 25e8, "credited");
        assertEq(token.balanceOf(address(collector)), 0, "nothing stays");
        assertEq(token.allowance(carol, address(collector)), 0, "no allowance stays");
    }

    function test_a_permit_is_used_by_its_owner_only() public {
        assertTrue(!payByPermit(thief, CAROL), "refused");
        assertEq(credited(), 0, "nothing");
    }

    function test_a_permit_that_somebody_sent_before_us_still_pays() public {
        (uint8 v, bytes32 r, bytes32 s) = permitted(CAROL, PRICE_RAW);
        vm.prank(thief);
        token.permit(carol, address(collector), PRICE_RAW, block.timestamp, v, r, s);
        vm.prank(carol);
        collector.depositWithPermit(
            address(token), PRICE_RAW, bob, INVOICE, block.timestamp, v, r, s
        );
        assertEq(credited(), 25e8, "credited");
    }

    function test_a_forged_permit() public {
        assertTrue(!payByPermit(carol, BOB), "refused");
    }

    // ---------------------------------------------------------------- ERC-3009

    function payByAuthorization(address account, bytes32 ref, uint256 secret)
        internal
        returns (bool done)
    {
        bytes32 nonce = collector.authorizationNonce(bob, INVOICE, "salt");
        bytes32 digest = token.receiveDigest(
            carol, address(collector), PRICE_RAW, 0, block.timestamp + 1, nonce
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        bytes memory message = abi.encodeCall(
            ICollector.depositWithAuthorization,
            (
                address(token),
                carol,
                PRICE_RAW,
                account,
                ref,
                0,
                block.timestamp + 1,
                "salt",
                v,
                r,
                s
            )
        );
        vm.prank(thief);
        (done,) = address(collector).call(message);
    }

    function test_anybody_may_send_an_authorization_and_it_pays_the_invoice() public {
        assertTrue(payByAuthorization(bob, INVOICE, CAROL), "paid");
        assertEq(credited(), 25e8, "credited");
        assertTrue(!payByAuthorization(bob, INVOICE, CAROL), "once");
    }

    function test_an_authorization_pays_nobody_else_and_no_other_invoice() public {
        assertTrue(!payByAuthorization(thief, INVOICE, CAROL), "another account");
        assertTrue(!payByAuthorization(bob, "Y", CAROL), "another invoice");
        assertTrue(!payByAuthorization(bob, INVOICE, BOB), "another signer");
        assertEq(token.balanceOf(carol), 100e6, "untouched");
    }

    // ---------------------------------------------------------------- Permit2

    function payByPermit2(address account, bytes32 ref, uint256 secret, uint256 deadline)
        internal
        returns (bool done)
    {
        IPermit2.PermitTransferFrom memory permit = IPermit2.PermitTransferFrom(
            IPermit2.TokenPermissions(address(token), PRICE_RAW), 7, deadline
        );
        bytes32 witness = keccak256(
            abi.encode(keccak256("Deposit(address account,bytes32 ref)"), bob, INVOICE)
        );
        bytes32 digest = permit2.digestOf(permit, address(collector), witness, WITNESS);
        bytes memory message = abi.encodeCall(
            ICollector.depositWithPermit2, (permit, carol, account, ref, long(secret, digest))
        );
        vm.prank(thief);
        (done,) = address(collector).call(message);
    }

    function test_anybody_may_send_a_permit2_signature_and_it_pays_the_invoice() public {
        assertTrue(payByPermit2(bob, INVOICE, CAROL, block.timestamp), "paid");
        assertEq(credited(), 25e8, "credited");
        assertTrue(!payByPermit2(bob, INVOICE, CAROL, block.timestamp), "once");
    }

    function test_a_permit2_signature_pays_nobody_else_and_no_other_invoice() public {
        assertTrue(!payByPermit2(thief, INVOICE, CAROL, block.timestamp), "another account");
        assertTrue(!payByPermit2(bob, "Y", CAROL, block.timestamp), "another invoice");
        assertTrue(!payByPermit2(bob, INVOICE, BOB, block.timestamp), "another signer");
        assertTrue(!payByPermit2(bob, INVOICE, CAROL, block.timestamp - 1), "too late");
        assertEq(token.balanceOf(carol), 100e6, "untouched");
    }

    // ---------------------------------------------------------------- what the vault refuses

    function test_what_the_vault_refuses_is_not_taken() public {
        exchange.setPaused(address(token), true);
        assertTrue(!payByPermit(carol, CAROL), "permit");
        assertTrue(!payByAuthorization(bob, INVOICE, CAROL), "authorization");
        assertTrue(!payByPermit2(bob, INVOICE, CAROL, block.timestamp), "permit2");
        assertEq(token.balanceOf(carol), 100e6, "untouched");
    }
}
