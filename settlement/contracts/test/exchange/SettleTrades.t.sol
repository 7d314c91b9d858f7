// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {Rig} from "../Rig.sol";

/// @title Which trades are refused, and with which figures?
contract SettleTradesTest is Rig {
    function test_a_buyer_who_sells() public {
        Batch memory batch = plainBatch();
        (batch.trades[0].buy, batch.trades[0].sell) = (1, 0);
        refuse(batch, abi.encodeWithSelector(IExchange.WrongSide.selector, 0));
    }

    function test_orders_of_two_markets() public {
        exchange.listToken(address(newToken(8)), 1);
        Draft memory sell = sellDraft();
        sell.baseToken = 2;
        refuse(
            seal(buyDraft(), sell), abi.encodeWithSelector(IExchange.MarketMismatch.selector, 0)
        );
    }

    function test_a_trade_of_nothing() public {
        Batch memory batch = plainBatch();
        batch.trades[0].baseAmount = 0;
        refuse(batch, abi.encodeWithSelector(IExchange.EmptyTrade.selector, 0));
    }

    function test_a_pip_above_the_buyers_limit() public {
        Batch memory batch = plainBatch();
        batch.trades[0].quoteAmount += 1;
        refuse(batch, abi.encodeWithSelector(IExchange.BuyLimitBroken.selector, 0));
    }

    function test_a_pip_below_the_sellers_limit() public {
        Batch memory batch = plainBatch();
        batch.trades[0].quoteAmount -= 1;
        refuse(batch, abi.encodeWithSelector(IExchange.SellLimitBroken.selector, 0));
    }

    function test_a_fee_above_the_signers_cap() public {
        Batch memory batch = plainBatch();
        batch.trades[0].sellFeePpm = 5_001;
        refuse(batch, abi.encodeWithSelector(IExchange.FeeTooHigh.selector, 0, 5_001, 5_000));
    }

    function test_a_fee_above_the_contracts_cap() public {
        Draft memory buy = buyDraft();
        buy.maxFeePpm = 500_000;
        Batch memory batch = seal(buy, sellDraft());
        batch.trades[0].buyFeePpm = 10_001;
        refuse(batch, abi.encodeWithSelector(IExchange.FeeTooHigh.selector, 0, 10_001, 10_000));
    }

    function test_more_than_the_order_wants() public {
        Batch memory batch = plainBatch();
        batch.trades[0].baseAmount += 1;
        batch.trades[0].quoteAmount += 2_500;
        refuse(batch, abi.encodeWithSelector(IExchange.Overfilled.selector, 0, ONE + 1, ONE));
    }

    function test_more_than_the_buyer_has() public {
        Draft memory buy = buyDraft();
        Draft memory sell = sellDraft();
        (buy.baseAmount, buy.quoteAmount) = (50 * ONE, 50 * PRICE);
        (sell.baseAmount, sell.quoteAmount) = (50 * ONE, 50 * PRICE);
        Batch memory batch = seal(buy, sell);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) = (50 * ONE, 50 * PRICE);
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.InsufficientBalance.selector,
                alice,
                0,
                100_000e8,
                50 * uint256(PRICE) + 50 * uint256(PRICE) / 1_000
            )
        );
    }

    function test_more_than_the_seller_has() public {
        Draft memory buy = buyDraft();
        Draft memory sell = sellDraft();
        buy.baseAmount = sell.baseAmount = 51 * ONE;
        sell.quoteAmount = PRICE;
        Batch memory batch = seal(buy, sell);
        batch.trades[0].baseAmount = 51 * ONE;
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.InsufficientBalance.selector, bob, 1, 50 * ONE, 51 * ONE
            )
        );
    }

    function test_more_than_a_balance_can_hold() public {
        uint64 most = type(uint64).max;
        fund(alice, base, uint256(most) * 1e10);
        refuse(
            plainBatch(),
            abi.encodeWithSelector(IExchange.BalanceOverflow.selector, alice, 1, most, ONE)
        );
    }

    function test_an_account_may_not_spend_what_it_gets_later() public {
        // Bob has no quote; buying from Alice before he has sold must fail, in any order of orders.
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.owner, buy.secret) = (BOB, BOB);
        (sell.owner, sell.secret) = (ALICE, ALICE);
        refuse(
            seal(buy, sell),
            abi.encodeWithSelector(
                IExchange.InsufficientBalance.selector, bob, 0, 0, PRICE + PRICE / 1_000
            )
        );
    }
}
