// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "../Fixture.sol";

/// @title Tests of a batch's bits
/// @notice Which bits of a batch may somebody else choose than whoever signed its orders?
/// @dev Each bit of a sealed batch is flipped, one at a time: 5,376 of them.
contract BitsTest is Fixture {
    /// @dev Words behind the selector: six of the header, two that say where the lists begin, the
    /// count of orders, five for each of two orders, the count of trades, a trade.
    uint256 private constant WORDS = 21;
    uint256 private constant CLOSE_TIME = 2;
    uint256 private constant LOG_ROOT = 3;
    uint256 private constant COMMANDS = 5;
    uint256 private constant TRADE = 20;

    /// @dev Flip bit `bit` of word `word`, counted from the lowest.
    function flip(bytes memory message, uint256 word, uint256 bit) private pure {
        uint256 place = 4 + 32 * word + 31 - bit / 8;
        message[place] ^= bytes1(uint8(1 << bit % 8));
    }

    /// @dev May the operator say this? Only of when, and of its own log and fees.
    function isTheOperators(uint256 word, uint256 bit) private pure returns (bool) {
        if (word == LOG_ROOT) return true;
        if (word == COMMANDS) return bit < 32;
        if (word == CLOSE_TIME) return bit < 64;
        return word == TRADE && bit >= 128 && bit < 192;
    }

    function test_only_what_is_the_operators_may_be_changed() public {
        bytes memory message = callOf(plainBatch());
        assertEq(message.length, 4 + 32 * WORDS, "two orders and a trade");
        uint256 start = vm.snapshotState();
        settle(plainBatch());
        bytes32 plain = exchange.head();
        vm.revertToState(start);
        uint256[WORDS] memory accepted;
        for (uint256 word; word < WORDS; ++word) {
            for (uint256 bit; bit < 256; ++bit) {
                flip(message, word, bit);
                vm.prank(operator);
                (bool done,) = address(exchange).call(message);
                flip(message, word, bit);
                if (!done) continue;
                assertTrue(isTheOperators(word, bit), "was signed, or is ours");
                assertTrue(exchange.head() != plain, "and the head tells");
                ++accepted[word];
                vm.revertToState(start);
                start = vm.snapshotState();
            }
        }
        assertEq(accepted[LOG_ROOT], 256, "any root of a log");
        assertEq(accepted[COMMANDS], 31, "any count but zero");
        assertTrue(accepted[CLOSE_TIME] > 3, "a close time within its bounds");
        assertTrue(accepted[TRADE] > 10, "fees below what was signed");
    }
}
