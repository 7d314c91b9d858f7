// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Cancels} from "./Cancels.sol";
import {Custodian} from "../custody/Custodian.sol";
import {Digests} from "../libraries/Digests.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {ExitRequest, Withdrawal} from "../interfaces/Types.sol";

/// @title Tillbook exits and withdrawals
/// @notice How does money leave?
/// Three ways: at once if owner and operator both sign; after a delay if the owner asks; at
/// once if the operator has been silent for so long that it counts as dead.
/// @dev Delayed effect: what the owner alone can do waits longer than the horizon, so a matched
/// trade is settled, or dropped, before its party can leave. What both sign names the place in the
/// log that it stands behind, and waits for it: who sends it, and when, does not matter, nor what a
/// reorganisation does to the order of transactions. All payouts: checks, effects, then the call.
abstract contract Exits is Cancels {
    mapping(address account => mapping(uint256 number => ExitRequest request)) private _exits;
    mapping(address account => uint64 nonce) private _withdrawalNonces;

    // One storage word, written once per batch.
    /// @inheritdoc IExchange
    uint64 public nextBatch = 1;
    /// @inheritdoc IExchange
    uint64 public nextSequence = 1;
    /// @inheritdoc IExchange
    uint48 public lastCloseTime;
    /// @inheritdoc IExchange
    uint48 public lastBatchAt = uint48(block.timestamp);
    /// @inheritdoc IExchange
    bool public exitsOpen;

    /// @inheritdoc IExchange
    function requestExit(address token, uint64 amount) external {
        ExitRequest storage request = _exits[msg.sender][tokenNumber(token)];
        if (amount == 0) revert ZeroAmount();
        if (request.readyAt != 0) revert ExitPending(msg.sender, token, request.readyAt);
        request.amount = amount;
        request.readyAt = uint64(block.timestamp) + exitDelay;
        emit ExitRequested(msg.sender, token, amount, request.readyAt);
    }

    /// @inheritdoc IExchange
    function cancelExit(address token) external {
        uint8 number = tokenNumber(token);
        if (_exits[msg.sender][number].readyAt == 0) revert NoExit(msg.sender, token);
        delete _exits[msg.sender][number];
        emit ExitCancelled(msg.sender, token);
    }

    /// @inheritdoc IExchange
    /// @dev Pays whole raw units; what is less than one stays. An account that spent its balance in
    /// the meantime is paid nothing, and its request still ends.
    function finishExit(address account, address token) external nonReentrant {
        uint8 number = tokenNumber(token);
        ExitRequest memory request = _exits[account][number];
        if (request.readyAt == 0) revert NoExit(account, token);
        if (!exitsOpen && block.timestamp < request.readyAt) {
            revert ExitNotReady(request.readyAt, block.timestamp);
        }
        delete _exits[account][number];

        uint256 held = _balance(account, number);
        uint256 wanted = request.amount < held ? request.amount : held;
        (uint256 amount, uint256 raw) = _wholeRaw(number, wanted);
        _debit(account, number, amount);
        emit ExitFinished(account, token, uint64(amount));
        if (raw != 0) Custodian(custodian).pay(token, account, raw);
    }

    /// @inheritdoc IExchange
    function openExits() external {
        uint64 deadAfter = lastBatchAt + deadmanDelay;
        if (block.timestamp <= deadAfter) revert OperatorAlive(deadAfter, block.timestamp);
        if (exitsOpen) revert SettlementClosed();
        exitsOpen = true;
        emit ExitsOpened(lastBatchAt);
    }

    /// @inheritdoc IExchange
    /// @dev A sequence and not a batch number: a batch that was refused is sealed anew under its
    /// number, with other trades.
    function withdraw(
        Withdrawal calldata withdrawal,
        uint64 afterSequence,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external nonReentrant {
        bytes32 digest = withdrawalDigest(withdrawal);
        Signatures.requireSigner(withdrawal.account, digest, ownerSignature);
        digest = Digests.ofCountersignature(domainSeparator(), digest, afterSequence);
        Signatures.requireSigner(operator, digest, operatorSignature);
        if (nextSequence <= afterSequence) revert LogNotSettled(nextSequence, afterSequence);
        if (withdrawal.expiry < block.timestamp) {
            revert Expired(withdrawal.expiry, block.timestamp);
        }
        uint64 last = _withdrawalNonces[withdrawal.account];
        if (withdrawal.nonce <= last) {
            revert NonceTooLow(withdrawal.account, last, withdrawal.nonce);
        }
        if (withdrawal.to == address(0)) revert ZeroAddress();
        _withdrawalNonces[withdrawal.account] = withdrawal.nonce;
        _payOut(withdrawal);
    }

    /// @inheritdoc IExchange
    function exitOf(address account, address token) external view returns (uint64, uint64) {
        ExitRequest storage request = _exits[account][tokenNumber(token)];
        return (request.amount, request.readyAt);
    }

    /// @inheritdoc IExchange
    function noncesOf(address account) external view returns (uint64 withdrawal, uint64 grant) {
        return (_withdrawalNonces[account], _grantNonces[account]);
    }

    /// @inheritdoc IExchange
    function withdrawalDigest(Withdrawal calldata withdrawal) public view returns (bytes32) {
        return Digests.ofWithdrawal(domainSeparator(), withdrawal);
    }

    function _payOut(Withdrawal calldata withdrawal) private {
        uint8 number = tokenNumber(withdrawal.token);
        if (withdrawal.amount == 0) revert ZeroAmount();
        (uint256 amount, uint256 raw) = _wholeRaw(number, withdrawal.amount);
        if (amount != withdrawal.amount) {
            (, int64 unitScale,) = tokens(number);
            revert NotWholeRawUnits(withdrawal.token, withdrawal.amount, unitScale);
        }
        _debit(withdrawal.account, number, amount);
        emit Withdrawn(
            withdrawal.account,
            withdrawal.token,
            withdrawal.to,
            withdrawal.amount,
            withdrawal.nonce
        );
        Custodian(custodian).pay(withdrawal.token, withdrawal.to, raw);
    }
}
