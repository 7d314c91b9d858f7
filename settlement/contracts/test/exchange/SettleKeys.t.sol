// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {KeyGrant} from "../../src/Types.sol";
import {Rig} from "../Rig.sol";

/// @title What can a session key do, and what not?
/// @dev Bob's sale is signed by the session key throughout.
contract SettleKeysTest is Rig {
    address internal key = vm.addr(SESSION);

    function byKey() internal view returns (Draft memory sell) {
        sell = sellDraft();
        sell.secret = SESSION;
    }

    function test_a_key_sells_within_its_grant() public {
        give(plainGrant());
        settle(seal(buyDraft(), byKey()));
        same(exchange.keyOf(bob, key).notionalLeft, PRICE, "half the cap is left");
    }

    function test_a_key_without_a_grant_is_nobody() public {
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(IExchange.WrongSigner.selector, 1, bob, key)
        );
    }

    function test_a_key_of_the_other_side() public {
        KeyGrant memory grant = plainGrant();
        grant.sides = 1;
        give(grant);
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(IExchange.KeyOutOfScope.selector, 1, key)
        );
    }

    function test_a_key_of_another_market() public {
        KeyGrant memory grant = plainGrant();
        (grant.base, grant.quote) = (grant.quote, grant.base);
        give(grant);
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(IExchange.KeyOutOfScope.selector, 1, key)
        );
    }

    function test_an_expired_key() public {
        KeyGrant memory grant = plainGrant();
        grant.expiry = uint32(block.timestamp);
        give(grant);
        vm.warp(block.timestamp + 1);
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(
                IExchange.KeyExpired.selector, 1, key, block.timestamp - 1, block.timestamp
            )
        );
    }

    function test_a_revocation_waits_for_the_exit_delay() public {
        give(plainGrant());
        vm.prank(bob);
        exchange.revokeKey(key);
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

    function test_a_key_trades_no_more_than_its_cap() public {
        KeyGrant memory grant = plainGrant();
        grant.notionalCap = PRICE - 1;
        give(grant);
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(IExchange.KeyCapExceeded.selector, 0, key, PRICE - 1, PRICE)
        );
    }

    /// @dev The seller asks half the price and gets all of it: only half is used up.
    function test_a_better_price_uses_no_more_of_the_cap_than_the_limit() public {
        KeyGrant memory grant = plainGrant();
        grant.notionalCap = PRICE / 2;
        give(grant);
        Draft memory sale = byKey();
        sale.quoteAmount /= 2;
        settle(seal(buyDraft(), sale));
        same(exchange.keyOf(bob, key).notionalLeft, 0, "all of the cap, at the limit");
    }

    function test_a_key_does_not_sell_below_its_floor() public {
        KeyGrant memory grant = plainGrant();
        grant.floorPrice = PRICE + 1;
        give(grant);
        refuse(
            seal(buyDraft(), byKey()),
            abi.encodeWithSelector(IExchange.BelowFloorPrice.selector, 0, key, PRICE + 1)
        );
    }
}
