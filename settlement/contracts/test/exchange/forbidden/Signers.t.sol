// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {KeyGrant} from "../../../src/interfaces/Types.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden signers
/// @notice Which orders are forbidden for who signed them, or for what was not signed?
contract ForbiddenSignersTest is Forbidden {
    uint256 private constant CURVE =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function bad() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.BadSignature.selector, 0);
    }

    function stranger(address signer) internal view returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.WrongSigner.selector, 0, alice, signer);
    }

    /// @dev The buy was signed as in the plain draft, and is sent as `changed`.
    function forge(string memory name, Draft memory changed) internal {
        Entry memory plain = plainBatch().orders[0];
        Batch memory batch = seal(changed, sellDraft());
        (batch.orders[0].r, batch.orders[0].vs) = (plain.r, plain.vs);
        forbid(name, batch, stranger(seeming(digestOf(changed), plain)));
    }

    function test_odd_signatures() public {
        Batch memory batch = plainBatch();
        uint256 vs = uint256(batch.orders[0].vs);
        // An s just above the middle of the curve's order still fits beside the parity bit.
        batch.orders[0].vs = bytes32((CURVE / 2 + 1) | (vs >> 255 ^ 1) << 255);
        forbid("a high s", batch, bad());
        batch.orders[0].vs = 0;
        forbid("an s of zero", batch, bad());
        batch = plainBatch();
        batch.orders[0].r = 0;
        forbid("an r of zero", batch, bad());
        batch.orders[0].r = bytes32(CURVE);
        forbid("an r off the curve", batch, bad());

        batch = plainBatch();
        batch.orders[0].vs ^= bytes32(uint256(1 << 255));
        address signer = seeming(digestOf(buyDraft()), batch.orders[0]);
        forbid("the other parity", batch, stranger(signer));

        Draft memory buy = buyDraft();
        buy.secret = BOB;
        forbid("somebody else", seal(buy, sellDraft()), stranger(bob));
        buy.secret = OPERATOR;
        forbid("the operator itself", seal(buy, sellDraft()), stranger(operator));
    }

    function test_terms_that_were_not_signed() public {
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        forge("another nonce", buy);
        buy = buyDraft();
        buy.baseAmount += 1;
        forge("another base amount", buy);
        buy = buyDraft();
        buy.quoteAmount += 1;
        forge("another quote amount", buy);
        buy = buyDraft();
        buy.expiry += 1;
        forge("another expiry", buy);
        buy = buyDraft();
        buy.maxFeePpm += 1;
        forge("another fee cap", buy);
        buy = buyDraft();
        buy.triggerOrDisplay += 1;
        forge("another trigger", buy);
        buy = buyDraft();
        buy.ref = "another";
        forge("another reference", buy);
        buy = buyDraft();
        buy.flags |= 16;
        forge("another flag", buy);
        buy = buyDraft();
        (buy.baseToken, buy.quoteToken) = (0, 1);
        forge("base and quote exchanged", buy);
        buy = buyDraft();
        (buy.flags, buy.lane) = (0, LANE);
        forge("resting instead of single shot", buy);
    }

    function test_a_signature_for_elsewhere() public {
        Batch memory batch = plainBatch();
        vm.chainId(2);
        address signer = seeming(digestOf(buyDraft()), batch.orders[0]);
        forbid("another chain", batch, stranger(signer));

        vm.chainId(31_337);
        bytes32 here = digestOf(buyDraft());
        IExchange mine = exchange;
        exchange = IExchange(
            vm.deployCode(
                "Exchange.sol:Exchange",
                abi.encode(this, operator, FEES, custodian, HORIZON, EXIT_DELAY, DEADMAN_DELAY)
            )
        );
        exchange.listToken(address(quote), -100);
        exchange.listToken(address(base), 1e10);
        Batch memory theirs = plainBatch();
        exchange = mine;
        signer = seeming(here, theirs.orders[0]);
        forbid("another contract", theirs, stranger(signer));
    }
}

/// @title Forbidden uses of session keys
/// @notice What is forbidden to a session key?
/// @dev Bob's sale is signed by the session key.
contract ForbiddenKeysTest is Forbidden {
    address internal key = vm.addr(SESSION);

    function byKey() internal view returns (Batch memory) {
        Draft memory sell = sellDraft();
        sell.secret = SESSION;
        return seal(buyDraft(), sell);
    }

    function outOfScope() internal view returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.KeyOutOfScope.selector, 1, key);
    }

    function test_without_a_grant() public {
        bytes memory reason = abi.encodeWithSelector(IExchange.WrongSigner.selector, 1, bob, key);
        forbid("a key without a grant", byKey(), reason);

        KeyGrant memory grant = plainGrant();
        grant.account = alice;
        vm.prank(alice);
        exchange.grantKey(grant, "");
        forbid("a key that another account granted", byKey(), reason);
    }

    function test_another_side() public {
        KeyGrant memory grant = plainGrant();
        grant.sides = 1;
        give(grant);
        forbid("a key of the other side", byKey(), outOfScope());
    }

    function test_another_market() public {
        KeyGrant memory grant = plainGrant();
        (grant.base, grant.quote) = (grant.quote, grant.base);
        give(grant);
        forbid("a key of another market", byKey(), outOfScope());
    }

    function test_too_late() public {
        KeyGrant memory grant = plainGrant();
        grant.expiry = uint32(block.timestamp);
        give(grant);
        uint256 now_ = block.timestamp + 1;
        vm.warp(now_);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.KeyExpired.selector, 1, key, now_ - 1, now_);
        forbid("an expired key", byKey(), reason);

        (grant.nonce, grant.expiry) = (2, uint32(now_ + 1 days));
        give(grant);
        vm.prank(bob);
        exchange.revokeKey(key, 3);
        now_ += EXIT_DELAY;
        vm.warp(now_);
        reason = abi.encodeWithSelector(IExchange.KeyIsRevoked.selector, 1, key, now_, now_);
        forbid("a revoked key", byKey(), reason);
    }

    function test_too_much() public {
        KeyGrant memory grant = plainGrant();
        grant.notionalCap = PRICE - 1;
        give(grant);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.KeyCapExceeded.selector, 0, key, PRICE - 1, PRICE);
        forbid("a trade above the cap", byKey(), reason);

        (grant.nonce, grant.notionalCap) = (2, PRICE);
        give(grant);
        settle(byKey());
        Draft memory buy = buyDraft();
        buy.nonce = 2;
        Draft memory sell = sellDraft();
        sell.secret = SESSION;
        reason = abi.encodeWithSelector(IExchange.KeyCapExceeded.selector, 0, key, 0, PRICE);
        forbid("a cap used up by an earlier batch", seal(buy, sell), reason);
    }

    function test_too_cheap() public {
        KeyGrant memory grant = plainGrant();
        grant.floorPrice = PRICE + 1;
        give(grant);
        bytes memory reason =
            abi.encodeWithSelector(IExchange.BelowFloorPrice.selector, 1, key, PRICE + 1);
        forbid("a sale below the floor", byKey(), reason);

        // A limit of nothing would use up nothing of the cap, whatever the trade brings.
        (grant.nonce, grant.floorPrice) = (2, PRICE);
        give(grant);
        Draft memory sell = sellDraft();
        (sell.secret, sell.quoteAmount) = (SESSION, 0);
        reason = abi.encodeWithSelector(IExchange.BelowFloorPrice.selector, 1, key, PRICE);
        forbid(
            "a limit below the floor, though the trade is above", seal(buyDraft(), sell), reason
        );
        sell.quoteAmount = 2 * PRICE - 1;
        forbid("a limit a pip below the floor", seal(buyDraft(), sell), reason);
    }
}
