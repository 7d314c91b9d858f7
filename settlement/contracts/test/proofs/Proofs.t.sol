// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Packing} from "../../src/libraries/Packing.sol";
import {Trade} from "../../src/interfaces/Types.sol";
import {StateWords} from "../../src/libraries/StateWords.sol";

/// @title Symbolic proofs
/// @notice What is proven for all inputs, and not only for those that a fuzzer tries?
/// @dev For halmos (`make prove`), which takes functions named `check_`; forge does not run them.
contract Proofs {
    uint256 private constant MASK = type(uint64).max;

    // ---------------------------------------------------------------- replay window

    /// @notice No window accepts a nonce, which has 40 bits, that it has just accepted.
    function check_a_nonce_is_accepted_once(uint256 word, uint40 nonce) external pure {
        (bool fresh, uint256 after_) = StateWords.spend(word, nonce);
        if (!fresh) return;
        (bool again,) = StateWords.spend(after_, nonce);
        assert(!again);
    }

    /// @notice Nor after any other nonce was accepted in between: what is spent stays spent.
    function check_what_is_spent_stays_spent(uint256 word, uint40 nonce, uint40 other)
        external
        pure
    {
        (bool fresh, uint256 after_) = StateWords.spend(word, nonce);
        if (!fresh) return;
        (, after_) = StateWords.spend(after_, other);
        (bool again,) = StateWords.spend(after_, nonce);
        assert(!again);
    }

    /// @notice The highest nonce never falls, and balances are not touched.
    function check_the_window_never_goes_back(uint256 word, uint40 nonce) external pure {
        (, uint256 after_) = StateWords.spend(word, nonce);
        (uint256 before,) = StateWords.window(word);
        (uint256 highest,) = StateWords.window(after_);
        assert(highest >= before);
        assert(after_ >> 64 == word >> 64);
    }

    /// @notice After a cancel no nonce up to the cancelled one is accepted.
    function check_a_cancelled_nonce_is_dead(uint256 word, uint40 nonce, uint40 older)
        external
        pure
    {
        if (older > nonce) return;
        uint256 after_ = StateWords.spendUpTo(word, nonce);
        (bool fresh,) = StateWords.spend(after_, older);
        assert(!fresh);
        assert(after_ >> 64 == word >> 64);
    }

    // ---------------------------------------------------------------- lanes

    /// @notice Setting one half of a lane word leaves the other, and reads back.
    function check_a_lane_keeps_to_its_half(uint256 word, uint64 nonce, uint64 filled, bool upper)
        external
        pure
    {
        uint256 shift = upper ? StateWords.HALF_BITS : 0;
        uint256 after_ = StateWords.withLane(word, shift, nonce, filled);
        (uint256 nonce_, uint256 filled_) = StateWords.lane(after_, shift);
        assert(nonce_ == nonce && filled_ == filled);
        uint256 other = StateWords.HALF_BITS - shift;
        assert(uint128(after_ >> other) == uint128(word >> other));
    }

    /// @notice After a cancel the lane's nonce lies above the cancelled one, and never fell.
    function check_a_cancelled_lane_is_dead(uint256 word, uint64 nonce, bool upper)
        external
        pure
    {
        if (nonce == MASK) return;
        uint256 shift = upper ? StateWords.HALF_BITS : 0;
        (uint256 before,) = StateWords.lane(word, shift);
        (uint256 current,) = StateWords.lane(StateWords.replaceUpTo(word, shift, nonce), shift);
        assert(current > nonce && current >= before);
    }

    // ---------------------------------------------------------------- limits

    /// @notice No product of the limit checks overflows: 64 bits times 64 bits are 128.
    function check_limit_products_fit(uint64 quote, uint64 base) external pure {
        unchecked {
            assert(uint256(quote) * base >> 128 == 0);
        }
    }

    // ---------------------------------------------------------------- scaling and packing

    /// @notice Balances of one word lie side by side.
    function check_a_balance_keeps_to_its_field(uint256 word, uint64 amount, uint8 token)
        external
        pure
    {
        if (token > 2) return;
        uint256 shift = StateWords.shiftOf(token);
        if ((word >> shift & MASK) + amount > MASK) return;
        uint256 after_ = word + (uint256(amount) << shift);
        uint256 field = MASK << shift;
        assert(after_ & ~field == word & ~field);
        assert(StateWords.balance(after_, token) == StateWords.balance(word, token) + amount);
    }

    /// @notice What is packed into a trade comes out again, signs included.
    function check_a_trade_unpacks(
        uint16 buy,
        uint16 sell,
        int32 buyFee,
        int32 sellFee,
        uint64 base,
        uint64 quote
    ) external pure {
        Trade trade = Trade.wrap(
            uint256(buy) << 208 | uint256(sell) << 192 | uint256(uint32(buyFee)) << 160
                | uint256(uint32(sellFee)) << 128 | uint256(base) << 64 | quote
        );
        assert(Packing.buyIndex(trade) == buy && Packing.sellIndex(trade) == sell);
        assert(Packing.buyFeePpm(trade) == buyFee && Packing.sellFeePpm(trade) == sellFee);
        assert(Packing.baseAmount(trade) == base && Packing.quoteAmount(trade) == quote);
    }

    /// @notice What is packed into an order's terms comes out again.
    function check_terms_unpack(
        uint64 nonce,
        uint64 base,
        uint64 quote,
        uint32 expiry,
        uint16 maxFeePpm,
        uint16 flags
    ) external pure {
        uint256 terms = uint256(nonce) << 192 | uint256(base) << 128 | uint256(quote) << 64
            | uint256(expiry) << 32 | uint256(maxFeePpm) << 16 | flags;
        assert(Packing.nonce(terms) == nonce && Packing.expiry(terms) == expiry);
        assert(Packing.orderBase(terms) == base && Packing.orderQuote(terms) == quote);
        assert(Packing.maxFeePpm(terms) == maxFeePpm && Packing.flags(terms) == flags);
    }

    /// @notice What is packed into an order's place comes out again.
    function check_a_place_unpacks(
        uint64 triggerOrDisplay,
        uint8 base,
        uint8 quote,
        uint16 lane,
        address account
    ) external pure {
        uint256 place = uint256(triggerOrDisplay) << 192 | uint256(base) << 184
            | uint256(quote) << 176 | uint256(lane) << 160 | uint160(account);
        assert(Packing.triggerOrDisplay(place) == triggerOrDisplay);
        assert(Packing.lane(place) == lane);
        assert(Packing.baseToken(place) == base && Packing.quoteToken(place) == quote);
        assert(Packing.market(place) == (uint256(base) << 8 | quote));
        assert(Packing.account(place) == account);
    }

    /// @notice No two accounts share a word, and no account has one word for two things.
    function check_a_key_is_of_one_account_and_index(
        address account,
        uint16 index,
        address other,
        uint16 otherIndex
    ) external pure {
        uint256 key = StateWords.keyOf(account, index);
        if (key != StateWords.keyOf(other, otherIndex)) return;
        assert(account == other && index == otherIndex);
    }

    /// @notice At 18 decimals all pips that a balance can hold fit as raw units: 64 and 34 bits.
    function check_eighteen_decimals_fit(uint64 pips) external pure {
        unchecked {
            assert(uint256(pips) * 10 ** 10 >> 98 == 0);
        }
    }

    /// @notice At 6 decimals an exit pays whole raw units and keeps less than one. For 16 bits of
    /// pips: no solver tried divides 64 in a minute.
    function check_six_decimals_keep_less_than_a_raw_unit(uint16 pips) external pure {
        uint256 raw = uint256(pips) / 100;
        assert(raw * 100 <= pips && pips - raw * 100 < 100);
    }
}
