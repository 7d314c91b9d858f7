// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Receipt} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Trade receipt tests
/// @notice Is a receipt good for the trade it tells of, and for nothing else?
contract ReceiptsTest is Fixture {
    uint32 internal constant COUNT = 5;
    Draft internal buy;
    Draft internal sell;
    Batch internal batch;
    bytes32[] internal leaves;

    /// @dev Five trades of 1, 2, .. 5 hundredths between two orders; an odd leaf is promoted twice.
    function setUp() public override {
        super.setUp();
        (buy, sell) = (buyDraft(), sellDraft());
        Batch memory sealed_ = seal(buy, sell);
        sealed_.trades = new Match[](COUNT);
        for (uint64 i; i < COUNT; ++i) {
            Match memory trade = oneTrade();
            (trade.baseAmount, trade.quoteAmount) = (ONE / 100 * (i + 1), PRICE / 100 * (i + 1));
            trade.sellFeePpm = -200;
            sealed_.trades[i] = trade;
            leaves.push(leafOf(i, trade));
        }
        settle(sealed_);
        batch.header = sealed_.header;
    }

    function leafOf(uint256 index, Match memory trade) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                index,
                digestOf(buy),
                digestOf(sell),
                trade.baseAmount,
                trade.quoteAmount,
                trade.quoteAmount / 1_000,
                -int256(uint256(trade.quoteAmount / 5_000))
            )
        );
    }

    function receiptOf(uint32 index) internal view returns (Receipt memory receipt) {
        uint64 quote_ = PRICE / 100 * (index + 1);
        receipt.header = batch.header;
        receipt.tradeCount = COUNT;
        receipt.index = index;
        (receipt.buy, receipt.sell) = (signedOf(buy), signedOf(sell));
        (receipt.baseAmount, receipt.quoteAmount) = (ONE / 100 * (index + 1), quote_);
        (receipt.buyFee, receipt.sellFee) = (int64(quote_ / 1_000), -int64(quote_ / 5_000));
        receipt.siblings = pathOf(leaves, index);
    }

    function refuseReceipt(Receipt memory receipt, string memory what) internal view {
        assertTrue(!exchange.verifyReceipt(receipt), what);
    }

    function test_each_trade_has_its_receipt() public view {
        for (uint32 i; i < COUNT; ++i) {
            assertTrue(exchange.verifyReceipt(receiptOf(i)), "good");
        }
    }

    function test_a_forged_amount_fee_or_reference() public view {
        Receipt memory receipt = receiptOf(2);
        receipt.baseAmount += 1;
        refuseReceipt(receipt, "base");
        receipt = receiptOf(2);
        receipt.quoteAmount -= 1;
        refuseReceipt(receipt, "quote");
        receipt = receiptOf(2);
        receipt.buyFee += 1;
        refuseReceipt(receipt, "buyer's fee");
        receipt = receiptOf(2);
        receipt.sellFee = -receipt.sellFee;
        refuseReceipt(receipt, "seller's fee");
        receipt = receiptOf(2);
        receipt.sell.ref = "another invoice";
        refuseReceipt(receipt, "reference");
    }

    function test_another_place_batch_or_path() public view {
        Receipt memory receipt = receiptOf(2);
        receipt.index = 3;
        refuseReceipt(receipt, "index");
        receipt = receiptOf(2);
        receipt.tradeCount = 6;
        refuseReceipt(receipt, "count");
        receipt = receiptOf(2);
        receipt.header.batch = 2;
        refuseReceipt(receipt, "a batch to come");
        receipt = receiptOf(2);
        receipt.header.closeTime += 1;
        refuseReceipt(receipt, "header");
        receipt = receiptOf(2);
        receipt.siblings[0] ^= bytes32(uint256(1));
        refuseReceipt(receipt, "sibling");
        receipt = receiptOf(2);
        receipt.siblings = new bytes32[](0);
        refuseReceipt(receipt, "no path");
        receipt = receiptOf(4);
        receipt.index = 5;
        refuseReceipt(receipt, "beyond the last");
    }

    function test_the_other_side_up() public view {
        Receipt memory receipt = receiptOf(0);
        (receipt.buy, receipt.sell) = (receipt.sell, receipt.buy);
        refuseReceipt(receipt, "sides");
    }
}
