// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {KeyGrant, Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture, IToken} from "../Fixture.sol";

/// @title Tests of the last values that are allowed
/// @notice Is what lies just on the limit let through? What lies beyond is in `forbidden`.
/// @dev A check that is one too strict makes a matched trade fail, which is as bad as one too mild.
contract BoundariesTest is Fixture {
    address internal key = vm.addr(SESSION);

    function test_an_order_lives_to_its_last_second() public {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.expiry, sell.expiry) = (uint32(block.timestamp), uint32(block.timestamp));
        settle(seal(buy, sell));
    }

    function test_a_key_lives_to_its_last_second() public {
        KeyGrant memory grant = plainGrant();
        grant.expiry = uint32(block.timestamp);
        give(grant);
        Draft memory sell = sellDraft();
        sell.secret = SESSION;
        settle(seal(buyDraft(), sell));
    }

    function test_a_withdrawal_lives_to_its_last_second() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        vm.warp(withdrawal.expiry);
        exchange.withdraw(withdrawal, 0, long(ALICE, digest), consent(digest, 0));
        assertEq(quote.balanceOf(address(0x70)), 10e6, "paid");
    }

    function test_the_highest_fee_of_signer_and_contract() public {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        buy.maxFeePpm = type(uint16).max;
        Batch memory batch = seal(buy, sell);
        (batch.trades[0].buyFeePpm, batch.trades[0].sellFeePpm) = (10_000, 5_000);
        settle(batch);
        assertEq(exchange.feesOf(address(quote)), PRICE / 100 + PRICE / 200, "both in full");
    }

    /// @dev All a buyer has goes into price and fee, to the last pip.
    function test_the_last_pip_of_a_balance() public {
        address carol = vm.addr(3);
        fund(carol, quote, 2_502.5e6);
        Draft memory buy = buyDraft();
        (buy.owner, buy.secret) = (3, 3);
        settle(seal(buy, sellDraft()));
        assertEq(balance(carol, quote), 0, "nothing is left");
        assertEq(balance(carol, base), ONE, "bought");
    }

    /// @dev A balance may hold all 64 bits, and its neighbours in the word do not notice.
    function test_a_full_balance() public {
        uint256 most = type(uint64).max;
        fund(alice, base, (most - ONE) * 1e10);
        settle(plainBatch());
        assertEq(balance(alice, base), most, "full");
        assertEq(balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "beside it");
        (uint40 highest, uint24 bitmap) = exchange.windowOf(alice);
        assertEq(highest, 1, "below it");
        assertEq(bitmap, 1, "and its bits");
    }

    function test_the_highest_window_nonce_and_lane() public {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        buy.nonce = (1 << 40) - 1;
        (sell.lane, sell.nonce) = (type(uint16).max, type(uint64).max);
        settle(seal(buy, sell));
        (uint40 highest,) = exchange.windowOf(alice);
        assertEq(highest, (1 << 40) - 1, "window");
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, type(uint16).max, false);
        assertEq(nonce, type(uint64).max, "lane");
        assertEq(filled, ONE, "filled");
    }

    /// @dev What is no lane tells no nonce: its word holds balances.
    function test_a_balance_word_is_told_as_no_lane() public view {
        (uint64 nonce, uint64 filled) = exchange.laneOf(alice, 0, false);
        assertEq(nonce, 0, "lower half");
        assertEq(filled, 0, "of balances");
        (nonce, filled) = exchange.laneOf(alice, 0, true);
        assertEq(nonce, 0, "upper half");
        assertEq(filled, 0, "of balances");
    }

    function test_the_last_token_is_traded_and_paid() public {
        while (exchange.tokenCount() < 32) exchange.listToken(address(newToken(8)), 1);
        (address at,,) = exchange.tokens(31);
        fund(bob, IToken(at), 5e8);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.baseToken, sell.baseToken) = (31, 31);
        settle(seal(buy, sell));
        assertEq(balance(alice, IToken(at)), ONE, "bought");
        assertEq(balance(bob, IToken(at)), 4e8, "sold");
    }

    function test_a_token_beyond_the_last_is_unknown() public {
        vm.expectRevert(abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 2));
        exchange.tokens(2);
        vm.expectRevert(abi.encodeWithSelector(IExchange.UnknownToken.selector, alice));
        exchange.tokenNumber(alice);
    }

    /// @dev What is less than a raw unit is swept once there is enough of it.
    function test_a_fraction_of_a_fee_is_kept() public {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.quoteAmount, sell.quoteAmount) = (250_150_000, 2 * 250_150_000);
        Batch memory batch = seal(buy, sell);
        batch.trades[0].quoteAmount = 250_150_000;
        settle(batch); // 250,150 and 125,075 pips.
        exchange.sweepFees(address(quote));
        assertEq(quote.balanceOf(FEES), 3_752, "whole raw units");
        assertEq(exchange.feesOf(address(quote)), 25, "and a rest");
        vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAmount.selector));
        exchange.sweepFees(address(quote));
    }
}
