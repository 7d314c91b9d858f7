// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Order} from "../../../src/interfaces/Types.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden words, tokens and flags
/// @notice Which orders are forbidden for the words, tokens and flags they name?
contract ForbiddenPlacesTest is Forbidden {
    function wrongWord(uint256 order, uint256 expected, uint256 got)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IExchange.WrongWord.selector, order, expected, got);
    }

    function keyOf(address account, uint256 index) internal pure returns (uint256) {
        return uint256(uint160(account)) << 16 | index;
    }

    function test_words_of_somebody_else() public {
        Batch memory batch = plainBatch();
        (Entry memory buy, Entry memory sale) = (batch.orders[0], batch.orders[1]);
        uint16 own = buy.baseWord;

        buy.baseWord = sale.baseWord;
        forbid("base of another", batch, wrongWord(0, keyOf(bob, 0), keyOf(alice, 0)));
        buy.baseWord = own;

        buy.quoteWord = sale.quoteWord;
        forbid("quote of another", batch, wrongWord(0, keyOf(alice, 0), keyOf(bob, 0)));
        buy.quoteWord = own;

        buy.stateWord = sale.baseWord;
        forbid("window of another", batch, wrongWord(0, keyOf(alice, 0), keyOf(bob, 0)));

        buy.stateWord = sale.stateWord;
        forbid("lane of another", batch, wrongWord(0, keyOf(alice, 0), keyOf(bob, LANE)));
    }

    function test_words_of_another_kind() public {
        Batch memory batch = plainBatch();
        Entry memory sale = batch.orders[1];
        uint16 own = sale.baseWord;
        sale.baseWord = sale.stateWord;
        forbid("a lane for base", batch, wrongWord(1, keyOf(bob, 0), keyOf(bob, LANE)));

        (sale.baseWord, sale.quoteWord) = (own, sale.stateWord);
        forbid("a lane for quote", batch, wrongWord(1, keyOf(bob, 0), keyOf(bob, LANE)));

        (sale.quoteWord, sale.stateWord) = (own, own);
        bytes memory reason = abi.encodeWithSelector(IExchange.NotALane.selector, 1, 0);
        forbid("a window for a lane", batch, reason);

        Draft memory sell = sellDraft();
        sell.lane = LANE - 1;
        reason = abi.encodeWithSelector(IExchange.NotALane.selector, 1, LANE - 1);
        forbid("a balance for a lane", seal(buyDraft(), sell), reason);

        batch = plainBatch();
        batch.orders[0].quoteWord = uint16(batch.keys.length);
        forbid("a word beyond the keys", batch, outOfBounds());
    }

    function test_bits_above_the_account() public {
        Batch memory batch = plainBatch();
        uint256 end = batch.keys.length - 1;
        uint256 key = batch.keys[end];
        batch.keys[end] |= 1 << 176;
        Entry memory buy = batch.orders[0];
        uint256 order = buy.baseWord == end || buy.stateWord == end ? 0 : 1;
        forbid("bits above the account", batch, wrongWord(order, key, key | 1 << 176));
    }

    function test_tokens() public {
        Draft memory buy = buyDraft();
        buy.baseToken = 0;
        bytes memory reason = abi.encodeWithSelector(IExchange.SameToken.selector, 0, 0);
        forbid("a market of one token", seal(buy, sellDraft()), reason);

        Batch memory batch = plainBatch();
        batch.orders[0].baseToken = 2;
        reason = abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 2);
        forbid("a base that is not listed", batch, reason);
        batch = plainBatch();
        batch.orders[1].quoteToken = 255;
        reason = abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 255);
        forbid("a quote that is not listed", batch, reason);

        exchange.setPaused(address(base), true);
        reason = abi.encodeWithSelector(IExchange.TokenPaused.selector, base);
        forbid("a base that is paused", plainBatch(), reason);
        exchange.setPaused(address(base), false);
        exchange.setPaused(address(quote), true);
        reason = abi.encodeWithSelector(IExchange.TokenPaused.selector, quote);
        forbid("a quote that is paused", plainBatch(), reason);
        exchange.setPaused(address(quote), false);

        for (uint256 i; i < 2; ++i) {
            exchange.listToken(address(newToken(8)), 1);
        }
        batch = plainBatch();
        batch.orders[0].baseToken = 3;
        uint256 key = keyOf(alice, 0);
        forbid("a word of another group", batch, wrongWord(0, key | 1, key));
    }

    function test_flags() public {
        Draft memory sell = sellDraft();
        for (uint8 bit = 4; bit < 8; ++bit) {
            sell.flags = SELL | uint8(1 << bit);
            bytes memory told =
                abi.encodeWithSelector(IExchange.UnknownFlags.selector, 1, sell.flags);
            forbid("a flag without meaning", seal(buyDraft(), sell), told);
        }
        Batch memory batch = plainBatch();
        Order[] memory orders = packed(batch.orders);
        orders[1].place |= 1 << 255;
        bytes memory reason =
            abi.encodeWithSelector(IExchange.UnknownFlags.selector, 1, uint256(SELL) | 1 << 191);
        forbid("bits above the flags", batch, orders, packed(batch.trades), reason);
    }

    function test_times_and_use() public {
        Draft memory sell = sellDraft();
        uint256 now_ = block.timestamp;
        sell.expiry = uint32(now_ - 1);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.OrderExpired.selector, 1, now_ - 1, now_);
        forbid("an expired order", seal(buyDraft(), sell), reason);

        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), sellDraft(), buyDraft());
        drafts[2].nonce = 2;
        reason = abi.encodeWithSelector(IExchange.OrderWithoutTrade.selector, 2);
        forbid("an order without a trade", seal(drafts, oneTrade()), reason);
    }
}
