// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StateWords} from "../../src/libraries/StateWords.sol";
import {Base} from "../Base.sol";

/// @title State word tests
/// @notice Does the replay window accept each nonce once, and do fields keep to their bits?
contract StateWordsTest is Base {
    mapping(uint256 nonce => bool accepted) private _accepted;

    function testFuzz_a_nonce_is_accepted_once(uint256 seed, uint256 word) public {
        word &= ~StateWords.MASK;
        uint256 rest = word;
        uint256 highest;
        for (uint256 i; i < 64; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 nonce = 1 + (highest > 30 ? highest - 30 : 0) + seed % 40;
            bool fresh;
            bool expected = !_accepted[nonce] && nonce + StateWords.WINDOW_SIZE > highest;
            (fresh, word) = StateWords.spend(word, nonce);
            assertTrue(fresh == expected, "fresh and not left behind");
            if (fresh) {
                _accepted[nonce] = true;
                if (nonce > highest) highest = nonce;
            }
            (uint256 seen,) = StateWords.window(word);
            assertEq(seen, highest, "highest never falls");
        }
        assertEq(word & ~StateWords.MASK, rest, "balances untouched");
    }

    function testFuzz_any_window_refuses_what_it_accepted(uint256 word, uint40 nonce)
        public
        pure
    {
        vm.assume(nonce != 0);
        (bool fresh, uint256 after_) = StateWords.spend(word, nonce);
        (bool again,) = StateWords.spend(after_, nonce);
        assertTrue(!again, "never twice");
        if (!fresh) assertEq(after_, word, "a refusal changes nothing");
    }

    function testFuzz_a_lane_keeps_to_its_half(
        uint256 word,
        uint64 nonce,
        uint64 filled,
        bool upper
    ) public pure {
        uint256 shift = upper ? 128 : 0;
        uint256 written = StateWords.withLane(word, shift, nonce, filled);
        (uint256 n, uint256 f) = StateWords.lane(written, shift);
        assertEq(n, nonce, "nonce");
        assertEq(f, filled, "filled");
        assertEq(
            written >> (128 - shift) & type(uint128).max,
            word >> (128 - shift) & type(uint128).max,
            "other half"
        );
    }

    /// @dev So no word serves two accounts, nor one account for two things.
    function testFuzz_a_key_tells_its_account_and_index(address account, uint16 index)
        public
        pure
    {
        uint256 key = StateWords.keyOf(account, index);
        assertEq(address(uint160(key >> 16)), account, "account");
        assertEq(uint16(key), index, "index");
        assertEq(key >> 176, 0, "and nothing else");
    }

    function testFuzz_balances_lie_side_by_side(uint256 word, uint8 number) public pure {
        uint256 shift = StateWords.shiftOf(number);
        assertTrue(shift >= 64 && shift <= 192 && shift % 64 == 0, "above the window");
        assertEq(StateWords.balance(word, number), word >> shift & type(uint64).max, "balance");
        assertEq(StateWords.groupOf(number), uint256(number) / 3, "group");
    }

    /// @dev Halmos proves it too; this runs with every test.
    function testFuzz_a_cancel_kills_up_to_its_nonce_and_nothing_above(
        uint256 word,
        uint40 nonce,
        uint40 other
    ) public pure {
        vm.assume(other != 0);
        (bool before,) = StateWords.spend(word, other);
        uint256 after_ = StateWords.spendUpTo(word, nonce);
        (bool fresh,) = StateWords.spend(after_, other);
        (uint256 highest,) = StateWords.window(after_);
        if (other <= nonce) {
            assertTrue(!fresh, "dead");
        } else if (other > highest || other + StateWords.WINDOW_SIZE > highest) {
            assertTrue(fresh == before, "what lies above is as it was");
        }
        assertEq(after_ >> 64, word >> 64, "balances untouched");
    }

    /// @dev The window is 24 nonces wide: each offset from one inside to one outside.
    function test_a_cancel_at_each_offset_of_the_window() public pure {
        (, uint256 word) = StateWords.spend(0, 100);
        for (uint256 nonce = 70; nonce < 110; ++nonce) {
            uint256 after_ = StateWords.spendUpTo(word, nonce);
            for (uint256 other = 70; other < 130; ++other) {
                (bool fresh,) = StateWords.spend(after_, other);
                bool expected = other > nonce && other != 100 && other > 76;
                assertTrue(fresh == expected, "just those above, and in sight");
            }
        }
    }

    function testFuzz_a_cancel_moves_one_half_of_a_lane(uint256 word, uint64 nonce, bool upper)
        public
        pure
    {
        vm.assume(nonce != type(uint64).max);
        uint256 shift = upper ? 128 : 0;
        (uint256 current, uint256 filled) = StateWords.lane(word, shift);
        uint256 after_ = StateWords.replaceUpTo(word, shift, nonce);
        (uint256 n, uint256 f) = StateWords.lane(after_, shift);
        assertEq(n, current > nonce ? current : uint256(nonce) + 1, "the higher of both");
        assertEq(f, current > nonce ? filled : 0, "fills of a dead order are forgotten");
        (current, filled) = StateWords.lane(word, 128 - shift);
        (n, f) = StateWords.lane(after_, 128 - shift);
        assertEq(n, current, "nonce of the other half");
        assertEq(f, filled, "fills of the other half");
    }
}
