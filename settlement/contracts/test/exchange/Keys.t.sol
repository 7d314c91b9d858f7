// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Signatures} from "../../src/libraries/Signatures.sol";
import {KeyGrant, KeyRevocation} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Session key grant tests
/// @notice Who may grant and revoke which keys?
contract KeysTest is Fixture {
    address internal key = vm.addr(SESSION);

    function refuseGrant(KeyGrant memory grant, bytes memory reason) internal {
        bytes memory signature = long(BOB, exchange.grantDigest(grant));
        vm.expectRevert(reason);
        exchange.grantKey(grant, signature);
    }

    function test_the_account_itself_needs_no_signature() public {
        vm.prank(bob);
        exchange.grantKey(plainGrant(), "");
        assertEq(exchange.keyOf(bob, key).sides, 2, "granted");
        (, uint64 nonce) = exchange.noncesOf(bob);
        assertEq(nonce, 1, "nonce");
    }

    function test_another_signer() public {
        KeyGrant memory grant = plainGrant();
        bytes memory signature = long(ALICE, exchange.grantDigest(grant));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob, alice));
        exchange.grantKey(grant, signature);
    }

    function test_nobody_grants_for_the_zero_account() public {
        KeyGrant memory grant = plainGrant();
        grant.account = address(0);
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(0), address(0))
        );
        exchange.grantKey(grant, "");
    }

    function test_a_grant_is_used_once() public {
        give(plainGrant());
        refuseGrant(
            plainGrant(), abi.encodeWithSelector(IExchange.NonceTooLow.selector, bob, 1, 1)
        );
    }

    function test_a_grant_that_is_over() public {
        KeyGrant memory grant = plainGrant();
        grant.expiry = uint32(block.timestamp - 1);
        refuseGrant(
            grant,
            abi.encodeWithSelector(
                IExchange.Expired.selector, block.timestamp - 1, block.timestamp
            )
        );
    }

    function test_a_grant_of_no_side() public {
        KeyGrant memory grant = plainGrant();
        grant.sides = 0;
        refuseGrant(grant, abi.encodeWithSelector(IExchange.BadSides.selector, 0));
        grant.sides = 4;
        refuseGrant(grant, abi.encodeWithSelector(IExchange.BadSides.selector, 4));
    }

    function test_a_living_key_can_be_widened() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        (grant.nonce, grant.sides, grant.notionalCap) = (2, 3, grant.notionalCap + 1);
        give(grant);
        assertEq(exchange.keyOf(bob, key).sides, 3, "both sides");
    }

    function test_a_living_key_cannot_be_narrowed() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        bytes memory reason = abi.encodeWithSelector(IExchange.KeyWouldNarrow.selector, bob, key);
        grant.nonce = 2;
        grant.sides = 1;
        refuseGrant(grant, reason);
        grant.sides = 2;
        grant.expiry -= 1;
        refuseGrant(grant, reason);
        grant.expiry += 1;
        grant.notionalCap -= 1;
        refuseGrant(grant, reason);
        grant.notionalCap += 1;
        grant.floorPrice += 1;
        refuseGrant(grant, reason);
        grant.floorPrice -= 1;
        give(grant);
    }

    function test_a_key_that_cannot_settle_any_more_can_be_granted_anew() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        vm.warp(grant.expiry + HORIZON);
        (grant.nonce, grant.notionalCap) = (2, 1);
        grant.expiry += 1 days;
        refuseGrant(grant, abi.encodeWithSelector(IExchange.KeyWouldNarrow.selector, bob, key));
        vm.warp(block.timestamp + 1);
        give(grant);
    }

    function test_revoking_what_is_not_there() public {
        bytes memory reason = abi.encodeWithSelector(IExchange.NoLiveKey.selector, bob, key);
        vm.prank(bob);
        vm.expectRevert(reason);
        exchange.revokeKey(key, 9);
        give(plainGrant());
        vm.prank(bob);
        exchange.revokeKey(key, 9);
        // Again would put the end off.
        vm.prank(bob);
        vm.expectRevert(reason);
        exchange.revokeKey(key, 9);
    }

    function test_a_key_that_may_sell_has_a_floor_price() public {
        KeyGrant memory grant = plainGrant();
        bytes memory reason = abi.encodeWithSelector(IExchange.NoFloorPrice.selector, key);
        grant.floorPrice = 0;
        refuseGrant(grant, reason);
        grant.sides = 3;
        refuseGrant(grant, reason);
        grant.sides = 1;
        give(grant);
        assertEq(exchange.keyOf(bob, key).sides, 1, "who only buys needs none");

        // What is on its way are purchases, which the floor does not touch.
        (grant.nonce, grant.sides, grant.floorPrice) = (2, 3, PRICE);
        give(grant);
        assertEq(exchange.keyOf(bob, key).floorPrice, PRICE, "widened to sales, with a floor");
    }

    /// @dev Found by a review: a relayer may hold a grant that the owner signed long ago.
    function test_a_grant_signed_earlier_does_not_revive_a_revoked_key() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        (grant.nonce, grant.expiry) = (5, uint32(block.timestamp + 90 days));
        vm.prank(bob);
        exchange.revokeKey(key, 5);
        vm.warp(block.timestamp + EXIT_DELAY + HORIZON + 1);
        refuseGrant(grant, abi.encodeWithSelector(IExchange.NonceTooLow.selector, bob, 5, 5));
        grant.nonce = 6;
        give(grant);
        assertEq(exchange.keyOf(bob, key).revokedAt, 0, "only the owner's new word does");
    }

    function test_a_revocation_names_a_nonce_that_is_new() public {
        give(plainGrant());
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NonceTooLow.selector, bob, 1, 1));
        exchange.revokeKey(key, 1);
    }

    function revocation() private view returns (KeyRevocation memory) {
        return KeyRevocation({account: bob, key: key, nonce: 9});
    }

    function digestOf(KeyRevocation memory revoked) private view returns (bytes32) {
        bytes32 typeHash = keccak256("KeyRevocation(address account,address key,uint64 nonce)");
        bytes32 content = keccak256(abi.encode(typeHash, revoked));
        return keccak256(abi.encodePacked(hex"1901", exchange.domainSeparator(), content));
    }

    /// @dev As by its owner: after the exit delay, and a grant signed before is void.
    function test_anybody_may_relay_a_revocation() public {
        KeyGrant memory grant = plainGrant();
        give(grant);
        KeyRevocation memory revoked = revocation();
        bytes memory signature = long(BOB, digestOf(revoked));
        vm.expectEmit(address(exchange));
        emit IExchange.KeyRevoked(bob, key, uint64(block.timestamp) + EXIT_DELAY);
        vm.prank(alice);
        exchange.revokeKeyFor(revoked, signature);
        assertEq(exchange.keyOf(bob, key).revokedAt, block.timestamp + EXIT_DELAY, "delayed");

        Draft memory sell = sellDraft();
        sell.secret = SESSION;
        settle(seal(buyDraft(), sell));
        vm.expectRevert(abi.encodeWithSelector(IExchange.NoLiveKey.selector, bob, key));
        exchange.revokeKeyFor(revoked, signature);

        vm.warp(block.timestamp + EXIT_DELAY + HORIZON + 1);
        (grant.nonce, grant.expiry) = (9, uint32(block.timestamp + 1 days));
        refuseGrant(grant, abi.encodeWithSelector(IExchange.NonceTooLow.selector, bob, 9, 9));
    }

    /// @dev Bob signed `revocation()` and nothing else.
    function refuseForged(KeyRevocation memory forged) private {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(BOB, digestOf(revocation()));
        address seeming = ecrecover(digestOf(forged), v, r, s);
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, forged.account, seeming)
        );
        exchange.revokeKeyFor(forged, abi.encodePacked(r, s, v));
    }

    function test_a_revocation_that_the_owner_did_not_sign() public {
        give(plainGrant());
        KeyRevocation memory forged = revocation();
        forged.nonce = 10;
        refuseForged(forged);
        forged = revocation();
        forged.key = alice;
        refuseForged(forged);
        forged = revocation();
        forged.account = alice;
        refuseForged(forged);
        bytes memory byTheKey = long(SESSION, digestOf(revocation()));
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob, key));
        exchange.revokeKeyFor(revocation(), byTheKey);
        assertEq(exchange.keyOf(bob, key).revokedAt, 0, "the key lives");
    }

    function test_a_relayed_revocation_names_a_nonce_that_is_new() public {
        give(plainGrant());
        KeyRevocation memory revoked = revocation();
        revoked.nonce = 1;
        bytes memory signature = long(BOB, digestOf(revoked));
        vm.expectRevert(abi.encodeWithSelector(IExchange.NonceTooLow.selector, bob, 1, 1));
        exchange.revokeKeyFor(revoked, signature);
    }
}
