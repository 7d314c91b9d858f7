// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {
    ReentrancyGuardTransient
} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Custodian} from "../custody/Custodian.sol";
import {Digests} from "../libraries/Digests.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {ListedToken} from "../interfaces/Types.sol";
import {StateWords} from "../libraries/StateWords.sol";

/// @title Tillbook vault
/// @notice Who owns what?
/// Roles, listed tokens, balances, deposits and fees: what every other part stands on.
/// @dev Invariant: for each token, the sum of all balances and accrued fees is at most what the
/// custodian holds, in pips. Only deposits add to the sum, only payouts take from it.
abstract contract Vault is IExchange, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Bounds what a batch can cost by way of tokens; a token number fits into a byte.
    uint256 private constant TOKENS_MAX = 32;

    /// @inheritdoc IExchange
    address public immutable admin;
    /// @inheritdoc IExchange
    address public immutable custodian;
    /// @inheritdoc IExchange
    uint64 public immutable horizon;
    /// @inheritdoc IExchange
    uint64 public immutable exitDelay;
    /// @inheritdoc IExchange
    uint64 public immutable deadmanDelay;

    uint256 private immutable _chainId;
    bytes32 private immutable _domain;

    /// @inheritdoc IExchange
    address public operator;
    /// @inheritdoc IExchange
    address public feeReceiver;

    /// @dev A struct, so that one storage pointer serves to read and to write: the slot of a word
    /// is hashed once for both.
    struct StateWord {
        uint256 bits;
    }

    /// @dev See `StateWords` for the layout of key and word.
    mapping(uint256 key => StateWord word) internal _words;
    mapping(uint256 number => uint256 pips) internal _fees;

    ListedToken[] private _tokens;
    /// @dev One more than the token's number, so that zero means unlisted.
    mapping(address token => uint256 numberPlusOne) private _numbers;

    constructor(
        address admin_,
        address operator_,
        address feeReceiver_,
        Custodian custodian_,
        uint64 horizon_,
        uint64 exitDelay_,
        uint64 deadmanDelay_
    ) {
        if (admin_ == address(0) || operator_ == address(0) || feeReceiver_ == address(0)) {
            revert ZeroAddress();
        }
        uint64 change = custodian_.changeDelay();
        if (exitDelay_ <= horizon_ || change < 2 * exitDelay_ || deadmanDelay_ <= horizon_) {
            revert DelaysTooShort(horizon_, exitDelay_, deadmanDelay_, change);
        }
        admin = admin_;
        operator = operator_;
        feeReceiver = feeReceiver_;
        custodian = address(custodian_);
        horizon = horizon_;
        exitDelay = exitDelay_;
        deadmanDelay = deadmanDelay_;
        _chainId = block.chainid;
        _domain = Digests.domain(address(this));
    }

    // ---------------------------------------------------------------- roles

    /// @inheritdoc IExchange
    function setOperator(address operator_) external {
        _onlyAdmin();
        if (operator_ == address(0)) revert ZeroAddress();
        operator = operator_;
        emit OperatorChanged(operator_);
    }

    /// @inheritdoc IExchange
    function setFeeReceiver(address feeReceiver_) external {
        _onlyAdmin();
        if (feeReceiver_ == address(0)) revert ZeroAddress();
        feeReceiver = feeReceiver_;
        emit FeeReceiverChanged(feeReceiver_);
    }

    // ---------------------------------------------------------------- tokens

    /// @inheritdoc IExchange
    function listToken(address token, int64 unitScale) external {
        _onlyAdmin();
        if (token.code.length == 0) revert NotAContract(token);
        if (unitScale == 0 || unitScale == -1 || unitScale == type(int64).min) {
            revert BadUnitScale(unitScale);
        }
        if (_numbers[token] != 0) revert TokenAlreadyListed(token, tokenNumber(token));
        uint256 number = _tokens.length;
        if (number == TOKENS_MAX) revert TooManyTokens(TOKENS_MAX);
        _tokens.push(ListedToken(token, unitScale, false));
        _numbers[token] = number + 1;
        emit TokenListed(uint8(number), token, unitScale);
    }

    /// @inheritdoc IExchange
    function setPaused(address token, bool paused) external {
        _onlyAdmin();
        _tokens[tokenNumber(token)].paused = paused;
        emit TokenPauseSet(token, paused);
    }

    /// @inheritdoc IExchange
    function tokenNumber(address token) public view returns (uint8) {
        uint256 numberPlusOne = _numbers[token];
        if (numberPlusOne == 0) revert UnknownToken(token);
        return uint8(numberPlusOne - 1);
    }

    /// @inheritdoc IExchange
    function tokens(uint256 number)
        public
        view
        returns (address token, int64 unitScale, bool paused)
    {
        if (number >= _tokens.length) revert UnknownTokenNumber(number);
        ListedToken memory listed = _tokens[number];
        return (listed.token, listed.unitScale, listed.paused);
    }

    /// @inheritdoc IExchange
    function tokenCount() public view returns (uint256) {
        return _tokens.length;
    }

    // ---------------------------------------------------------------- money in and out

    /// @inheritdoc IExchange
    /// @dev What arrived is credited, not what was asked for: some tokens keep a part. The guard is
    /// for tokens that call back in between the two looks at the custodian's balance.
    function deposit(address token, uint256 rawAmount, address account, bytes32 ref)
        external
        nonReentrant
    {
        if (account == address(0)) revert ZeroAddress();
        uint8 number = tokenNumber(token);
        address rules = Custodian(custodian).exchange();
        if (rules != address(this)) revert Replaced(rules);
        uint256 before = IERC20(token).balanceOf(custodian);
        IERC20(token).safeTransferFrom(msg.sender, custodian, rawAmount);
        uint256 received = IERC20(token).balanceOf(custodian) - before;

        uint256 amount = _pips(number, received);
        if (amount == 0) revert ZeroAmount();
        _credit(account, number, amount);
        emit Deposited(account, token, uint64(amount), ref);
    }

    /// @inheritdoc IExchange
    function sweepFees(address token) external nonReentrant {
        uint8 number = tokenNumber(token);
        uint256 accrued = _fees[number];
        (uint256 amount, uint256 raw) = _wholeRaw(number, accrued);
        if (amount == 0) revert ZeroAmount();
        _fees[number] = accrued - amount;
        emit FeesSwept(token, feeReceiver, uint64(amount));
        Custodian(custodian).pay(token, feeReceiver, raw);
    }

    /// @inheritdoc IExchange
    function balanceOf(address account, address token) external view returns (uint64) {
        return uint64(_balance(account, tokenNumber(token)));
    }

    /// @inheritdoc IExchange
    function feesOf(address token) external view returns (uint64) {
        return uint64(_fees[tokenNumber(token)]);
    }

    /// @inheritdoc IExchange
    function domainSeparator() public view returns (bytes32) {
        // A fork of the chain has another id; signatures must not be good for both.
        return block.chainid == _chainId ? _domain : Digests.domain(address(this));
    }

    function _balance(address account, uint256 number) internal view returns (uint256) {
        return StateWords.balance(_wordOf(account, number).bits, number);
    }

    function _credit(address account, uint256 number, uint256 amount) private {
        StateWord storage word = _wordOf(account, number);
        uint256 held = StateWords.balance(word.bits, number);
        if (amount > StateWords.MASK - held) {
            revert BalanceOverflow(account, number, held, amount);
        }
        word.bits += amount << StateWords.shiftOf(number);
    }

    function _debit(address account, uint256 number, uint256 amount) internal {
        StateWord storage word = _wordOf(account, number);
        uint256 held = StateWords.balance(word.bits, number);
        if (amount > held) revert InsufficientBalance(account, number, held, amount);
        word.bits -= amount << StateWords.shiftOf(number);
    }

    /// @dev The word that holds the account's balance of token `number`.
    function _wordOf(address account, uint256 number) private view returns (StateWord storage) {
        return _words[StateWords.keyOf(account, StateWords.groupOf(number))];
    }

    /// @dev Pips in `rawAmount`, which must be a whole number of them. Refused while it is paused.
    function _pips(uint256 number, uint256 rawAmount) private view returns (uint256) {
        (address token, int64 unitScale, bool paused) = tokens(number);
        if (paused) revert TokenPaused(token);
        if (unitScale < 0) return rawAmount * uint256(uint64(-unitScale));
        uint256 scale = uint256(uint64(unitScale));
        if (rawAmount % scale != 0) revert NotWholePips(token, rawAmount, unitScale);
        return rawAmount / scale;
    }

    /// @dev The largest amount up to `pips` that is a whole number of raw units, and those units.
    function _wholeRaw(uint256 number, uint256 pips)
        internal
        view
        returns (uint256 amount, uint256 raw)
    {
        (, int64 unitScale,) = tokens(number);
        if (unitScale > 0) return (pips, pips * uint256(uint64(unitScale)));
        uint256 scale = uint256(uint64(-unitScale));
        raw = pips / scale;
        amount = raw * scale;
    }

    function _onlyAdmin() private view {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
    }
}
