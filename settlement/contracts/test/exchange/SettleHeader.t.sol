// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/IExchange.sol";
import {Rig} from "../Rig.sol";

/// @title Which batches are refused for their number, history, time or keys?
contract SettleHeaderTest is Rig {
    function test_only_the_operator_settles() public {
        Batch memory batch = plainBatch();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IExchange.NotOperator.selector, alice));
        send(batch);
    }

    function test_the_same_batch_settles_once() public {
        Batch memory batch = plainBatch();
        settle(batch);
        refuse(batch, abi.encodeWithSelector(IExchange.BatchOutOfOrder.selector, 2, 1));
    }

    function test_a_batch_on_another_history_is_refused() public {
        settle(plainBatch());
        Batch memory batch = plainBatch();
        bytes32 expected = batch.header.prevHead;
        batch.header.prevHead = "elsewhere";
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.WrongPrevHead.selector, expected, bytes32("elsewhere")
            )
        );
    }

    function test_a_gap_in_the_log() public {
        settle(plainBatch());
        Batch memory batch = plainBatch();
        batch.header.firstSequence += 1;
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.SequenceGap.selector,
                batch.header.firstSequence - 1,
                batch.header.firstSequence
            )
        );
    }

    function test_the_first_batch_takes_up_any_log() public {
        Batch memory batch = plainBatch();
        batch.header.firstSequence = 1_000;
        settle(batch);
        same(exchange.nextSequence(), 1_002, "after its two commands");
    }

    function test_close_time_never_goes_back() public {
        settle(plainBatch());
        Batch memory batch = plainBatch();
        batch.header.closeTime -= 1;
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.CloseTimeTooEarly.selector,
                batch.header.closeTime + 1,
                batch.header.closeTime
            )
        );
    }

    function test_a_batch_beyond_the_horizon_is_refused() public {
        Batch memory batch = plainBatch();
        vm.warp(block.timestamp + HORIZON + 1);
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.CloseTimeTooEarly.selector,
                batch.header.closeTime + 1,
                batch.header.closeTime
            )
        );
    }

    function test_close_time_is_not_in_the_future() public {
        Batch memory batch = plainBatch();
        batch.header.closeTime += 16;
        refuse(
            batch,
            abi.encodeWithSelector(
                IExchange.CloseTimeTooLate.selector,
                batch.header.closeTime - 1,
                batch.header.closeTime
            )
        );
    }

    function test_clocks_may_differ_a_little() public {
        Batch memory batch = plainBatch();
        batch.header.closeTime += 15;
        settle(batch);
    }

    function test_no_word_is_in_memory_twice() public {
        Batch memory batch = plainBatch();
        batch.keys[1] = batch.keys[0];
        refuse(batch, abi.encodeWithSelector(IExchange.KeysNotAscending.selector, 1));
    }

    function test_keys_in_falling_order_are_refused() public {
        Batch memory batch = plainBatch();
        (batch.keys[0], batch.keys[1]) = (batch.keys[1], batch.keys[0]);
        refuse(batch, abi.encodeWithSelector(IExchange.KeysNotAscending.selector, 1));
    }

    function test_nothing_settles_after_the_dead_man_switch() public {
        vm.warp(block.timestamp + DEADMAN_DELAY + 1);
        exchange.openExits();
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.SettlementClosed.selector));
    }
}
