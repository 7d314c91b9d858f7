// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Trade} from "../interfaces/Types.sol";

/// @title Tillbook calldata packing
/// @notice How are orders and trades packed into calldata?
/// Big end first; the widths are bits.
///
///     Order.terms  nonce 64 | baseAmount 64 | quoteAmount 64 | expiry 32 | maxFeePpm 16
///                           | flags 16
///     Order.place  triggerOrDisplay 64 | baseToken 8 | quoteToken 8 | lane 16 | account 160
///     Trade        zero 32 | buy 16 | sell 16 | buyFeePpm 32 | sellFeePpm 32 | baseAmount 64
///                          | quoteAmount 64
///
/// - flags: 1 sell, 2 single-shot, 4 upper half of the lane word, 8 post-only, 16 fill or kill,
///   32 re-price, 64 stop, 128 iceberg, 256 and 512 self-trade mode, 1024 immediate. The contract
///   acts on the first three; the others say how the order acts in the book, and are signed so that
///   an auditor can hold the engine to them. Bits 11 to 15 are the version of this packing: zero.
/// - lane: where a resting order is remembered, 0x8000 or above; zero if it is single-shot.
/// - buy, sell: which of the batch's orders. Fees are signed: a negative one is a rebate.
///
/// @dev One word a trade and two an order, instead of six and eleven: less calldata to pay for and
/// fewer words to decode. The uppermost field of each word takes all bits above it, and is held to
/// its range where it is used, so no bit of calldata is without meaning.
library Packing {
    uint256 private constant MASK_8 = type(uint8).max;
    uint256 private constant MASK_16 = type(uint16).max;
    uint256 private constant MASK_32 = type(uint32).max;
    uint256 private constant MASK_64 = type(uint64).max;

    function nonce(uint256 terms) internal pure returns (uint256) {
        return terms >> 192;
    }

    function orderBase(uint256 terms) internal pure returns (uint256) {
        return terms >> 128 & MASK_64;
    }

    function orderQuote(uint256 terms) internal pure returns (uint256) {
        return terms >> 64 & MASK_64;
    }

    function expiry(uint256 terms) internal pure returns (uint256) {
        return terms >> 32 & MASK_32;
    }

    function maxFeePpm(uint256 terms) internal pure returns (uint256) {
        return terms >> 16 & MASK_16;
    }

    function flags(uint256 terms) internal pure returns (uint256) {
        return terms & MASK_16;
    }

    function triggerOrDisplay(uint256 place) internal pure returns (uint256) {
        return place >> 192;
    }

    /// @notice Both token numbers as one figure, to compare markets with.
    function market(uint256 place) internal pure returns (uint256) {
        return place >> 176 & MASK_16;
    }

    function baseToken(uint256 place) internal pure returns (uint256) {
        return place >> 184 & MASK_8;
    }

    function quoteToken(uint256 place) internal pure returns (uint256) {
        return place >> 176 & MASK_8;
    }

    function lane(uint256 place) internal pure returns (uint256) {
        return place >> 160 & MASK_16;
    }

    function account(uint256 place) internal pure returns (address) {
        return address(uint160(place));
    }

    function buyIndex(Trade trade) internal pure returns (uint256) {
        return Trade.unwrap(trade) >> 208;
    }

    function sellIndex(Trade trade) internal pure returns (uint256) {
        return Trade.unwrap(trade) >> 192 & MASK_16;
    }

    function buyFeePpm(Trade trade) internal pure returns (int256) {
        return int32(uint32(Trade.unwrap(trade) >> 160));
    }

    function sellFeePpm(Trade trade) internal pure returns (int256) {
        return int32(uint32(Trade.unwrap(trade) >> 128));
    }

    function baseAmount(Trade trade) internal pure returns (uint256) {
        return Trade.unwrap(trade) >> 64 & MASK_64;
    }

    function quoteAmount(Trade trade) internal pure returns (uint256) {
        return Trade.unwrap(trade) & MASK_64;
    }
}
