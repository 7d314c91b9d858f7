// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Digests} from "../libraries/Digests.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {KeyGrant, KeyRevocation, KeyScope} from "../interfaces/Types.sol";
import {Vault} from "./Vault.sol";

/// @title Tillbook session keys
/// @notice Which session keys may sign orders for an account, and for what?
/// A key can trade one market within side, time, notional and floor price. It can never
/// withdraw, grant or exit.
/// @dev Delayed effect: nothing an account does here can spoil a batch that is already sealed. A
/// revocation starts after the exit delay, which is longer than the horizon, and a grant may narrow
/// a key only once no batch can carry its orders any more.
abstract contract Keys is Vault {
    /// @dev All bits a grant's sides can have: 1 buy, 2 sell.
    uint8 private constant BOTH_SIDES = 3;
    uint8 private constant SELL_SIDE = 2;
    uint256 private constant PIPS_PER_TOKEN = 10 ** 8;

    mapping(address account => mapping(address key => KeyScope scope)) private _scopes;
    mapping(address account => uint64 nonce) internal _grantNonces;

    /// @inheritdoc IExchange
    function grantKey(KeyGrant calldata grant, bytes calldata signature) external {
        address account = grant.account;
        if (msg.sender != account) {
            Signatures.requireSigner(account, grantDigest(grant), signature);
        }
        if (grant.expiry < block.timestamp) revert Expired(grant.expiry, block.timestamp);
        if (grant.sides == 0 || grant.sides > BOTH_SIDES) revert BadSides(grant.sides);
        if (grant.sides & SELL_SIDE != 0 && grant.floorPrice == 0) {
            revert NoFloorPrice(grant.key);
        }
        KeyScope memory scope = KeyScope({
            base: tokenNumber(grant.base),
            quote: tokenNumber(grant.quote),
            sides: grant.sides,
            expiry: grant.expiry,
            revokedAt: 0,
            notionalLeft: grant.notionalCap,
            floorPrice: grant.floorPrice
        });
        KeyScope memory old = _scopes[account][grant.key];
        if (_maySettle(old) && !_covers(scope, old)) revert KeyWouldNarrow(account, grant.key);

        _spendGrantNonce(account, grant.nonce);
        _scopes[account][grant.key] = scope;
        emit KeyGranted(
            account,
            grant.key,
            grant.base,
            grant.quote,
            grant.sides,
            grant.expiry,
            grant.notionalCap,
            grant.floorPrice
        );
    }

    /// @inheritdoc IExchange
    function revokeKey(address key, uint64 nonce) external {
        _revoke(msg.sender, key, nonce);
    }

    /// @inheritdoc IExchange
    function revokeKeyFor(KeyRevocation calldata revocation, bytes calldata signature) external {
        bytes32 digest = Digests.ofRevocation(domainSeparator(), revocation);
        Signatures.requireSigner(revocation.account, digest, signature);
        _revoke(revocation.account, revocation.key, revocation.nonce);
    }

    /// @inheritdoc IExchange
    function keyOf(address account, address key) external view returns (KeyScope memory) {
        return _scopes[account][key];
    }

    /// @inheritdoc IExchange
    function grantDigest(KeyGrant calldata grant) public view returns (bytes32) {
        return Digests.ofGrant(domainSeparator(), grant);
    }

    /// @dev May `key` sign order number `index`? Judged at the batch's close time, like every
    /// expiry. The floor price is held against the order's own limit, which is what the cap counts:
    /// so a key can sell no more than cap / floor, and no trade is below the floor either.
    function _checkKey(
        uint256 index,
        address account,
        address key,
        uint256 market,
        bool sells,
        uint256 baseAmount,
        uint256 quoteAmount,
        uint256 closeTime
    ) internal view {
        KeyScope memory scope = _scopes[account][key];
        if (scope.sides == 0) revert WrongSigner(index, account, key);
        bool sideGranted = scope.sides >> (sells ? 1 : 0) & 1 != 0;
        if (_market(scope.base, scope.quote) != market || !sideGranted) {
            revert KeyOutOfScope(index, key);
        }
        if (scope.expiry < closeTime) revert KeyExpired(index, key, scope.expiry, closeTime);
        if (scope.revokedAt != 0 && scope.revokedAt <= closeTime) {
            revert KeyIsRevoked(index, key, scope.revokedAt, closeTime);
        }
        unchecked { // Products of figures below 2**64.
            if (sells && quoteAmount * PIPS_PER_TOKEN < baseAmount * scope.floorPrice) {
                revert BelowFloorPrice(index, key, scope.floorPrice);
            }
        }
    }

    /// @dev Take trade number `index` off the key's notional. Counted at the order's own limit, not
    /// at the price it got: what an order can use up is then known before it is matched, so a
    /// better price can never make a batch fail.
    function _chargeKey(uint256 index, address account, address key, uint256 notional) internal {
        KeyScope storage scope = _scopes[account][key];
        uint64 left = scope.notionalLeft;
        if (notional > left) revert KeyCapExceeded(index, key, left, uint64(notional));
        scope.notionalLeft = uint64(left - notional);
    }

    /// @dev Both token numbers as one figure, to compare markets with.
    function _market(uint256 base, uint256 quote) internal pure returns (uint256) {
        return base << 8 | quote;
    }

    /// @dev The nonce counts as used, or a grant that was signed before and not relayed yet would
    /// bring the key back.
    function _revoke(address account, address key, uint64 nonce) private {
        KeyScope storage scope = _scopes[account][key];
        if (scope.sides == 0 || scope.revokedAt != 0) revert NoLiveKey(account, key);
        _spendGrantNonce(account, nonce);
        uint64 effectiveAt = uint64(block.timestamp) + exitDelay;
        scope.revokedAt = uint32(effectiveAt);
        emit KeyRevoked(account, key, effectiveAt);
    }

    function _spendGrantNonce(address account, uint64 nonce) private {
        uint64 last = _grantNonces[account];
        if (nonce <= last) revert NonceTooLow(account, last, nonce);
        _grantNonces[account] = nonce;
    }

    /// @dev Could a batch that lands now or later still carry an order of this key?
    function _maySettle(KeyScope memory scope) private view returns (bool) {
        if (scope.sides == 0) return false;
        uint256 end = scope.expiry;
        if (scope.revokedAt != 0 && scope.revokedAt < end) end = scope.revokedAt;
        return block.timestamp <= end + horizon;
    }

    /// @dev Does `wide` allow all that `old` allows?
    function _covers(KeyScope memory wide, KeyScope memory old) private pure returns (bool) {
        return _market(wide.base, wide.quote) == _market(old.base, old.quote)
            && wide.sides & old.sides == old.sides && wide.expiry >= old.expiry
            && wide.notionalLeft >= old.notionalLeft
            && (old.sides & SELL_SIDE == 0 || wide.floorPrice <= old.floorPrice);
    }
}
