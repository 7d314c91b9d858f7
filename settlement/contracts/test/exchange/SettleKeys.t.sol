// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {KeyGrant} from "../../src/Types.sol";
import {Rig} from "../Rig.sol";

/// @title What can a session key do? What it cannot is in `test/forbidden`.
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
}
