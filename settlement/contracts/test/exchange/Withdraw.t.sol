// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Signatures} from "../../src/libraries/Signatures.sol";
import {Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Withdrawal tests
/// @notice Does money leave at once only when owner and operator both signed?
contract WithdrawTest is Fixture {
    function pay(Withdrawal memory withdrawal) internal {
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        exchange.withdraw(withdrawal, 0, long(ALICE, digest), consent(digest, 0));
    }

    function refuseIt(Withdrawal memory withdrawal, bytes memory reason) internal {
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, 0));
        vm.expectRevert(reason);
        exchange.withdraw(withdrawal, 0, owner, countersigned);
    }

    function test_both_signed() public {
        pay(plainWithdrawal());
        assertEq(quote.balanceOf(address(0x70)), 10e6, "paid");
        assertEq(balance(alice, quote), 99_990e8, "debited");
        (uint64 nonce,) = exchange.noncesOf(alice);
        assertEq(nonce, 1, "nonce");
    }

    function test_the_operator_alone_cannot_pay_out() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory signature, bytes memory countersigned) =
            (long(OPERATOR, digest), consent(digest, 0));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice, operator));
        exchange.withdraw(withdrawal, 0, signature, countersigned);
    }

    function test_the_owner_alone_cannot_jump_the_delay() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        bytes memory signature = long(ALICE, digest);
        // As if it were of the countersignature, it is of somebody else.
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE, digest);
        address seeming = ecrecover(countersignatureDigest(digest, 0), v, r, s);
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, operator, seeming)
        );
        exchange.withdraw(withdrawal, 0, signature, signature);
    }

    /// @dev A signature of one kind is none of the other, so a withdrawal of the operator's own
    /// account is no consent either.
    function test_the_operators_own_withdrawal_is_no_consent() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(OPERATOR, digest);
        address seeming = ecrecover(countersignatureDigest(digest, 0), v, r, s);
        (bytes memory owner, bytes memory plain) = (long(ALICE, digest), long(OPERATOR, digest));
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, operator, seeming)
        );
        exchange.withdraw(withdrawal, 0, owner, plain);
    }

    /// @dev Found by a review: the calldata in the pool carries both signatures, so whoever pays
    /// more gas put a withdrawal in front of the batch whose trades the ledger had booked before.
    function test_a_withdrawal_does_not_overtake_the_batch_it_stands_behind() public {
        Batch memory batch = plainBatch(); // Alice buys for 2,500; sealed, on its way.
        uint64 covered = batch.header.firstSequence + batch.header.commandCount - 1;
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.amount = 97_000e8;
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, covered));
        vm.prank(address(0xBAD));
        vm.expectRevert(abi.encodeWithSelector(IExchange.LogNotSettled.selector, 1, covered));
        exchange.withdraw(withdrawal, covered, owner, countersigned);

        settle(batch);
        vm.prank(address(0xBAD));
        exchange.withdraw(withdrawal, covered, owner, countersigned);
        assertEq(quote.balanceOf(address(0x70)), 97_000e6, "paid once its batch is there");
    }

    /// @dev A batch that was refused is cut anew: its number is the same and its trades are fewer.
    function test_a_batch_that_covers_less_is_not_enough() public {
        Batch memory batch = plainBatch();
        batch.header.commandCount = 1;
        settle(batch);
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, 2));
        vm.expectRevert(abi.encodeWithSelector(IExchange.LogNotSettled.selector, 2, 2));
        exchange.withdraw(withdrawal, 2, owner, countersigned);
    }

    function testFuzz_only_the_place_that_was_signed_counts(uint64 signed, uint64 told) public {
        vm.assume(signed != told);
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(OPERATOR, countersignatureDigest(digest, signed));
        address seeming = ecrecover(countersignatureDigest(digest, told), v, r, s);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, signed));
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, operator, seeming)
        );
        exchange.withdraw(withdrawal, told, owner, countersigned);
    }

    function test_signatures_of_odd_forms() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        bytes memory countersigned = consent(digest, 0);
        bytes memory reason =
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice, address(0));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ALICE, digest);
        uint256 curve = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes[3] memory odd = [
            abi.encodePacked(r, s),
            abi.encodePacked(r, s, v - 27),
            abi.encodePacked(r, curve - uint256(s), 55 - v)
        ];
        for (uint256 i; i < odd.length; ++i) {
            vm.expectRevert(reason);
            exchange.withdraw(withdrawal, 0, odd[i], countersigned);
        }
    }

    function test_a_withdrawal_pays_once() public {
        pay(plainWithdrawal());
        refuseIt(
            plainWithdrawal(), abi.encodeWithSelector(IExchange.NonceTooLow.selector, alice, 1, 1)
        );
    }

    function test_an_expired_withdrawal() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        vm.warp(withdrawal.expiry + 1);
        refuseIt(
            withdrawal,
            abi.encodeWithSelector(
                IExchange.Expired.selector, withdrawal.expiry, withdrawal.expiry + 1
            )
        );
    }

    function test_a_fraction_of_a_raw_unit() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.amount += 1;
        refuseIt(
            withdrawal,
            abi.encodeWithSelector(
                IExchange.NotWholeRawUnits.selector, quote, withdrawal.amount, int64(-100)
            )
        );
    }

    function test_nothing() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.amount = 0;
        refuseIt(withdrawal, abi.encodeWithSelector(IExchange.ZeroAmount.selector));
    }

    function test_to_nobody() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.to = address(0);
        refuseIt(withdrawal, abi.encodeWithSelector(IExchange.ZeroAddress.selector));
    }

    function test_more_than_there_is() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.amount = 100_001e8;
        refuseIt(
            withdrawal,
            abi.encodeWithSelector(
                IExchange.InsufficientBalance.selector,
                alice,
                0,
                uint256(100_000e8),
                uint256(100_001e8)
            )
        );
    }
}
