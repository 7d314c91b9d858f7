// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Tillbook state words
/// @notice How are balances, replay windows and lanes packed into state words?
/// A word's key is `account << 16 | index`.
///
/// Balance word, index g below 0x8000, holds three 64-bit pip balances and the window:
///
///     255        192 191        128 127         64 63     24 23      0
///     | token 3g+2  | token 3g+1  | token 3g    | highest  | bitmap |     (window: g = 0 only)
///
/// Lane word, index 0x8000 .. 0xffff, holds two lanes; a lane remembers one order at a time:
///
///     255        192 191        128 127         64 63              0
///     | filled      | nonce       | filled      | nonce            |
///     |        upper half         |          lower half            |
///
/// @dev Slots written per order decide what a trade costs, hence the packing: a trade touches one
/// word per account, and one more where an order rests. Lanes are reused, so a returning maker
/// never pays for a new slot.
library StateWords {
    uint256 internal constant MASK = type(uint64).max;
    uint256 internal constant FIRST_LANE = 0x8000;
    uint256 internal constant TOKENS_PER_WORD = 3;
    uint256 internal constant WINDOW_SIZE = 24;
    uint256 internal constant WINDOW_BITMAP = (1 << WINDOW_SIZE) - 1;
    uint256 internal constant WINDOW_NONCE_LIMIT = 1 << 40;
    uint256 internal constant HALF_BITS = 128;

    /// @notice Key of word `index` of `account`.
    function keyOf(address account, uint256 index) internal pure returns (uint256) {
        return uint256(uint160(account)) << 16 | index;
    }

    /// @notice Index of the balance word that holds token `number`.
    function groupOf(uint256 number) internal pure returns (uint256) {
        unchecked {
            return number / TOKENS_PER_WORD; // A division by 3 cannot fail.
        }
    }

    /// @notice Where token `number` lies within its word; bits.
    function shiftOf(uint256 number) internal pure returns (uint256) {
        unchecked {
            return 64 * (number % TOKENS_PER_WORD + 1); // At most 64 * 3.
        }
    }

    /// @notice Balance of token `number` within its word.
    function balance(uint256 word, uint256 number) internal pure returns (uint256) {
        return word >> shiftOf(number) & MASK;
    }

    /// @notice Highest nonce the window has seen, and its bitmap (bit k is `highest - k`).
    function window(uint256 word) internal pure returns (uint256 highest, uint256 bitmap) {
        highest = (word & MASK) >> WINDOW_SIZE;
        bitmap = word & WINDOW_BITMAP;
    }

    /// @notice Spend `nonce` in the replay window, as IPsec does.
    /// @return fresh False if it was spent before or lies too far behind; `word` is unchanged then.
    function spend(uint256 word, uint256 nonce) internal pure returns (bool fresh, uint256) {
        unchecked { // Differences are taken of the larger minus the smaller only.
            (uint256 highest, uint256 bitmap) = window(word);
            if (nonce > highest) {
                uint256 ahead = nonce - highest;
                bitmap = ahead < WINDOW_SIZE ? (bitmap << ahead | 1) & WINDOW_BITMAP : 1;
                highest = nonce;
            } else {
                uint256 behind = highest - nonce;
                if (behind >= WINDOW_SIZE || bitmap >> behind & 1 != 0) return (false, word);
                bitmap |= 1 << behind;
            }
            return (true, word & ~MASK | highest << WINDOW_SIZE | bitmap);
        }
    }

    /// @notice The word with all window nonces up to `nonce`, which is below the limit, spent.
    function spendUpTo(uint256 word, uint256 nonce) internal pure returns (uint256) {
        (uint256 highest, uint256 bitmap) = window(word);
        if (nonce >= highest) return word & ~MASK | nonce << WINDOW_SIZE | WINDOW_BITMAP;
        unchecked { // Of the larger minus the smaller.
            uint256 behind = highest - nonce;
            if (behind >= WINDOW_SIZE) return word;
            bitmap |= WINDOW_BITMAP << behind & WINDOW_BITMAP;
        }
        return word & ~MASK | highest << WINDOW_SIZE | bitmap;
    }

    /// @notice The word with all nonces up to `nonce`, which is not the highest of 64 bits, dead on
    /// the lane at `shift`.
    function replaceUpTo(uint256 word, uint256 shift, uint256 nonce)
        internal
        pure
        returns (uint256)
    {
        (uint256 current,) = lane(word, shift);
        return current > nonce ? word : withLane(word, shift, nonce + 1, 0);
    }

    /// @notice Nonce and filled base pips of the lane at `shift` (0 or 128).
    function lane(uint256 word, uint256 shift)
        internal
        pure
        returns (uint256 nonce, uint256 filled)
    {
        nonce = word >> shift & MASK;
        filled = word >> shift >> 64 & MASK;
    }

    /// @notice The word with the lane at `shift` set.
    function withLane(uint256 word, uint256 shift, uint256 nonce, uint256 filled)
        internal
        pure
        returns (uint256)
    {
        return word & ~(uint256(type(uint128).max) << shift) | (filled << 64 | nonce) << shift;
    }
}
