// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Order} from "../../../src/interfaces/Types.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden words, tokens and flags
/// @notice Which orders are forbidden for the words, tokens and flags they name?
contract ForbiddenPlacesTest is Forbidden {
    function notALane(uint256 order, uint256 lane) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.NotALane.selector, order, lane);
    }

    /// @dev Nobody's words can be touched but those of whoever signed.
    function test_words_of_somebody_else() public {
        Batch memory batch = plainBatch();
        Entry memory buy = batch.orders[0];
        buy.account = bob;
        address signer = seeming(digestFor(bob, buyDraft()), buy);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.WrongSigner.selector, 0, bob, signer);
        forbid("an order of another account", batch, reason);

        buy.account = address(0);
        signer = seeming(digestFor(address(0), buyDraft()), buy);
        reason = abi.encodeWithSelector(IExchange.WrongSigner.selector, 0, address(0), signer);
        forbid("an order of nobody", batch, reason);
        buy.vs = 0;
        reason = abi.encodeWithSelector(IExchange.BadSignature.selector, 0);
        forbid("an order of nobody, signed by nobody", batch, reason);

        batch = plainBatch();
        Entry memory sale = batch.orders[1];
        sale.lane = LANE + 1;
        Draft memory sell = sellDraft();
        sell.lane = LANE + 1;
        signer = seeming(digestOf(sell), sale);
        reason = abi.encodeWithSelector(IExchange.WrongSigner.selector, 1, bob, signer);
        forbid("a lane that was not signed", batch, reason);
    }

    /// @dev They are signed, so the contract alone stands between them and another kind of word.
    function test_words_of_another_kind() public {
        Draft memory sell = sellDraft();
        sell.lane = 0;
        forbid("a window for a lane", seal(buyDraft(), sell), notALane(1, 0));
        sell.lane = LANE - 1;
        forbid("a balance for a lane", seal(buyDraft(), sell), notALane(1, LANE - 1));
        Draft memory buy = buyDraft();
        buy.lane = LANE;
        forbid("a single shot on a lane", seal(buy, sellDraft()), notALane(0, LANE));
        buy.lane = 1;
        forbid("a single shot on a balance", seal(buy, sellDraft()), notALane(0, 1));
    }

    /// @dev The market that was looked at last is remembered, and none is at the start.
    function test_markets_that_are_remembered() public {
        Draft memory buy = buyDraft();
        Draft memory sell = sellDraft();
        (buy.baseToken, sell.baseToken) = (0, 0);
        bytes memory reason = abi.encodeWithSelector(IExchange.SameToken.selector, 0, 0);
        forbid("token zero against itself", seal(buy, sell), reason);
        (buy.baseToken, sell.baseToken) = (1, 1);
        (buy.quoteToken, sell.quoteToken) = (1, 1);
        reason = abi.encodeWithSelector(IExchange.SameToken.selector, 0, 1);
        forbid("a later token against itself", seal(buy, sell), reason);

        Draft memory third = sellDraft();
        (third.baseToken, third.lane) = (0, LANE + 1);
        Match memory second = oneTrade();
        second.sell = 2;
        reason = abi.encodeWithSelector(IExchange.SameToken.selector, 2, 0);
        forbid("a token against itself behind a market", withThird(third, second), reason);
        Batch memory batch = withThird(sellDraft(), second);
        batch.orders[2].baseToken = 2;
        reason = abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 2);
        forbid("a token that is not listed behind a market", batch, reason);
    }

    function test_tokens() public {
        Batch memory batch = plainBatch();
        batch.orders[0].baseToken = 2;
        bytes memory reason = abi.encodeWithSelector(IExchange.UnknownTokenNumber.selector, 2);
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
    }

    function test_flags() public {
        Draft memory sell = sellDraft();
        for (uint256 bit = 11; bit < 16; ++bit) {
            sell.flags = uint16(SELL | 1 << bit);
            bytes memory told =
                abi.encodeWithSelector(IExchange.UnknownFlags.selector, 1, sell.flags);
            forbid("another version of the packing", seal(buyDraft(), sell), told);
        }
        uint16[6] memory waiting = [UPPER_HALF, POST_ONLY, 32, STOP, 128, 1024];
        for (uint256 i; i < waiting.length; ++i) {
            Draft memory buy = buyDraft();
            buy.flags |= waiting[i];
            bytes memory told =
                abi.encodeWithSelector(IExchange.ContradictoryFlags.selector, 0, buy.flags);
            forbid("a single shot that waits", seal(buy, sellDraft()), told);
        }
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
