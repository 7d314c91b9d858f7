// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Header,
    KeyGrant,
    KeyRevocation,
    KeyScope,
    Order,
    Receipt,
    SignedOrder,
    Trade,
    Withdrawal
} from "./Types.sol";

/// @title Tillbook exchange interface
/// @notice What may one say to the exchange, and how can it refuse?
/// Amounts are pips unless the name says raw. Every refusal carries the figures that
/// explain it.
interface IExchange {
    // ---------------------------------------------------------------- roles and set-up

    /// @notice Only the operator may do this.
    error NotOperator(address caller);
    /// @notice Only the admin may do this.
    error NotAdmin(address caller);
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice The exit delay must exceed the horizon, and the custodian's delay be twice the exit
    /// delay.
    error DelaysTooShort(
        uint64 horizon, uint64 exitDelay, uint64 deadmanDelay, uint64 custodianDelay
    );

    /// @notice The operator was replaced.
    event OperatorChanged(address operator);
    /// @notice The receiver of fees was replaced.
    event FeeReceiverChanged(address feeReceiver);

    // ---------------------------------------------------------------- tokens

    /// @notice This token is not listed.
    error UnknownToken(address token);
    /// @notice No token has this number.
    error UnknownTokenNumber(uint256 number);
    /// @notice A token is listed once only.
    error TokenAlreadyListed(address token, uint8 number);
    /// @notice There is no contract at this address.
    error NotAContract(address token);
    /// @notice A scale is positive, or less than -1 (one pip per raw unit is +1).
    error BadUnitScale(int64 unitScale);
    /// @notice The token is neither deposited nor traded, for now. It can be withdrawn.
    error TokenPaused(address token);
    /// @notice The most tokens an exchange can hold are listed.
    error TooManyTokens(uint256 limit);

    /// @notice A token was listed under the next number.
    event TokenListed(uint8 number, address token, int64 unitScale);

    /// @notice Deposits and trades of the token were stopped, or allowed again.
    event TokenPauseSet(address indexed token, bool paused);

    // ---------------------------------------------------------------- amounts and balances

    /// @notice The amount is zero.
    error ZeroAmount();
    /// @notice The raw amount is not a whole number of pips.
    error NotWholePips(address token, uint256 rawAmount, int64 unitScale);
    /// @notice The pips are not a whole number of raw units.
    error NotWholeRawUnits(address token, uint64 amount, int64 unitScale);
    /// @notice The balance would not fit into 64 bits.
    error BalanceOverflow(address account, uint256 number, uint256 balance, uint256 amount);
    /// @notice The balance is smaller than the amount.
    error InsufficientBalance(address account, uint256 number, uint256 balance, uint256 amount);

    /// @notice The custodian obeys `exchange` now: what is deposited here could never leave.
    error Replaced(address exchange);

    /// @notice `amount` was credited to `account`.
    event Deposited(
        address indexed account, address indexed token, uint64 amount, bytes32 indexed ref
    );
    /// @notice Accrued fees were paid to the fee receiver.
    event FeesSwept(address indexed token, address indexed to, uint64 amount);

    // ---------------------------------------------------------------- settlement: the header

    /// @notice Settlement was closed for good by the dead-man switch.
    error SettlementClosed();
    /// @notice Batches come without gaps.
    error BatchOutOfOrder(uint64 expected, uint64 got);
    /// @notice The batch was built on another history.
    error WrongPrevHead(bytes32 expected, bytes32 got);
    /// @notice Each batch takes up the log where the one before left it, the first at 1.
    error SequenceGap(uint64 expected, uint64 got);
    /// @notice Trades come from commands, so a batch with trades covers some.
    error TradesWithoutCommands();
    /// @notice The close time lies before the last batch's, or beyond the horizon.
    error CloseTimeTooEarly(uint64 earliest, uint64 got);
    /// @notice The close time lies in the future.
    error CloseTimeTooLate(uint64 latest, uint64 got);

    // ---------------------------------------------------------------- settlement: orders

    /// @notice A resting order names no lane, or a single-shot one names a lane.
    error NotALane(uint256 order, uint256 index);
    /// @notice A flag without meaning is set, or the packing is of another version.
    error UnknownFlags(uint256 order, uint256 flags);
    /// @notice A single-shot order waits for nothing and has no half of a lane.
    error ContradictoryFlags(uint256 order, uint256 flags);
    /// @notice A market needs two different tokens.
    error SameToken(uint256 order, uint256 number);
    /// @notice The order expired before the batch closed.
    error OrderExpired(uint256 order, uint256 expiry, uint256 closeTime);
    /// @notice The order has no trade in the batch. Its nonce is its owner's, not the operator's.
    error OrderWithoutTrade(uint256 order);
    /// @notice Window nonces lie in 1 .. 2**40 - 1.
    error NonceOutOfRange(uint256 order, uint256 nonce);
    /// @notice The replay window has seen this nonce, or has left it behind.
    error NonceUsed(uint256 order, uint256 nonce, uint256 highest);
    /// @notice A higher nonce replaced the order on its lane, before or earlier in this batch.
    error LaneReplaced(uint256 order, uint256 nonce, uint256 laneNonce);
    /// @notice The signature has a high s, or recovers to nobody.
    error BadSignature(uint256 order);
    /// @notice The signer is neither the account nor one of its keys.
    error WrongSigner(uint256 order, address account, address signer);

    // ---------------------------------------------------------------- settlement: session keys

    /// @notice The key may not trade this market or side.
    error KeyOutOfScope(uint256 order, address key);
    /// @notice The key expired before the batch closed.
    error KeyExpired(uint256 order, address key, uint256 expiry, uint256 closeTime);
    /// @notice The key was revoked before the batch closed.
    error KeyIsRevoked(uint256 order, address key, uint256 revokedAt, uint256 closeTime);
    /// @notice The key has not enough notional left for the trade.
    error KeyCapExceeded(uint256 trade, address key, uint256 notionalLeft, uint256 quoteAmount);
    /// @notice The order would let the key sell this cheap: its limit is below the floor.
    error BelowFloorPrice(uint256 order, address key, uint64 floorPrice);

    // ---------------------------------------------------------------- settlement: trades

    /// @notice The order named as buyer sells, or the one named as seller buys.
    error WrongSide(uint256 trade);
    /// @notice The orders are of different markets.
    error MarketMismatch(uint256 trade);
    /// @notice No base changes hands.
    error EmptyTrade(uint256 trade);
    /// @notice The trade is dearer than the buyer's limit.
    error BuyLimitBroken(uint256 trade);
    /// @notice The trade is cheaper than the seller's limit.
    error SellLimitBroken(uint256 trade);
    /// @notice The fee is above the signer's cap or above the contract's.
    error FeeTooHigh(uint256 trade, uint256 feePpm, uint256 capPpm);
    /// @notice One side's rebate is more than the other side's fee.
    error RebateAboveFee(uint256 trade, int256 buyFee, int256 sellFee);
    /// @notice The order would be filled beyond its amount.
    error Overfilled(uint256 order, uint256 filled, uint256 baseAmount);

    /// @notice A batch was settled, whole.
    event BatchSettled(uint64 indexed batch, bytes32 head, bytes32 logRoot, bytes32 tradesRoot);

    // ---------------------------------------------------------------- keys, exits, withdrawals

    /// @notice The nonce must lie above the account's last.
    error NonceTooLow(address account, uint64 last, uint64 got);
    /// @notice The signed text is out of date.
    error Expired(uint32 expiry, uint256 now_);
    /// @notice Sides are 1 (buy), 2 (sell) or 3 (both).
    error BadSides(uint8 sides);
    /// @notice A key that may sell needs a floor price: without one its cap would bind nothing.
    error NoFloorPrice(address key);
    /// @notice A key that still may be in a sealed batch can only be widened.
    error KeyWouldNarrow(address account, address key);
    /// @notice Not yet: the batches that the withdrawal stands behind are not settled.
    error LogNotSettled(uint64 nextSequence, uint64 afterSequence);
    /// @notice There is no such key, or it is revoked already.
    error NoLiveKey(address account, address key);
    /// @notice One request per account and lane half, or window, at a time.
    error CancelPending(address account, uint16 index, bool upperHalf, uint64 readyAt);
    /// @notice There is no request.
    error NoCancel(address account, uint16 index, bool upperHalf);
    /// @notice The request is too young.
    error CancelNotReady(uint64 readyAt, uint256 now_);
    /// @notice Only lanes and the window, index 0 and lower half, remember orders.
    error NothingToCancel(uint16 index, bool upperHalf);
    /// @notice Beyond what the lane or the window can count.
    error CancelNonceTooHigh(uint64 nonce);
    /// @notice One request per account and token at a time.
    error ExitPending(address account, address token, uint64 readyAt);
    /// @notice There is no request.
    error NoExit(address account, address token);
    /// @notice The request is too young.
    error ExitNotReady(uint64 readyAt, uint256 now_);
    /// @notice The operator is alive: the last batch is too young.
    error OperatorAlive(uint64 deadAfter, uint256 now_);

    /// @notice `account` lets `key` sign orders.
    event KeyGranted(
        address indexed account,
        address indexed key,
        address base,
        address quote,
        uint8 sides,
        uint32 expiry,
        uint64 notionalCap,
        uint64 floorPrice
    );
    /// @notice `key` is dead from `effectiveAt` on.
    event KeyRevoked(address indexed account, address indexed key, uint64 effectiveAt);
    /// @notice `account` wants its orders up to `nonce` dead on a lane half, or in the window.
    event CancelRequested(
        address indexed account, uint16 index, bool upperHalf, uint64 nonce, uint64 readyAt
    );
    /// @notice The account's orders up to `nonce` can settle no more.
    event CancelFinished(address indexed account, uint16 index, bool upperHalf, uint64 nonce);
    /// @notice `account` wants `amount` out.
    event ExitRequested(
        address indexed account, address indexed token, uint64 amount, uint64 readyAt
    );
    /// @notice `account` stays.
    event ExitCancelled(address indexed account, address indexed token);
    /// @notice `amount` was paid to `account`.
    event ExitFinished(address indexed account, address indexed token, uint64 amount);
    /// @notice The dead-man switch: no batch will ever settle again and exits need no delay.
    event ExitsOpened(uint64 lastBatchAt);
    /// @notice `amount` was paid to `to` by consent of owner and operator.
    event Withdrawn(
        address indexed account, address indexed token, address to, uint64 amount, uint64 nonce
    );

    // ---------------------------------------------------------------- functions

    /// @notice Settle one batch, whole or not at all. Operator only.
    /// @param header Number, history and time of the batch.
    /// @param orders Each signed order once, whatever the number of its trades. Two of one lane
    /// half with the lower nonce first. Orders of one market after each other are cheapest.
    /// @param trades In the engine's trade order.
    function settle(Header calldata header, Order[] calldata orders, Trade[] calldata trades)
        external;

    /// @notice List `token` under the next number. Admin only.
    /// @param unitScale Raw units in one pip, or, if negative, pips in one raw unit.
    function listToken(address token, int64 unitScale) external;
    /// @notice Stop deposits and trades of `token`, or allow them again. Admin only; nothing stops
    /// exits and withdrawals.
    function setPaused(address token, bool paused) external;
    /// @notice Replace the operator. Admin only.
    function setOperator(address operator) external;
    /// @notice Replace the receiver of fees, so that a denylisted one cannot block them. Admin
    /// only.
    function setFeeReceiver(address feeReceiver) external;
    /// @notice Pay the accrued fees of `token` to the fee receiver. Anyone may call.
    function sweepFees(address token) external;

    /// @notice Pull `rawAmount` from the caller and credit what arrived to `account`.
    /// @param ref Free reference, for example an invoice; zero for none.
    function deposit(address token, uint256 rawAmount, address account, bytes32 ref) external;

    /// @notice Start to leave with up to `amount`; takes effect after the exit delay.
    function requestExit(address token, uint64 amount) external;
    /// @notice Take the caller's request back.
    function cancelExit(address token) external;
    /// @notice Pay `min(amount, balance)` to `account`. Anyone may call, once the request is ready.
    function finishExit(address account, address token) external;
    /// @notice Close settlement for good if the operator is dead. Anyone may call.
    function openExits() external;
    /// @notice Pay out at once what owner and operator both signed. Anyone may call.
    /// @param afterSequence Place of the last trade that the ledger had booked before; the
    /// operator's signature is over it too, and nothing is paid before a batch has covered it.
    function withdraw(
        Withdrawal calldata withdrawal,
        uint64 afterSequence,
        bytes calldata ownerSignature,
        bytes calldata operatorSignature
    ) external;

    /// @notice Let a key sign orders. Anyone may relay; the account itself needs no signature.
    function grantKey(KeyGrant calldata grant, bytes calldata signature) external;
    /// @notice Take the caller's key back, after the exit delay.
    /// @param nonce Above the account's last for grants; a grant signed with one up to it is void.
    function revokeKey(address key, uint64 nonce) external;
    /// @notice Take an account's key back, after the exit delay. Anyone may relay.
    function revokeKeyFor(KeyRevocation calldata revocation, bytes calldata signature) external;

    /// @notice Start to cancel the caller's orders up to `nonce`; counts after the exit delay.
    /// @param index A lane, or 0 for the replay window of single-shot orders.
    /// @param upperHalf Which half of the lane; false for the window.
    function requestCancel(uint16 index, bool upperHalf, uint64 nonce) external;
    /// @notice Let a cancel take effect. Anyone may call, once the request is ready.
    function finishCancel(address account, uint16 index, bool upperHalf) external;

    // ---------------------------------------------------------------- views

    /// @notice Pips of `token` that `account` owns here.
    function balanceOf(address account, address token) external view returns (uint64 pips);
    /// @notice Pips of `token` accrued as fees and not yet swept.
    function feesOf(address token) external view returns (uint64 pips);
    /// @notice Nonce and filled base pips of one lane half.
    function laneOf(address account, uint16 lane, bool upperHalf)
        external
        view
        returns (uint64 nonce, uint64 filled);
    /// @notice Highest nonce seen by the replay window, and which of the 24 up to it are spent.
    function windowOf(address account) external view returns (uint40 highest, uint24 bitmap);
    /// @notice What is left of a session key's grant.
    function keyOf(address account, address key) external view returns (KeyScope memory scope);
    /// @notice An account's exit request; `readyAt` is zero if there is none.
    function exitOf(address account, address token)
        external
        view
        returns (uint64 amount, uint64 readyAt);
    /// @notice An account's cancel request; `readyAt` is zero if there is none.
    function cancelOf(address account, uint16 index, bool upperHalf)
        external
        view
        returns (uint64 nonce, uint64 readyAt);
    /// @notice Last nonces used by `account` for withdrawals and for grants.
    function noncesOf(address account) external view returns (uint64 withdrawal, uint64 grant);
    /// @notice Number of a listed token.
    function tokenNumber(address token) external view returns (uint8 number);
    /// @notice A listed token by number.
    function tokens(uint256 number)
        external
        view
        returns (address token, int64 unitScale, bool paused);
    /// @notice How many tokens are listed.
    function tokenCount() external view returns (uint256 count);
    /// @notice Head of a settled batch; zero for batch 0 and for batches to come.
    function batchHash(uint256 batch) external view returns (bytes32 head);
    /// @notice Head of the last batch.
    function head() external view returns (bytes32);
    /// @notice Number of the next batch; the first is 1.
    function nextBatch() external view returns (uint64);
    /// @notice Sequence number at which the next batch's log begins; the first is 1.
    function nextSequence() external view returns (uint64);
    /// @notice Close time of the last batch.
    function lastCloseTime() external view returns (uint48);
    /// @notice Block time of the last batch, or of deployment.
    function lastBatchAt() external view returns (uint48);
    /// @notice True once the dead-man switch was thrown.
    function exitsOpen() external view returns (bool);
    /// @notice The EIP-712 domain separator.
    function domainSeparator() external view returns (bytes32);
    /// @notice True if a settled batch has just this trade, between these orders, at this place.
    function verifyReceipt(Receipt calldata receipt) external view returns (bool);
    /// @notice Digest a wallet signs for an order.
    function orderDigest(SignedOrder calldata order) external view returns (bytes32);
    /// @notice Digest the owner signs for a withdrawal.
    function withdrawalDigest(Withdrawal calldata withdrawal) external view returns (bytes32);
    /// @notice Digest a wallet signs to grant a key.
    function grantDigest(KeyGrant calldata grant) external view returns (bytes32);
    /// @notice Who may settle and countersign withdrawals.
    function operator() external view returns (address);
    /// @notice Who may list tokens and replace operator and fee receiver.
    function admin() external view returns (address);
    /// @notice Who gets swept fees.
    function feeReceiver() external view returns (address);
    /// @notice The contract that holds the tokens.
    function custodian() external view returns (address);
    /// @notice Most seconds between a batch's close time and its block.
    function horizon() external view returns (uint64);
    /// @notice Seconds until a request of a user takes effect; longer than the horizon.
    function exitDelay() external view returns (uint64);
    /// @notice Seconds without a batch after which the operator counts as dead.
    function deadmanDelay() external view returns (uint64);
}
