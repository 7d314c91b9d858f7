// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {KeyGrant} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Session key settlement tests
/// @notice What can a session key do? What it cannot is in `test/exchange/forbidden`.
/// @dev Bob's sale is signed by the session key throughout.
contract SettleKeysTest is Fixture {
    address internal key = vm.addr(SESSION);

    function byKey() internal view returns (Draft memory sell) {
        sell = sellDraft();
        sell.secret = SESSION;
    }

    function test_a_key_sells_within_its_grant() public {
        give(plainGrant());
        settle(seal(buyDraft(), byKey()));
        assertEq(exchange.keyOf(bob, key).notionalLeft, PRICE, "half the cap is left");
    }

    function test_a_revocation_waits_for_the_exit_delay() public {
        give(plainGrant());
        vm.prank(bob);
        exchange.revokeKey(key, 2);
        vm.warp(block.timestamp + EXIT_DELAY - 1);
        settle(seal(buyDraft(), byKey()));

        vm.warp(block.timestamp + 1);
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        refuse(
            seal(buy, byKey()),
            abi.encodeWithSelector(
                IExchange.KeyIsRevoked.selector, 1, key, block.timestamp, block.timestamp
            )
        );
    }

    /// @dev The seller asks half the price and gets all of it: only half is used up.
    function test_a_better_price_uses_no_more_of_the_cap_than_the_limit() public {
        KeyGrant memory grant = plainGrant();
        (grant.notionalCap, grant.floorPrice) = (PRICE / 2, PRICE / 2);
        give(grant);
        Draft memory sale = byKey();
        sale.quoteAmount /= 2;
        settle(seal(buyDraft(), sale));
        assertEq(exchange.keyOf(bob, key).notionalLeft, 0, "all of the cap, at the limit");
    }

    /// @dev Whatever limit a thief writes: either the order is below the floor, or it uses up the
    /// cap at least at the floor price. So what can be sold is at most cap / floor.
    function testFuzz_a_key_never_sells_more_than_its_cap_at_the_floor(
        uint64 limit,
        uint64 floor,
        uint64 amount
    ) public {
        KeyGrant memory grant = plainGrant();
        grant.floorPrice = uint64(bound(floor, 1, 2 * PRICE));
        give(grant);
        Draft memory sale = byKey();
        sale.baseAmount = uint64(bound(amount, 1, 10 * ONE));
        sale.quoteAmount = uint64(bound(limit, 0, 10 * PRICE));
        Draft memory buy = buyDraft();
        (buy.baseAmount, buy.quoteAmount) = (sale.baseAmount, 10 * PRICE);
        Batch memory batch = seal(buy, sale);
        (batch.trades[0].baseAmount, batch.trades[0].quoteAmount) =
        (sale.baseAmount, sale.quoteAmount);
        vm.prank(operator);
        (bool done,) = address(exchange).call(callOf(batch));
        if (done) {
            uint256 used = grant.notionalCap - exchange.keyOf(bob, key).notionalLeft;
            assertTrue(
                used * ONE >= uint256(sale.baseAmount) * grant.floorPrice, "at the floor or above"
            );
        } else {
            bool belowFloor =
                uint256(sale.quoteAmount) * ONE < uint256(sale.baseAmount) * grant.floorPrice;
            assertTrue(
                belowFloor || sale.quoteAmount > grant.notionalCap, "refused for one of both"
            );
        }
    }
}
