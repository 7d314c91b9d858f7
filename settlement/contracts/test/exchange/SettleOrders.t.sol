// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {Rig} from "../Rig.sol";

/// @title Which orders are refused, and with which figures?
contract SettleOrdersTest is Rig {
    function test_an_expired_order() public {
        Draft memory sell = sellDraft();
        sell.expiry = uint32(block.timestamp - 1);
        refuse(
            seal(buyDraft(), sell),
            abi.encodeWithSelector(
                IExchange.OrderExpired.selector, 1, block.timestamp - 1, block.timestamp
            )
        );
    }

    function test_a_word_of_another_account() public {
        Batch memory batch = plainBatch();
        Entry memory buy = batch.orders[0];
        uint256 mine = batch.keys[buy.quoteWord];
        buy.quoteWord = batch.orders[1].quoteWord;
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.WrongWord.selector, 0, mine, batch.keys[buy.quoteWord]
            )
        );
    }

    function test_a_word_of_another_group() public {
        for (uint256 i; i < 2; ++i) {
            exchange.listToken(address(newToken(8)), 1);
        }
        Batch memory batch = plainBatch();
        batch.orders[0].baseToken = 3;
        uint256 key = batch.keys[batch.orders[0].baseWord];
        refuse(batch, abi.encodeWithSelector(IExchange.WrongWord.selector, 0, key | 1, key));
    }

    function test_the_window_of_a_single_shot_order_is_in_group_zero() public {
        Batch memory batch = plainBatch();
        uint256 key = batch.keys[batch.orders[0].stateWord];
        uint256 lane = batch.keys[batch.orders[1].stateWord];
        batch.orders[0].stateWord = batch.orders[1].stateWord;
        refuse(batch, abi.encodeWithSelector(IExchange.WrongWord.selector, 0, key, lane));
    }

    function test_bits_above_the_account_are_refused() public {
        Batch memory batch = plainBatch();
        uint256 at = batch.keys.length - 1;
        uint256 key = batch.keys[at];
        batch.keys[at] |= 1 << 176;
        uint256 order = batch.orders[0].baseWord == at || batch.orders[0].stateWord == at ? 0 : 1;
        refuse(
            batch,
            abi.encodeWithSelector(IExchange.WrongWord.selector, order, key, key | 1 << 176)
        );
    }

    function test_a_resting_order_needs_a_lane() public {
        Draft memory sell = sellDraft();
        sell.lane = LANE - 1;
        refuse(
            seal(buyDraft(), sell),
            abi.encodeWithSelector(IExchange.NotALane.selector, 1, LANE - 1)
        );
    }

    function test_a_flag_without_meaning() public {
        Draft memory sell = sellDraft();
        sell.flags |= 16;
        refuse(
            seal(buyDraft(), sell), abi.encodeWithSelector(IExchange.UnknownFlags.selector, 1, 17)
        );
    }

    function test_a_market_of_one_token() public {
        Draft memory buy = buyDraft();
        buy.baseToken = 0;
        refuse(seal(buy, sellDraft()), abi.encodeWithSelector(IExchange.SameToken.selector, 0, 0));
    }

    function test_a_token_that_is_not_listed() public {
        Batch memory batch = plainBatch();
        batch.orders[0].baseToken = 2;
        refuse(batch, abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 2));
    }

    function test_a_window_nonce_of_zero() public {
        Draft memory buy = buyDraft();
        buy.nonce = 0;
        refuse(
            seal(buy, sellDraft()),
            abi.encodeWithSelector(IExchange.NonceOutOfRange.selector, 0, 0)
        );
    }

    function test_a_window_nonce_of_more_than_forty_bits() public {
        Draft memory buy = buyDraft();
        buy.nonce = 1 << 40;
        refuse(
            seal(buy, sellDraft()),
            abi.encodeWithSelector(IExchange.NonceOutOfRange.selector, 0, uint256(1 << 40))
        );
    }

    function test_a_spent_nonce() public {
        settle(plainBatch());
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.NonceUsed.selector, 0, 1, 1));
    }

    function test_a_nonce_the_window_left_behind() public {
        Draft memory buy = buyDraft();
        buy.nonce = 25;
        settle(seal(buy, sellDraft()));
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.NonceUsed.selector, 0, 1, 25));
    }

    function test_a_lower_nonce_on_the_lane_is_dead() public {
        Draft memory sell = sellDraft();
        sell.nonce = 5;
        settle(seal(buyDraft(), sell));
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        refuse(
            seal(buy, sellDraft()),
            abi.encodeWithSelector(IExchange.LaneReplaced.selector, 1, 1, 5)
        );
    }

    function test_two_nonces_of_one_lane_in_a_batch() public {
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), sellDraft(), sellDraft());
        (drafts[0].baseAmount, drafts[0].quoteAmount) = (2 * ONE, 2 * PRICE);
        drafts[2].nonce = 2;
        Batch memory batch = seal(drafts, oneTrade());
        Match memory second = oneTrade();
        second.sell = 2;
        batch.trades = nextTo(oneTrade(), second);
        refuse(batch, abi.encodeWithSelector(IExchange.LaneReplaced.selector, 1, 1, 2));
    }

    function test_one_order_twice_in_a_batch_fills_once() public {
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), sellDraft(), sellDraft());
        (drafts[0].baseAmount, drafts[0].quoteAmount) = (3 * ONE, 3 * PRICE);
        Batch memory batch = seal(drafts, oneTrade());
        Match memory second = oneTrade();
        (second.sell, second.baseAmount, second.quoteAmount) = (2, 2 * ONE, 2 * PRICE);
        batch.trades = nextTo(oneTrade(), second);
        refuse(batch, abi.encodeWithSelector(IExchange.Overfilled.selector, 2, 3 * ONE, 2 * ONE));
    }

    function test_an_order_without_a_trade() public {
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), sellDraft(), buyDraft());
        drafts[2].nonce = 2;
        refuse(
            seal(drafts, oneTrade()),
            abi.encodeWithSelector(IExchange.OrderWithoutTrade.selector, 2)
        );
    }

    function test_a_high_s() public {
        Batch memory batch = plainBatch();
        uint256 curve = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 vs = uint256(batch.orders[0].vs);
        // An s just above the middle of the curve's order still fits beside the parity bit.
        batch.orders[0].vs = bytes32((curve / 2 + 1) | (vs >> 255 ^ 1) << 255);
        refuse(batch, abi.encodeWithSelector(IExchange.BadSignature.selector, 0));
    }

    function test_a_signature_of_nobody() public {
        Batch memory batch = plainBatch();
        batch.orders[0].r = 0;
        refuse(batch, abi.encodeWithSelector(IExchange.BadSignature.selector, 0));
    }

    function test_a_signature_of_somebody_else() public {
        Draft memory buy = buyDraft();
        buy.secret = BOB;
        refuse(
            seal(buy, sellDraft()),
            abi.encodeWithSelector(IExchange.WrongSigner.selector, 0, alice, bob)
        );
    }

    function test_a_signature_for_another_chain() public {
        Batch memory batch = plainBatch();
        vm.chainId(2);
        vm.prank(operator);
        (bool settled,) = address(exchange).call(callOf(batch));
        yes(!settled, "a fork of the chain has its own domain");
        settle(plainBatch());
    }
}
