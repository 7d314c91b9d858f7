// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Packing} from "../../src/libraries/Packing.sol";
import {Trade} from "../../src/interfaces/Types.sol";
import {Base} from "../Base.sol";

/// @title Calldata packing tests
/// @notice Does every field come out as it went in, whatever its neighbours hold?
/// @dev Each field is written over words of noise, so a mask that is a bit too wide or a shift that
/// is a bit off reads a neighbour.
contract PackingTest is Base {
    /// @dev `noise` with `width` bits at `shift` replaced.
    function put(uint256 noise, uint256 shift, uint256 width, uint256 value)
        private
        pure
        returns (uint256)
    {
        uint256 mask = ((1 << width) - 1) << shift;
        return noise & ~mask | value << shift;
    }

    function testFuzz_terms(uint256 noise, uint64 wide, uint32 middle, uint16 narrow)
        public
        pure
    {
        assertEq(Packing.nonce(put(noise, 192, 64, wide)), wide, "nonce");
        assertEq(Packing.orderBase(put(noise, 128, 64, wide)), wide, "base");
        assertEq(Packing.orderQuote(put(noise, 64, 64, wide)), wide, "quote");
        assertEq(Packing.expiry(put(noise, 32, 32, middle)), middle, "expiry");
        assertEq(Packing.maxFeePpm(put(noise, 16, 16, narrow)), narrow, "fee cap");
        assertEq(Packing.flags(put(noise, 0, 16, narrow)), narrow, "flags");
    }

    function testFuzz_place(uint256 noise, uint16 wide, uint8 narrow, address account)
        public
        pure
    {
        assertEq(Packing.baseToken(put(noise, 184, 8, narrow)), narrow, "base token");
        assertEq(Packing.quoteToken(put(noise, 176, 8, narrow)), narrow, "quote token");
        assertEq(Packing.market(put(noise, 176, 16, wide)), wide, "both tokens");
        assertEq(Packing.lane(put(noise, 160, 16, wide)), wide, "lane");
        uint256 word = put(noise, 0, 160, uint160(account));
        assertEq(Packing.account(word), account, "account");
    }

    function testFuzz_trades(uint256 noise, uint16 index, uint64 amount, int32 fee) public pure {
        assertEq(Packing.sellIndex(Trade.wrap(put(noise, 192, 16, index))), index, "sell");
        assertEq(Packing.baseAmount(Trade.wrap(put(noise, 64, 64, amount))), amount, "base");
        assertEq(Packing.quoteAmount(Trade.wrap(put(noise, 0, 64, amount))), amount, "quote");
        int256 told = Packing.buyFeePpm(Trade.wrap(put(noise, 160, 32, uint32(fee))));
        assertTrue(told == fee, "buyer's fee, with its sign");
        told = Packing.sellFeePpm(Trade.wrap(put(noise, 128, 32, uint32(fee))));
        assertTrue(told == fee, "seller's fee, with its sign");
    }

    /// @dev Uppermost fields take all bits above them, so that no bit of calldata is ignored.
    function testFuzz_no_bit_above_is_dropped(uint256 noise, uint8 bit) public pure {
        uint256 bitOf = bound(bit, 192, 255);
        uint256 flipped =
            Packing.triggerOrDisplay(noise) ^ Packing.triggerOrDisplay(noise ^ 1 << bitOf);
        assertEq(flipped, 1 << (bitOf - 192), "trigger or display");
        uint256 indexBit = bound(bit, 208, 255);
        Trade other = Trade.wrap(noise ^ 1 << indexBit);
        flipped = Packing.buyIndex(Trade.wrap(noise)) ^ Packing.buyIndex(other);
        assertEq(flipped, 1 << (indexBit - 208), "buyer");
    }
}
