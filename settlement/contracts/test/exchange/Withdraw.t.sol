// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {Signatures} from "../../src/Signatures.sol";
import {Withdrawal} from "../../src/Types.sol";
import {Rig} from "../Rig.sol";

/// @title Does money leave at once only when owner and operator both signed?
contract WithdrawTest is Rig {
    function pay(Withdrawal memory withdrawal) internal {
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        exchange.withdraw(withdrawal, long(ALICE, digest), long(OPERATOR, digest));
    }

    function refuseIt(Withdrawal memory withdrawal, bytes memory reason) internal {
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), long(OPERATOR, digest));
        vm.expectRevert(reason);
        exchange.withdraw(withdrawal, owner, countersigned);
    }

    function test_both_signed() public {
        pay(plainWithdrawal());
        same(quote.balanceOf(address(0x70)), 10e6, "paid");
        same(balance(alice, quote), 99_990e8, "debited");
        (uint64 nonce,) = exchange.noncesOf(alice);
        same(nonce, 1, "nonce");
    }

    function test_the_operator_alone_cannot_pay_out() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes memory signature = long(OPERATOR, exchange.withdrawalDigest(withdrawal));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, alice, operator));
        exchange.withdraw(withdrawal, signature, signature);
    }

    function test_the_owner_alone_cannot_jump_the_delay() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes memory signature = long(ALICE, exchange.withdrawalDigest(withdrawal));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, operator, alice));
        exchange.withdraw(withdrawal, signature, signature);
    }

    function test_signatures_of_odd_forms() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        bytes memory countersigned = long(OPERATOR, digest);
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
            exchange.withdraw(withdrawal, odd[i], countersigned);
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
