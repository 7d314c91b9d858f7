// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Tests of words worked on in storage
/// @notice Does a batch leave in each word what its orders and trades say, however many meet there?
contract StoredWordsTest is Fixture {
    uint256 internal constant CAROL = 0xCA401;
    uint256 internal constant DAVE = 0xDA7E;
    address internal carol = vm.addr(CAROL);
    address internal dave = vm.addr(DAVE);

    /// @dev Tokens 0 to 8: three groups, all but the first two of 8 decimals.
    function listNine() internal {
        while (exchange.tokenCount() < 9) exchange.listToken(address(newToken(8)), 1);
    }

    function token(uint256 number) internal view returns (IToken) {
        (address listed,,) = exchange.tokens(number);
        return IToken(listed);
    }

    function lane(address account, bool upperHalf)
        internal
        view
        returns (uint64 nonce, uint64 filled)
    {
        return exchange.laneOf(account, LANE, upperHalf);
    }

    /// @dev A trade of the third order of a batch against its first.
    function secondSale() internal pure returns (Match memory second) {
        second = oneTrade();
        second.sell = 2;
    }

    function ofThree(Draft memory buy, Draft memory first, Draft memory second)
        internal
        view
        returns (Batch memory batch)
    {
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buy, first, second);
        batch = seal(drafts, oneTrade());
        batch.trades = nextTo(oneTrade(), secondSale());
    }

    function twice() internal view returns (Draft memory buy) {
        buy = buyDraft();
        (buy.baseAmount, buy.quoteAmount) = (2 * ONE, 2 * PRICE);
    }

    function test_new_accounts_on_fresh_lanes() public {
        fund(carol, quote, 10_000e6);
        fund(dave, base, 2e18);
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.owner, buy.secret, sell.owner, sell.secret) = (CAROL, CAROL, DAVE, DAVE);
        (sell.lane, sell.nonce) = (0xabcd, 7);
        settle(seal(buy, sell));
        assertEq(balance(carol, base), ONE, "its first base");
        assertEq(balance(carol, quote), 10_000e8 - PRICE - PRICE / 1_000, "paid");
        assertEq(balance(dave, base), ONE, "sold");
        assertEq(balance(dave, quote), PRICE - PRICE / 2_000, "its first quote");
        (uint40 highest, uint24 bitmap) = exchange.windowOf(carol);
        assertEq(highest, 1, "window");
        assertEq(bitmap, 1, "its bit");
        (uint64 nonce, uint64 filled) = exchange.laneOf(dave, 0xabcd, false);
        assertEq(nonce, 7, "lane");
        assertEq(filled, ONE, "filled");
    }

    /// @dev Both sides of both trades lie in two words of an account; the window in the first.
    function test_trades_across_two_groups_of_tokens() public {
        listNine();
        fund(alice, token(4), 9e11);
        fund(bob, token(8), 7e8);
        Draft[] memory drafts = new Draft[](4);
        (drafts[0], drafts[1]) = (buyDraft(), sellDraft());
        (drafts[2], drafts[3]) = (buyDraft(), sellDraft());
        (drafts[2].nonce, drafts[3].lane) = (2, LANE + 1);
        for (uint256 i = 2; i < 4; ++i) {
            (drafts[i].baseToken, drafts[i].quoteToken) = (8, 4);
        }
        Match memory second = oneTrade();
        (second.buy, second.sell) = (2, 3);
        Batch memory batch = seal(drafts, oneTrade());
        batch.trades = nextTo(oneTrade(), second);
        settle(batch);
        assertEq(balance(alice, base), ONE, "bought in the first group");
        assertEq(balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "paid in it");
        assertEq(balance(alice, token(8)), ONE, "bought in the third");
        assertEq(balance(alice, token(4)), 9e11 - PRICE - PRICE / 1_000, "paid in the second");
        assertEq(balance(bob, token(8)), 6e8, "sold");
        assertEq(balance(bob, token(4)), PRICE - PRICE / 2_000, "got");
        assertEq(exchange.feesOf(address(token(4))), PRICE / 1_000 + PRICE / 2_000, "fees");
        assertEq(exchange.feesOf(address(quote)), PRICE / 1_000 + PRICE / 2_000, "of each");
        (, uint24 bitmap) = exchange.windowOf(alice);
        assertEq(bitmap, 3, "both nonces");
    }

    /// @dev Whatever two of nine tokens, in whatever amounts: these four fields move, and no other.
    function testFuzz_no_other_balance_moves(
        uint8 base_,
        uint8 quote_,
        uint64 amount,
        uint64 pays
    ) public {
        listNine();
        (base_, quote_) = (base_ % 9, quote_ % 9);
        if (base_ == quote_) quote_ = (base_ + 1) % 9;
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.owner, buy.secret, sell.owner, sell.secret) = (CAROL, CAROL, DAVE, DAVE);
        amount = uint64(bound(amount, 1, type(uint64).max / 4));
        pays = uint64(bound(pays, 0, type(uint64).max / 4));
        for (uint8 i; i < 9; ++i) {
            uint256 raw = i == 0 ? type(uint64).max / 200 : i == 1 ? 9e28 : 9e18;
            fund(carol, token(i), raw);
            fund(dave, token(i), raw);
        }
        uint256[2][9] memory before;
        for (uint8 i; i < 9; ++i) {
            before[i] = [balance(carol, token(i)), balance(dave, token(i))];
        }
        (buy.baseToken, buy.quoteToken, sell.baseToken, sell.quoteToken) =
        (base_, quote_, base_, quote_);
        (buy.baseAmount, buy.quoteAmount) = (amount, pays);
        (sell.baseAmount, sell.quoteAmount) = (amount, pays);
        Batch memory batch = seal(buy, sell);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) = (amount, pays);
        settle(batch);
        for (uint8 i; i < 9; ++i) {
            (uint256 bought, uint256 paid, uint256 got) = i == base_
                ? (uint256(amount), uint256(0), uint256(0))
                : i == quote_
                    ? (uint256(0), pays + pays / 1_000, pays - pays / 2_000)
                    : (uint256(0), uint256(0), uint256(0));
            assertEq(balance(carol, token(i)), before[i][0] + bought - paid, "buyer");
            assertEq(balance(dave, token(i)), before[i][1] + got - bought, "seller");
        }
    }

    // ---------------------------------------------------------------- one account on both sides

    function ofAlice() internal view returns (Draft memory sell) {
        sell = sellDraft();
        (sell.owner, sell.secret) = (ALICE, ALICE);
    }

    /// @dev The buyer's side is done first, so the base that comes in may be sold on.
    function test_an_account_may_sell_on_what_it_buys_of_itself() public {
        assertEq(balance(alice, base), 0, "it has none");
        settle(seal(buyDraft(), ofAlice()));
        assertEq(balance(alice, base), 0, "bought and sold");
        uint256 fees = PRICE / 1_000 + PRICE / 2_000;
        assertEq(balance(alice, quote), 100_000e8 - fees, "both fees are paid");
        assertEq(exchange.feesOf(address(quote)), fees, "nothing came of nothing");
    }

    /// @dev What the sale brings comes after the price is paid.
    function test_an_account_cannot_pay_with_what_it_sells_to_itself() public {
        (Draft memory buy, Draft memory sell) = (buyDraft(), sellDraft());
        (buy.owner, buy.secret) = (BOB, BOB);
        bytes memory reason = abi.encodeWithSelector(
            IExchange.InsufficientBalance.selector, bob, 0, 0, PRICE + PRICE / 1_000
        );
        refuse(seal(buy, sell), reason);
    }

    /// @dev Whether one word or two hold base and quote.
    function test_of_itself_across_two_groups() public {
        listNine();
        (Draft memory buy, Draft memory sell) = (buyDraft(), ofAlice());
        (buy.baseToken, sell.baseToken) = (5, 5);
        settle(seal(buy, sell));
        assertEq(balance(alice, token(5)), 0, "bought and sold");
        assertEq(
            balance(alice, quote), 100_000e8 - PRICE / 1_000 - PRICE / 2_000, "less the fees"
        );
    }

    // ---------------------------------------------------------------- two orders of a lane half

    function test_the_next_order_of_a_lane_may_trade_in_the_same_batch() public {
        Draft memory next = sellDraft();
        next.nonce = 2;
        settle(ofThree(twice(), sellDraft(), next));
        (uint64 nonce, uint64 filled) = lane(bob, false);
        assertEq(nonce, 2, "the last one stands");
        assertEq(filled, ONE, "with its own fills");
        assertEq(balance(bob, base), 48e8, "both were settled");
    }

    /// @dev Both amounts bind: what was filled of the first before, and what is of the second now.
    function test_fills_of_each_are_counted_to_their_end() public {
        settle(plainBatch());
        (Draft memory buy, Draft memory next) = (twice(), sellDraft());
        (buy.nonce, next.nonce) = (2, 2);
        settle(ofThree(buy, sellDraft(), next));
        (, uint64 filled) = lane(bob, false);
        assertEq(filled, ONE, "of the second");
        Draft memory late = buyDraft();
        late.nonce = 3;
        refuse(
            seal(late, sellDraft()),
            abi.encodeWithSelector(IExchange.LaneReplaced.selector, 1, 1, 2)
        );
    }

    function test_a_first_order_that_is_overfilled_is_refused_though_the_next_replaces_it()
        public
    {
        (Draft memory first, Draft memory next) = (sellDraft(), sellDraft());
        (first.baseAmount, first.quoteAmount) = (ONE / 2, PRICE / 2);
        next.nonce = 2;
        refuse(
            ofThree(twice(), first, next),
            abi.encodeWithSelector(IExchange.Overfilled.selector, 1, ONE, ONE / 2)
        );
    }

    function test_the_other_half_is_left_alone() public {
        Draft memory upper = sellDraft();
        (upper.flags, upper.nonce) = (SELL | UPPER_HALF, 9);
        settle(ofThree(twice(), sellDraft(), upper));
        Draft memory next = upper;
        next.nonce = 10;
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        settle(seal(buy, next));
        (uint64 nonce, uint64 filled) = lane(bob, false);
        assertEq(nonce, 1, "lower");
        assertEq(filled, ONE, "its fills");
        (nonce, filled) = lane(bob, true);
        assertEq(nonce, 10, "upper");
        assertEq(filled, ONE, "counted anew");
    }

    /// @dev What lies in one order's digest is its own market's, whatever was looked at before.
    function test_markets_that_take_turns() public {
        listNine();
        fund(bob, token(4), 5e8);
        Draft[] memory drafts = new Draft[](5);
        (drafts[0], drafts[1]) = (twice(), sellDraft());
        (drafts[2], drafts[3]) = (buyDraft(), sellDraft());
        (drafts[2].nonce, drafts[2].baseToken, drafts[3].baseToken) = (2, 4, 4);
        (drafts[3].lane, drafts[4]) = (LANE + 1, sellDraft());
        drafts[4].lane = LANE + 2;
        (drafts[1], drafts[2]) = (drafts[2], drafts[1]);
        Batch memory batch = seal(drafts, oneTrade());
        batch.trades = new Match[](3);
        for (uint16 i; i < 3; ++i) {
            batch.trades[i] = oneTrade();
        }
        (batch.trades[0].buy, batch.trades[0].sell) = (0, 2);
        (batch.trades[1].buy, batch.trades[1].sell) = (1, 3);
        (batch.trades[2].buy, batch.trades[2].sell) = (0, 4);
        settle(batch);
        assertEq(balance(alice, base), 2 * ONE, "the one market");
        assertEq(balance(alice, token(4)), ONE, "the other");
    }
}
