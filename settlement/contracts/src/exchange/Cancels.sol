// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../interfaces/IExchange.sol";
import {Keys} from "./Keys.sol";
import {CancelRequest} from "../interfaces/Types.sol";
import {StateWords} from "../libraries/StateWords.sol";

/// @title Tillbook on-chain cancels
/// @notice How does an owner cancel orders without the operator?
/// Slowly: a request counts after the exit delay. The quick way is to ask the exchange.
/// @dev Delayed effect: the delay is longer than the horizon, so an order that was matched before
/// the request was seen has settled, or can settle no more, when the request counts. `settle` reads
/// no request: finishing one moves the nonce in the state word that it reads anyway.
abstract contract Cancels is Keys {
    mapping(uint256 keyAndHalf => CancelRequest request) private _cancels;

    /// @inheritdoc IExchange
    function requestCancel(uint16 index, bool upperHalf, uint64 nonce) external {
        bool isWindow = index == 0 && !upperHalf;
        if (!isWindow && index < StateWords.FIRST_LANE) revert NothingToCancel(index, upperHalf);
        uint256 limit = isWindow ? StateWords.WINDOW_NONCE_LIMIT : type(uint64).max;
        if (nonce >= limit) revert CancelNonceTooHigh(nonce);
        CancelRequest storage request = _cancels[_half(msg.sender, index, upperHalf)];
        if (request.readyAt != 0) {
            revert CancelPending(msg.sender, index, upperHalf, request.readyAt);
        }
        request.nonce = nonce;
        request.readyAt = uint64(block.timestamp) + exitDelay;
        emit CancelRequested(msg.sender, index, upperHalf, nonce, request.readyAt);
    }

    /// @inheritdoc IExchange
    function finishCancel(address account, uint16 index, bool upperHalf) external {
        uint256 half = _half(account, index, upperHalf);
        CancelRequest memory request = _cancels[half];
        if (request.readyAt == 0) revert NoCancel(account, index, upperHalf);
        if (block.timestamp < request.readyAt) {
            revert CancelNotReady(request.readyAt, block.timestamp);
        }
        delete _cancels[half];

        StateWord storage word = _words[StateWords.keyOf(account, index)];
        word.bits = index == 0
            ? StateWords.spendUpTo(word.bits, request.nonce)
            : StateWords.replaceUpTo(
                word.bits, upperHalf ? StateWords.HALF_BITS : 0, request.nonce
            );
        emit CancelFinished(account, index, upperHalf, request.nonce);
    }

    /// @inheritdoc IExchange
    function cancelOf(address account, uint16 index, bool upperHalf)
        external
        view
        returns (uint64, uint64)
    {
        CancelRequest storage request = _cancels[_half(account, index, upperHalf)];
        return (request.nonce, request.readyAt);
    }

    function _half(address account, uint16 index, bool upperHalf) private pure returns (uint256) {
        return StateWords.keyOf(account, index) << 1 | (upperHalf ? 1 : 0);
    }
}
