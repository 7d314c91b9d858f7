// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Forbidden} from "./Forbidden.sol";

/// @title Forbidden headers
/// @notice Which batches are forbidden for who sends them, and when, and on what?
contract ForbiddenHeadersTest is Forbidden {
    function number(uint64 expected, uint64 got) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.BatchOutOfOrder.selector, expected, got);
    }

    function tooEarly(uint256 earliest, uint64 got) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IExchange.CloseTimeTooEarly.selector, earliest, got);
    }

    function test_before_any_batch() public {
        bytes memory reason = abi.encodeWithSelector(IExchange.NotOperator.selector, alice);
        forbid("sent by a trader", alice, callOf(plainBatch()), reason);
        reason = abi.encodeWithSelector(IExchange.NotOperator.selector, address(this));
        forbid("sent by the admin", address(this), callOf(plainBatch()), reason);

        Batch memory batch = plainBatch();
        batch.header.batch = 0;
        forbid("number zero", batch, number(1, 0));
        batch.header.batch = 2;
        forbid("a number left out", batch, number(1, 2));

        batch = plainBatch();
        batch.header.prevHead = "elsewhere";
        reason = abi.encodeWithSelector(
            IExchange.WrongPrevHead.selector, bytes32(0), bytes32("elsewhere")
        );
        forbid("a history before the first batch", batch, reason);

        batch = plainBatch();
        batch.header.firstSequence = 2;
        reason = abi.encodeWithSelector(IExchange.SequenceGap.selector, 1, 2);
        forbid("a log that begins late", batch, reason);
        batch = plainBatch();
        batch.header.commandCount = 0;
        reason = abi.encodeWithSelector(IExchange.TradesWithoutCommands.selector);
        forbid("trades that no command made", batch, reason);
    }

    function test_after_a_batch() public {
        Batch memory first = plainBatch();
        settle(first);
        forbid("the same bytes twice", first, number(2, 1));

        Batch memory batch = plainBatch();
        batch.header.prevHead = 0;
        bytes memory reason =
            abi.encodeWithSelector(IExchange.WrongPrevHead.selector, exchange.head(), bytes32(0));
        forbid("a fork of history", batch, reason);

        batch = plainBatch();
        batch.header.firstSequence = 4;
        reason = abi.encodeWithSelector(IExchange.SequenceGap.selector, 3, 4);
        forbid("a gap in the log", batch, reason);
        batch.header.firstSequence = 2;
        reason = abi.encodeWithSelector(IExchange.SequenceGap.selector, 3, 2);
        forbid("a log that overlaps the last", batch, reason);

        batch = plainBatch();
        uint64 now_ = uint64(block.timestamp);
        batch.header.closeTime = now_ - 1;
        forbid("a close time before the last", batch, tooEarly(now_, now_ - 1));
    }

    function test_at_the_wrong_time() public {
        Batch memory batch = plainBatch();
        uint64 now_ = uint64(block.timestamp);
        batch.header.closeTime = now_ + 16;
        bytes memory reason =
            abi.encodeWithSelector(IExchange.CloseTimeTooLate.selector, now_ + 15, now_ + 16);
        forbid("a close time in the future", batch, reason);

        batch.header.closeTime = now_;
        vm.warp(now_ + HORIZON + 1);
        forbid("a close time beyond the horizon", batch, tooEarly(now_ + 1, now_));

        vm.warp(now_ + DEADMAN_DELAY + 1);
        exchange.openExits();
        reason = abi.encodeWithSelector(IExchange.SettlementClosed.selector);
        forbid("a batch after the dead man switch", plainBatch(), reason);
    }
}
