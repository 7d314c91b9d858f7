// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Words} from "../../src/libraries/Words.sol";
import {Base} from "../Base.sol";

/// @title Does the replay window accept each nonce once, and do fields keep to their bits?
contract WordsTest is Base {
    mapping(uint256 nonce => bool accepted) private _accepted;

    function testFuzz_a_nonce_is_accepted_once(uint256 seed, uint256 word) public {
        word &= ~Words.MASK;
        uint256 rest = word;
        uint256 highest;
        for (uint256 i; i < 64; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 nonce = 1 + (highest > 30 ? highest - 30 : 0) + seed % 40;
            bool fresh;
            bool expected = !_accepted[nonce] && nonce + Words.WINDOW_SIZE > highest;
            (fresh, word) = Words.spend(word, nonce);
            yes(fresh == expected, "fresh and not left behind");
            if (fresh) {
                _accepted[nonce] = true;
                if (nonce > highest) highest = nonce;
            }
            (uint256 seen,) = Words.window(word);
            same(seen, highest, "highest never falls");
        }
        same(word & ~Words.MASK, rest, "balances untouched");
    }

    function testFuzz_any_window_refuses_what_it_accepted(uint256 word, uint40 nonce)
        public
        pure
    {
        vm.assume(nonce != 0);
        (bool fresh, uint256 after_) = Words.spend(word, nonce);
        (bool again,) = Words.spend(after_, nonce);
        yes(!again, "never twice");
        if (!fresh) same(after_, word, "a refusal changes nothing");
    }

    function testFuzz_a_lane_keeps_to_its_half(
        uint256 word,
        uint64 nonce,
        uint64 filled,
        bool upper
    ) public pure {
        uint256 shift = upper ? 128 : 0;
        uint256 written = Words.withLane(word, shift, nonce, filled);
        (uint256 n, uint256 f) = Words.lane(written, shift);
        same(n, nonce, "nonce");
        same(f, filled, "filled");
        same(
            written >> (128 - shift) & type(uint128).max,
            word >> (128 - shift) & type(uint128).max,
            "other half"
        );
    }

    function testFuzz_a_key_tells_its_account(address account, uint16 index) public pure {
        uint256 key = Words.keyOf(account, index);
        same(Words.accountOf(key), account, "account");
        same(key & Words.INDEX_MASK, index, "index");
    }

    function testFuzz_balances_lie_side_by_side(uint256 word, uint8 number) public pure {
        uint256 shift = Words.shiftOf(number);
        yes(shift >= 64 && shift <= 192 && shift % 64 == 0, "above the window");
        same(Words.balance(word, number), word >> shift & type(uint64).max, "balance");
        same(Words.groupOf(number), uint256(number) / 3, "group");
    }
}
