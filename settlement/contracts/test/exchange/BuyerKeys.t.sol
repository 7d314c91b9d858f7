// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {KeyGrant} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Tests of session keys that buy
/// @notice Is a key that buys held to side, market and cap as one that sells is?
/// @dev Alice's purchase is signed by the session key throughout.
contract BuyerKeysTest is Fixture {
    address internal key = vm.addr(SESSION);

    function grantOf(uint8 sides, uint64 cap) internal view returns (KeyGrant memory grant) {
        grant = plainGrant();
        (grant.account, grant.sides, grant.notionalCap) = (alice, sides, cap);
    }

    function giveAlice(KeyGrant memory grant) internal {
        exchange.grantKey(grant, long(ALICE, exchange.grantDigest(grant)));
    }

    function byKey() internal view returns (Draft memory buy) {
        buy = buyDraft();
        buy.secret = SESSION;
    }

    function test_a_key_that_only_sells_buys_nothing() public {
        giveAlice(grantOf(2, type(uint64).max));
        refuse(
            seal(byKey(), sellDraft()),
            abi.encodeWithSelector(IExchange.KeyOutOfScope.selector, 0, key)
        );
    }

    /// @dev The floor is for sales: a purchase below it is only cheap.
    function test_a_purchase_below_the_floor() public {
        KeyGrant memory grant = grantOf(3, type(uint64).max);
        grant.floorPrice = type(uint64).max;
        giveAlice(grant);
        settle(seal(byKey(), sellDraft()));
    }

    /// @dev The buyer bids double and pays the plain price: the cap counts the bid.
    function test_the_cap_counts_the_limit_and_not_the_price() public {
        giveAlice(grantOf(1, 2 * PRICE));
        Draft memory buy = byKey();
        buy.quoteAmount = 2 * PRICE;
        settle(seal(buy, sellDraft()));
        assertEq(exchange.keyOf(alice, key).notionalLeft, 0, "all of it");
        assertEq(balance(alice, quote), 100_000e8 - PRICE - PRICE / 1_000, "at the price");
    }

    function test_a_pip_less_of_a_cap() public {
        giveAlice(grantOf(1, PRICE - 1));
        refuse(
            seal(byKey(), sellDraft()),
            abi.encodeWithSelector(
                IExchange.KeyCapExceeded.selector, 0, key, PRICE - 1, uint256(PRICE)
            )
        );
    }

    function test_a_key_of_both_parties_is_charged_for_each() public {
        giveAlice(grantOf(1, PRICE));
        give(plainGrant());
        uint64 before = exchange.keyOf(bob, key).notionalLeft;
        Draft memory sell = sellDraft();
        sell.secret = SESSION;
        settle(seal(byKey(), sell));
        assertEq(exchange.keyOf(alice, key).notionalLeft, 0, "buyer's");
        assertEq(before - exchange.keyOf(bob, key).notionalLeft, PRICE, "seller's");
    }

    /// @dev A living key of another market would strand the orders it has signed.
    function test_a_living_key_keeps_its_market() public {
        KeyGrant memory grant = grantOf(1, PRICE);
        giveAlice(grant);
        (grant.base, grant.quote, grant.nonce) = (grant.quote, grant.base, 2);
        bytes memory signature = long(ALICE, exchange.grantDigest(grant));
        vm.expectRevert(abi.encodeWithSelector(IExchange.KeyWouldNarrow.selector, alice, key));
        exchange.grantKey(grant, signature);
    }

    /// @dev What a revocation ends sooner than the expiry can be granted anew sooner.
    function test_a_revoked_key_is_free_once_its_last_batch_must_have_landed() public {
        KeyGrant memory grant = grantOf(1, PRICE);
        grant.expiry = uint32(block.timestamp + 90 days);
        giveAlice(grant);
        vm.prank(alice);
        exchange.revokeKey(key, 2);
        vm.warp(block.timestamp + EXIT_DELAY + HORIZON);
        grant = grantOf(1, 1);
        (grant.nonce, grant.expiry) = (3, uint32(block.timestamp + 1 days));
        bytes memory signature = long(ALICE, exchange.grantDigest(grant));
        bytes memory reason =
            abi.encodeWithSelector(IExchange.KeyWouldNarrow.selector, alice, key);
        vm.expectRevert(reason);
        exchange.grantKey(grant, signature);
        vm.warp(block.timestamp + 1);
        exchange.grantKey(grant, signature);
        assertEq(exchange.keyOf(alice, key).revokedAt, 0, "it lives again");
    }

    function test_a_grant_in_a_token_that_is_not_listed() public {
        KeyGrant memory grant = grantOf(1, PRICE);
        grant.base = address(1);
        bytes memory signature = long(ALICE, exchange.grantDigest(grant));
        vm.expectRevert(abi.encodeWithSelector(IExchange.UnknownToken.selector, address(1)));
        exchange.grantKey(grant, signature);
    }
}
