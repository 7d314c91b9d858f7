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

    event Swept(address indexed account, bytes32 indexed ref, address token, uint256 rawAmount);
    event Rescued(address indexed account, bytes32 indexed ref, address token, uint256 rawAmount);
    event Deposited(
        address indexed account, address indexed token, uint64 amount, bytes32 indexed ref
    );

    /// @dev The shop follows both: which invoice was paid, and how much of it arrived.
    function test_a_sweep_tells_account_reference_and_what_moved() public {
        base.mint(invoices.addressOf(bob, "x"), 3e10 + 7);
        vm.expectEmit(address(exchange));
        emit Deposited(bob, address(base), 3, "x");
        vm.expectEmit(address(invoices));
        emit Swept(bob, "x", address(base), 3e10);
        vm.prank(address(0xBAD));
        invoices.sweep(bob, "x", address(base));
    }

    function test_a_rescue_tells_account_reference_and_what_moved() public {
        vm.deal(invoices.addressOf(bob, "x"), 5);
        vm.expectEmit(address(invoices));
        emit Rescued(bob, "x", address(0), 5);
        invoices.rescue(bob, "x", address(0));
    }

    /// @dev The address is what a payer was told: it must not depend on who sweeps, or when.
    function testFuzz_the_address_is_known_before_it_is_used(address account, bytes32 ref)
        public
    {
        vm.assume(account != address(0));
        address payer = invoices.addressOf(account, ref);
        assertEq(payer.code.length, 0, "nothing is there yet");
        base.mint(payer, 1e10);
        uint256 before = balance(account, base);
        invoices.sweep(account, ref, address(base));
        assertTrue(payer.code.length != 0, "the clone stands where it was said");
        assertEq(invoices.addressOf(account, ref), payer, "and is told the same");
        assertEq(balance(account, base) - before, 1, "credited");
    }
}
