// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden nonces
/// @notice Which orders are forbidden for their nonce?
contract ForbiddenNoncesTest is Forbidden {
    function used(uint256 order, uint256 nonce, uint256 highest)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IExchange.NonceUsed.selector, order, nonce, highest);
    }

    function replaced(uint256 order, uint256 nonce, uint256 current)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IExchange.LaneReplaced.selector, order, nonce, current);
    }

    function test_of_the_window() public {
        Draft memory buy = buyDraft();
        buy.nonce = 0;
        bytes memory reason = abi.encodeWithSelector(IExchange.NonceOutOfRange.selector, 0, 0);
        forbid("a window nonce of zero", seal(buy, sellDraft()), reason);
        buy.nonce = 1 << 40;
        reason = abi.encodeWithSelector(IExchange.NonceOutOfRange.selector, 0, uint256(1 << 40));
        forbid("a window nonce of 41 bits", seal(buy, sellDraft()), reason);

        Match memory second = oneTrade();
        second.buy = 2;
        forbid("a nonce twice in one batch", withThird(buyDraft(), second), used(2, 1, 1));

        settle(plainBatch());
        forbid("a nonce that is spent", plainBatch(), used(0, 1, 1));
        buy.nonce = 25;
        settle(seal(buy, sellDraft()));
        forbid("a spent nonce the window left behind", plainBatch(), used(0, 1, 25));
    }

    function test_that_the_window_left_behind_unused() public {
        Draft memory buy = buyDraft();
        buy.nonce = 30;
        settle(seal(buy, sellDraft()));
        buy.nonce = 6;
        forbid("a fresh nonce 24 behind", seal(buy, sellDraft()), used(0, 6, 30));
        buy.nonce = 7;
        settle(seal(buy, sellDraft()));
    }

    function test_of_a_lane() public {
        Draft memory higher = sellDraft();
        higher.nonce = 2;
        Match memory second = oneTrade();
        second.sell = 2;
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), higher, sellDraft());
        (drafts[0].baseAmount, drafts[0].quoteAmount) = (2 * ONE, 2 * PRICE);
        Batch memory batch = seal(drafts, oneTrade());
        batch.trades = nextTo(oneTrade(), second);
        forbid("a lower nonce after a higher", batch, replaced(2, 1, 2));
        // The order of the trades is no way around: how the orders are listed decides.
        (batch.trades[0], batch.trades[1]) = (batch.trades[1], batch.trades[0]);
        forbid("a lower nonce that trades before a higher", batch, replaced(2, 1, 2));

        settle(seal(buyDraft(), higher));
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        forbid("a lower nonce on the lane", seal(buy, sellDraft()), replaced(1, 1, 2));
    }

    function test_that_were_cancelled() public {
        vm.prank(alice);
        exchange.requestCancel(0, false, 1);
        vm.prank(bob);
        exchange.requestCancel(LANE, false, 3);
        vm.warp(block.timestamp + EXIT_DELAY);
        exchange.finishCancel(bob, LANE, false);
        forbid("a cancelled order of a lane", plainBatch(), replaced(1, 1, 4));
        exchange.finishCancel(alice, 0, false);
        forbid("a cancelled nonce of the window", plainBatch(), used(0, 1, 1));
    }
}
