// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../../src/interfaces/IExchange.sol";
import {Order, Trade} from "../../../src/interfaces/Types.sol";
import {Fixture} from "../../Fixture.sol";

/// @title Catalogue of forbidden settlements
/// @notice How does a catalogue of forbidden settlements hold each to its exact error?
/// @dev A refusal leaves no trace, so one test can go through many. `tests/chain` counts the names.
abstract contract Forbidden is Fixture {
    error Settled(string name);
    error WrongReason(string name, bytes told, bytes expected);

    bytes4 private constant PANIC = 0x4e487b71;

    function forbid(string memory name, Batch memory batch, bytes memory reason) internal {
        forbid(name, operator, callOf(batch), reason);
    }

    function forbid(
        string memory name,
        Batch memory batch,
        Order[] memory orders,
        Trade[] memory trades,
        bytes memory reason
    ) internal {
        bytes memory message = abi.encodeCall(IExchange.settle, (batch.header, orders, trades));
        forbid(name, operator, message, reason);
    }

    function forbid(string memory name, address sender, bytes memory message, bytes memory reason)
        internal
    {
        vm.prank(sender);
        (bool done, bytes memory told) = address(exchange).call(message);
        if (done) revert Settled(name);
        if (keccak256(told) != keccak256(reason)) revert WrongReason(name, told, reason);
    }

    /// @dev Who seems to have signed `digest` with the compact signature of `entry`.
    function seeming(bytes32 digest, Entry memory entry) internal pure returns (address) {
        uint256 vs = uint256(entry.vs);
        return ecrecover(digest, uint8(vs >> 255) + 27, entry.r, bytes32(vs << 1 >> 1));
    }

    /// @dev What the compiler says about an index beyond the end.
    function outOfBounds() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(PANIC, 0x32);
    }

    function withThird(Draft memory third, Match memory second)
        internal
        view
        returns (Batch memory batch)
    {
        Draft[] memory drafts = new Draft[](3);
        (drafts[0], drafts[1], drafts[2]) = (buyDraft(), sellDraft(), third);
        batch = seal(drafts, oneTrade());
        batch.trades = nextTo(oneTrade(), second);
    }

    function big(uint64 tokens) internal view returns (Draft memory buy, Draft memory sell) {
        (buy, sell) = (buyDraft(), sellDraft());
        (buy.baseAmount, buy.quoteAmount) = (tokens * ONE, tokens * PRICE);
        (sell.baseAmount, sell.quoteAmount) = (tokens * ONE, tokens * PRICE);
    }
}
