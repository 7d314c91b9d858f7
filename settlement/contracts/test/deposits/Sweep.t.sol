// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../Fixture.sol";

interface IInvoiceDeposits {
    function addressOf(address account, bytes32 ref) external view returns (address);
    function sweep(address account, bytes32 ref, address token) external;
    function rescue(address account, bytes32 ref, address token) external;
    function implementation() external view returns (address);
}

/// @title Invoice sweep tests
/// @notice Does what lies at an invoice's address reach the vault, and only the vault?
contract SweepTest is Fixture {
    IInvoiceDeposits internal invoices;

    function setUp() public override {
        super.setUp();
        invoices = IInvoiceDeposits(
            vm.deployCode("InvoiceDeposits.sol:InvoiceDeposits", abi.encode(exchange))
        );
    }

    function testFuzz_whole_pips_are_swept_as_often_as_one_pays(uint64 raw, bytes32 ref) public {
        address payer = invoices.addressOf(bob, ref);
        uint256 before = balance(bob, base);
        uint256 first = uint256(raw) + 1e10;
        base.mint(payer, first);
        invoices.sweep(bob, ref, address(base));
        base.mint(payer, 1e10);
        invoices.sweep(bob, ref, address(base));
        assertEq(balance(bob, base) - before, first / 1e10 + 1, "pips");
        assertEq(base.balanceOf(payer), first % 1e10, "less than a pip stays");
    }

    function test_nothing_to_sweep() public {
        base.mint(invoices.addressOf(bob, "x"), 1e10 - 1);
        vm.expectRevert(
            abi.encodeWithSignature("NothingToSweep(address,uint256)", base, uint256(1e10 - 1))
        );
        invoices.sweep(bob, "x", address(base));
    }

    function test_invoices_do_not_share_addresses() public view {
        address one = invoices.addressOf(bob, "x");
        assertTrue(one != invoices.addressOf(bob, "y"), "by reference");
        assertTrue(one != invoices.addressOf(alice, "x"), "by account");
    }

    function test_the_shared_code_itself_forwards_nothing() public {
        base.mint(invoices.implementation(), 1e10);
        (bool forwarded,) =
            invoices.implementation().call(abi.encodeWithSignature("forward(address)", base));
        assertTrue(!forwarded, "it has no invoice");
    }
}
