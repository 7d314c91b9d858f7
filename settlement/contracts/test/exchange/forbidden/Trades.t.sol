// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Trade} from "../../../src/interfaces/Types.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden trades
/// @notice Which trades are forbidden between two good orders?
contract ForbiddenTradesTest is Forbidden {
    function of0(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, 0);
    }

    function overfilled(uint256 order, uint256 filled, uint256 most)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IExchange.Overfilled.selector, order, filled, most);
    }

    function lacking(address account, uint256 token, uint256 held, uint256 amount)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IExchange.InsufficientBalance.selector, account, token, held, amount
        );
    }

    function test_sides_and_markets() public {
        Batch memory batch = plainBatch();
        (batch.trades[0].buy, batch.trades[0].sell) = (1, 0);
        forbid("sides exchanged", batch, of0(IExchange.WrongSide.selector));
        (batch.trades[0].buy, batch.trades[0].sell) = (0, 0);
        forbid("a buy against itself", batch, of0(IExchange.WrongSide.selector));
        (batch.trades[0].buy, batch.trades[0].sell) = (1, 1);
        forbid("a sale against itself", batch, of0(IExchange.WrongSide.selector));

        exchange.listToken(address(newToken(8)), 1);
        Draft memory sell = sellDraft();
        sell.baseToken = 2;
        bytes memory reason = of0(IExchange.MarketMismatch.selector);
        forbid("bases that differ", seal(buyDraft(), sell), reason);
        (sell.baseToken, sell.quoteToken) = (1, 2);
        forbid("quotes that differ", seal(buyDraft(), sell), reason);
    }

    function test_indices() public {
        Batch memory batch = plainBatch();
        batch.trades[0].buy = 2;
        forbid("a buy beyond the orders", batch, outOfBounds());
        batch = plainBatch();
        batch.trades[0].sell = type(uint16).max;
        forbid("a sale beyond the orders", batch, outOfBounds());
        batch = plainBatch();
        Trade[] memory trades = packed(batch.trades);
        trades[0] = Trade.wrap(Trade.unwrap(trades[0]) | 1 << 255);
        forbid("bits above the trade", batch, packed(batch.orders), trades, outOfBounds());
    }

    function test_prices() public {
        Batch memory batch = plainBatch();
        batch.trades[0].baseAmount = 0;
        forbid("a trade of nothing", batch, of0(IExchange.EmptyTrade.selector));
        batch = plainBatch();
        batch.trades[0].quoteAmount += 1;
        forbid("a pip above the buyer's limit", batch, of0(IExchange.BuyLimitBroken.selector));
        batch = plainBatch();
        batch.trades[0].quoteAmount -= 1;
        forbid("a pip below the seller's limit", batch, of0(IExchange.SellLimitBroken.selector));
        batch.trades[0].quoteAmount = 0;
        forbid("a gift", batch, of0(IExchange.SellLimitBroken.selector));
        batch.trades[0].quoteAmount = type(uint64).max;
        forbid("all that 64 bits hold", batch, of0(IExchange.BuyLimitBroken.selector));
    }

    function test_fees() public {
        Batch memory batch = plainBatch();
        batch.trades[0].sellFeePpm = 5_001;
        bytes memory reason =
            abi.encodeWithSelector(IExchange.FeeTooHigh.selector, 0, 5_001, 5_000);
        forbid("above the seller's cap", batch, reason);
        batch = plainBatch();
        batch.trades[0].buyFeePpm = 5_001;
        forbid("above the buyer's cap", batch, reason);

        Draft memory buy = buyDraft();
        buy.maxFeePpm = type(uint16).max;
        batch = seal(buy, sellDraft());
        batch.trades[0].buyFeePpm = 10_001;
        reason = abi.encodeWithSelector(IExchange.FeeTooHigh.selector, 0, 10_001, 10_000);
        forbid("above one percent", batch, reason);

        batch = plainBatch();
        batch.trades[0].sellFeePpm = -1_001;
        reason = abi.encodeWithSelector(
            IExchange.RebateAboveFee.selector, 0, int256(2.5e8), int256(-2.5025e8)
        );
        forbid("a rebate above the fee", batch, reason);
        (batch.trades[0].buyFeePpm, batch.trades[0].sellFeePpm) = (type(int32).min, 5_000);
        int256 huge = int256(uint256(PRICE)) * type(int32).min / 1e6;
        reason =
            abi.encodeWithSelector(IExchange.RebateAboveFee.selector, 0, huge, int256(12.5e8));
        forbid("the largest rebate there is", batch, reason);
        (batch.trades[0].buyFeePpm, batch.trades[0].sellFeePpm) = (-1, 0);
        reason = abi.encodeWithSelector(
            IExchange.RebateAboveFee.selector, 0, int256(-250_000), int256(0)
        );
        forbid("a rebate without a fee", batch, reason);
    }

    function test_fills() public {
        Batch memory batch = plainBatch();
        batch.trades[0].baseAmount += 1;
        batch.trades[0].quoteAmount += 2_500;
        forbid("a pip more than ordered", batch, overfilled(0, ONE + 1, ONE));

        batch = plainBatch();
        batch.trades = nextTo(oneTrade(), oneTrade());
        forbid("twice what was ordered", batch, overfilled(0, 2 * ONE, ONE));

        (Draft memory buy, Draft memory sell) = big(3);
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buy, sellDraft(), sellDraft());
        Match memory second = oneTrade();
        (second.sell, second.baseAmount, second.quoteAmount) = (2, 2 * ONE, 2 * PRICE);
        batch = seal(drafts, oneTrade());
        batch.trades = nextTo(oneTrade(), second);
        forbid("one order listed twice", batch, overfilled(2, 3 * ONE, 2 * ONE));

        (drafts[1], drafts[2]) = (sellDraft(), sellDraft());
        drafts[2].nonce = 2;
        batch = seal(drafts, oneTrade());
        (second.baseAmount, second.quoteAmount) = (2 * ONE + 1, 2 * PRICE + 2_500);
        (batch.orders[0], batch.trades) = (encode(fourOnes()), nextTo(oneTrade(), second));
        forbid(
            "the next order of a lane beyond its amount",
            batch,
            overfilled(2, 2 * ONE + 1, 2 * ONE)
        );

        (buy, sell) = big(2);
        batch = seal(buy, sell);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) = (2 * ONE, 2 * PRICE);
        settle(batch);
        buy = buyDraft();
        buy.nonce = 2;
        forbid("filled by an earlier batch", seal(buy, sell), overfilled(1, 3 * ONE, 2 * ONE));
        (sell.baseAmount, sell.quoteAmount) = (ONE, PRICE);
        forbid("amended below what is filled", seal(buy, sell), overfilled(1, 3 * ONE, ONE));
    }

    function fourOnes() private view returns (Draft memory buy) {
        (buy,) = big(4);
    }

    function test_balances() public {
        (Draft memory buy, Draft memory sell) = big(50);
        Batch memory batch = seal(buy, sell);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) = (50 * ONE, 50 * PRICE);
        bytes memory reason =
            lacking(alice, 0, 100_000e8, 50 * uint256(PRICE) + 50 * uint256(PRICE) / 1_000);
        forbid("more than the buyer has", batch, reason);

        (buy, sell) = big(40);
        batch = seal(buy, sell);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) = (40 * ONE, 40 * PRICE);
        reason = lacking(alice, 0, 100_000e8, 100_000e8 + 100e8);
        forbid("enough for the price but not for the fee", batch, reason);

        buy = buyDraft();
        sell = sellDraft();
        buy.baseAmount = sell.baseAmount = 51 * ONE;
        sell.quoteAmount = PRICE;
        batch = seal(buy, sell);
        batch.trades[0].baseAmount = 51 * ONE;
        forbid("more than the seller has", batch, lacking(bob, 1, 50 * ONE, 51 * ONE));

        (buy, sell) = (buyDraft(), sellDraft());
        (buy.owner, buy.secret, sell.owner, sell.secret) = (BOB, BOB, ALICE, ALICE);
        reason = lacking(bob, 0, 0, PRICE + PRICE / 1_000);
        forbid("spending what comes later", seal(buy, sell), reason);
    }

    function test_balances_that_would_not_fit() public {
        uint64 most = type(uint64).max;
        fund(alice, base, uint256(most) * 1e10);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.BalanceOverflow.selector, alice, 1, most, ONE);
        forbid("more base than 64 bits hold", plainBatch(), reason);
    }

    function test_a_seller_whose_quote_would_not_fit() public {
        uint64 most = type(uint64).max - type(uint64).max % 100;
        fund(bob, quote, most / 100);
        bytes memory reason = abi.encodeWithSelector(
            IExchange.BalanceOverflow.selector, bob, 0, most, PRICE - PRICE / 2_000
        );
        forbid("more quote than 64 bits hold", plainBatch(), reason);
    }
}
