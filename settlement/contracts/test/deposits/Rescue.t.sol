// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlainToken} from "../doubles/AwkwardTokens.sol";
import {IToken, Fixture} from "../Fixture.sol";
import {IInvoiceDeposits} from "./Sweep.t.sol";

/// @title Invoice rescue tests
/// @notice Can what was sent to an invoice's address by mistake be got out, and by nobody else?
/// @dev Found by two reviews: the chain's own coin and tokens that are not listed stayed there for
/// ever.
contract RescueTest is Fixture {
    IInvoiceDeposits internal invoices;
    address internal payer;
    address internal stranger = address(0xBAD);
    PlainToken internal unlisted = new PlainToken(18);

    function setUp() public override {
        super.setUp();
        invoices = IInvoiceDeposits(
            vm.deployCode("InvoiceDeposits.sol:InvoiceDeposits", abi.encode(exchange))
        );
        payer = invoices.addressOf(bob, "x");
    }

    function testFuzz_the_chains_own_coin_goes_to_the_account(uint96 amount, bool swept) public {
        vm.assume(amount != 0);
        vm.deal(payer, amount);
        base.mint(payer, 1e10);
        if (swept) invoices.sweep(bob, "x", address(base));
        uint256 before = bob.balance;
        vm.prank(stranger);
        invoices.rescue(bob, "x", address(0));
        assertEq(bob.balance - before, amount, "all of it");
        assertEq(stranger.balance, 0, "nothing for who asked");
    }

    function testFuzz_a_token_that_is_not_listed_goes_to_the_account(uint128 raw) public {
        vm.assume(raw != 0);
        unlisted.mint(payer, raw);
        vm.prank(stranger);
        invoices.rescue(bob, "x", address(unlisted));
        assertEq(unlisted.balanceOf(bob), raw, "all of it");
    }

    function test_a_listed_token_belongs_into_the_vault() public {
        base.mint(payer, 1e18);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSignature("TokenIsListed(address)", base));
        invoices.rescue(bob, "x", address(base));
        invoices.sweep(bob, "x", address(base));
    }

    /// @dev A listed token that can be deposited no more: its account has the only way out.
    function test_the_account_itself_may_take_a_listed_token() public {
        base.mint(payer, 1e18);
        custodian.proposeExchange(address(0x4E47));
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.appointExchange();
        vm.expectRevert(abi.encodeWithSignature("Replaced(address)", address(0x4E47)));
        invoices.sweep(bob, "x", address(base));
        vm.prank(bob);
        invoices.rescue(bob, "x", address(base));
        assertEq(base.balanceOf(bob), 1e18, "out");
    }

    function test_a_coin_stays_where_it_is_if_its_account_refuses_it() public {
        address refusing = address(exchange);
        vm.deal(invoices.addressOf(refusing, "x"), 1);
        vm.expectRevert(abi.encodeWithSignature("FailedCall()"));
        invoices.rescue(refusing, "x", address(0));
    }

    function test_nothing_to_rescue() public {
        address[2] memory tokens = [address(0), address(unlisted)];
        for (uint256 i; i < 2; ++i) {
            vm.expectRevert(abi.encodeWithSignature("NothingToRescue(address)", tokens[i]));
            invoices.rescue(bob, "x", tokens[i]);
        }
    }

    /// @dev Or anybody could say that the account asks.
    function test_only_the_factory_asks_a_clone() public {
        base.mint(payer, 1e18);
        invoices.sweep(bob, "x", address(base));
        base.mint(payer, 1e18);
        vm.prank(stranger);
        (bool done, bytes memory told) =
            payer.call(abi.encodeWithSignature("rescue(address,address)", base, bob));
        assertTrue(!done, "refused");
        assertEq(
            keccak256(told),
            keccak256(abi.encodeWithSignature("NotFactory(address)", stranger)),
            "for who asked"
        );
    }

    function test_the_clone_takes_no_coin_once_it_is_there() public {
        base.mint(payer, 1e18);
        invoices.sweep(bob, "x", address(base));
        vm.deal(address(this), 1);
        (bool sent,) = payer.call{value: 1}("");
        assertTrue(!sent, "who sends it keeps it");
    }
}
