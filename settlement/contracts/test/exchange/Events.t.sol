// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {KeyGrant, Withdrawal} from "../../src/interfaces/Types.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Exchange event tests
/// @notice Does each event tell what happened, to whom and how much?
/// @dev Settlement off chain follows the exchange by its events alone, so each figure is held here.
contract EventsTest is Fixture {
    address internal key = vm.addr(SESSION);

    /// @dev All topics and all data of the next call's event must be those of the event emitted
    /// here next.
    function expect() internal {
        vm.expectEmit(address(exchange));
    }

    function test_of_roles() public {
        expect();
        emit IExchange.OperatorChanged(alice);
        exchange.setOperator(alice);
        expect();
        emit IExchange.FeeReceiverChanged(bob);
        exchange.setFeeReceiver(bob);
    }

    function test_of_tokens() public {
        address token = address(newToken(8));
        expect();
        emit IExchange.TokenListed(2, token, 1);
        exchange.listToken(token, 1);
        expect();
        emit IExchange.TokenPauseSet(token, true);
        exchange.setPaused(token, true);
        expect();
        emit IExchange.TokenPauseSet(token, false);
        exchange.setPaused(token, false);
    }

    /// @dev In pips, and for whom it was meant, not for who paid.
    function testFuzz_of_a_deposit(uint40 raw, bytes32 ref) public {
        vm.assume(raw != 0);
        quote.mint(address(this), raw);
        quote.approve(address(exchange), raw);
        expect();
        emit IExchange.Deposited(alice, address(quote), uint64(raw) * 100, ref);
        exchange.deposit(address(quote), raw, alice, ref);
    }

    function test_of_a_sweep_of_fees() public {
        settle(plainBatch());
        uint64 fees = PRICE / 1_000 + PRICE / 2_000;
        expect();
        emit IExchange.FeesSwept(address(quote), FEES, fees);
        exchange.sweepFees(address(quote));
    }

    function test_of_a_batch() public {
        Batch memory batch = plainBatch();
        bytes32 leaf = keccak256(
            abi.encode(
                0,
                digestOf(buyDraft()),
                digestOf(sellDraft()),
                ONE,
                PRICE,
                PRICE / 1_000,
                PRICE / 2_000
            )
        );
        bytes memory message = callOf(batch);
        vm.prank(operator);
        expect();
        emit IExchange.BatchSettled(1, keccak256(abi.encode(batch.header, 1, leaf)), "log", leaf);
        (bool done,) = address(exchange).call(message);
        assertTrue(done, "settled");
    }

    function test_of_a_key() public {
        KeyGrant memory grant = plainGrant();
        bytes memory signature = long(BOB, exchange.grantDigest(grant));
        expect();
        emit IExchange.KeyGranted(
            bob,
            key,
            grant.base,
            grant.quote,
            grant.sides,
            grant.expiry,
            grant.notionalCap,
            grant.floorPrice
        );
        exchange.grantKey(grant, signature);

        vm.prank(bob);
        expect();
        emit IExchange.KeyRevoked(bob, key, uint64(block.timestamp) + EXIT_DELAY);
        exchange.revokeKey(key, 2);
    }

    function test_of_a_cancel() public {
        uint64 readyAt = uint64(block.timestamp) + EXIT_DELAY;
        vm.prank(bob);
        expect();
        emit IExchange.CancelRequested(bob, LANE, true, 7, readyAt);
        exchange.requestCancel(LANE, true, 7);
        vm.prank(bob);
        expect();
        emit IExchange.CancelRequested(bob, 0, false, 9, readyAt);
        exchange.requestCancel(0, false, 9);

        vm.warp(readyAt);
        expect();
        emit IExchange.CancelFinished(bob, LANE, true, 7);
        exchange.finishCancel(bob, LANE, true);
        expect();
        emit IExchange.CancelFinished(bob, 0, false, 9);
        exchange.finishCancel(bob, 0, false);
    }

    function test_of_an_exit() public {
        uint64 readyAt = uint64(block.timestamp) + EXIT_DELAY;
        vm.prank(alice);
        expect();
        emit IExchange.ExitRequested(alice, address(quote), 30e8, readyAt);
        exchange.requestExit(address(quote), 30e8);
        vm.prank(alice);
        expect();
        emit IExchange.ExitCancelled(alice, address(quote));
        exchange.cancelExit(address(quote));
    }

    /// @dev What was paid, not what was asked for: fewer, or whole raw units only.
    function test_of_a_finished_exit() public {
        vm.prank(alice);
        exchange.requestExit(address(quote), 30e8 + 99);
        vm.prank(bob);
        exchange.requestExit(address(quote), 5);
        vm.warp(block.timestamp + EXIT_DELAY);
        expect();
        emit IExchange.ExitFinished(alice, address(quote), 30e8);
        exchange.finishExit(alice, address(quote));
        expect();
        emit IExchange.ExitFinished(bob, address(quote), 0);
        exchange.finishExit(bob, address(quote));
    }

    function test_of_the_dead_man_switch() public {
        uint64 last = exchange.lastBatchAt();
        vm.warp(last + DEADMAN_DELAY + 1);
        expect();
        emit IExchange.ExitsOpened(last);
        exchange.openExits();
    }

    function test_of_a_withdrawal() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory countersigned) =
            (long(ALICE, digest), consent(digest, 0));
        expect();
        emit IExchange.Withdrawn(alice, address(quote), address(0x70), 10e8, 1);
        exchange.withdraw(withdrawal, 0, owner, countersigned);
    }
}
