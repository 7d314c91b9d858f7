// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Settlement tests
/// @notice Does a good batch move the right money?
contract SettleTest is Fixture {
    function test_a_trade_moves_base_quote_and_fees() public {
        settle(plainBatch());
        assertEq(balance(alice, base), ONE, "buyer has base");
        assertEq(
            balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "buyer paid price and fee"
        );
        assertEq(balance(bob, base), 49e8, "seller gave base");
        assertEq(balance(bob, quote), PRICE - PRICE / 2_000, "seller got price less fee");
        assertEq(exchange.feesOf(address(quote)), PRICE / 1_000 + PRICE / 2_000, "fees");
    }

    function test_state_of_orders_and_batches_moves_on() public {
        settle(plainBatch());
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, LANE, false);
        assertEq(nonce, 1, "lane nonce");
        assertEq(filled, ONE, "lane filled");
        (uint40 highest, uint24 bitmap) = exchange.windowOf(alice);
        assertEq(highest, 1, "window");
        assertEq(bitmap, 1, "bitmap");
        assertEq(exchange.nextBatch(), 2, "next batch");
        assertEq(exchange.head(), exchange.batchHash(1), "head");
        assertEq(exchange.lastBatchAt(), block.timestamp, "last batch");
    }

    function test_head_binds_history_header_and_trades() public {
        settle(plainBatch());
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        buy.nonce = 2;
        Batch memory batch = seal(buy, sell);
        bytes32 leaf = keccak256(
            abi.encode(0, digestOf(buy), digestOf(sell), ONE, PRICE, PRICE / 1_000, PRICE / 2_000)
        );
        settle(batch);
        assertEq(batch.header.prevHead, exchange.batchHash(1), "history");
        assertEq(exchange.head(), keccak256(abi.encode(batch.header, 1, leaf)), "head");
    }

    function test_a_resting_order_is_filled_over_several_batches() public {
        settle(plainBatch());
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        settle(seal(buy, sellDraft()));
        (, uint64 filled) = exchange.laneOf(bob, LANE, false);
        assertEq(filled, 2 * ONE, "filled");
        buy.nonce = 3;
        refuse(
            seal(buy, sellDraft()),
            abi.encodeWithSelector(IExchange.Overfilled.selector, 1, 3 * ONE, 2 * ONE)
        );
    }

    function test_one_order_takes_several_trades() public {
        Draft memory buy = buyDraft();
        (buy.baseAmount, buy.quoteAmount) = (2 * ONE, 2 * PRICE);
        Batch memory batch = seal(buy, sellDraft());
        batch.trades = nextTo(oneTrade(), oneTrade());
        settle(batch);
        assertEq(balance(alice, base), 2 * ONE, "both trades");
    }

    function test_a_higher_nonce_replaces_the_order_on_its_lane() public {
        settle(plainBatch());
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.nonce, sell.nonce) = (2, 9);
        settle(seal(buy, sell));
        (uint64 nonce, uint64 filled) = exchange.laneOf(bob, LANE, false);
        assertEq(nonce, 9, "nonce");
        assertEq(filled, ONE, "counted anew");
    }

    function test_the_halves_of_a_lane_word_are_two_lanes() public {
        settle(plainBatch());
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        buy.nonce = 2;
        sell.flags |= UPPER_HALF;
        settle(seal(buy, sell));
        (, uint64 lower) = exchange.laneOf(bob, LANE, false);
        (, uint64 upper) = exchange.laneOf(bob, LANE, true);
        assertEq(lower, ONE, "lower half");
        assertEq(upper, ONE, "upper half");
    }

    function test_tokens_of_another_word() public {
        for (uint256 i; i < 3; ++i) {
            exchange.listToken(address(newToken(8)), 1);
        }
        fund(bob, token(4), 5e8);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.baseToken, sell.baseToken) = (4, 4);
        settle(seal(buy, sell));
        assertEq(balance(alice, token(4)), ONE, "in the second group");
        assertEq(balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "in the first");
    }

    function test_expiry_is_judged_at_close_time_not_at_block_time() public {
        Batch memory batch = plainBatch();
        vm.warp(block.timestamp + HORIZON);
        settle(batch);
    }

    function test_an_empty_batch_keeps_the_operator_alive() public {
        Batch memory batch = plainBatch();
        delete batch.orders;
        batch.trades = new Match[](0);
        vm.warp(block.timestamp + 60);
        settle(batch);
        assertEq(exchange.lastBatchAt(), block.timestamp, "alive");
    }

    function test_clocks_may_differ_a_little() public {
        Batch memory batch = plainBatch();
        batch.header.closeTime += 15;
        settle(batch);
    }

    /// @dev Found by a review: a log that never advances can contradict no acknowledgement.
    function test_the_log_advances_with_every_batch_of_trades_from_one_on() public {
        assertEq(exchange.nextSequence(), 1, "nothing is covered yet");
        settle(plainBatch());
        assertEq(exchange.nextSequence(), 3, "after its two commands");
    }

    function token(uint256 number) private view returns (IToken) {
        (address at,,) = exchange.tokens(number);
        return IToken(at);
    }
}
