// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Tillbook custodian
/// @notice Who holds the tokens?
/// Tokens lie here and leave only on the word of the current exchange.
/// @dev The exchange can be replaced, in two steps with `changeDelay` between them. The delay is at
/// least twice the exit delay, so whoever distrusts the new exchange is out before it rules, and a
/// proposal lapses, so that none lies ready for years. The first appointment needs no delay because
/// there is nothing to guard yet.
contract Custodian {
    using SafeERC20 for IERC20;

    /// @notice Only the admin may do this.
    error NotAdmin(address caller);
    /// @notice Only the current exchange may pay.
    error NotExchange(address caller);
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice No exchange is proposed.
    error NothingProposed();
    /// @notice The proposal is too young.
    error ChangeNotReady(uint64 readyAt, uint256 now_);
    /// @notice The proposal is too old: propose it again, so that all see it coming.
    error ChangeLapsed(uint64 lapsedAt, uint256 now_);

    /// @notice `exchange` may be appointed from `readyAt` on.
    event ExchangeProposed(address exchange, uint64 readyAt);
    /// @notice `exchange` rules from now on.
    event ExchangeChanged(address exchange);

    /// @notice Seconds within which a ripe proposal must be appointed, or it lapses.
    uint64 public constant CHANGE_WINDOW = 7 days;

    /// @notice Who may propose and appoint an exchange.
    address public immutable admin;
    /// @notice Seconds between proposal and appointment.
    uint64 public immutable changeDelay;
    /// @notice The only contract that may pay out.
    address public exchange;
    /// @notice The exchange that waits for its appointment; zero if none.
    address public proposedExchange;
    /// @notice From this second on the proposed exchange may be appointed.
    uint64 public changeReadyAt;

    constructor(address admin_, uint64 changeDelay_) {
        if (admin_ == address(0)) revert ZeroAddress();
        admin = admin_;
        changeDelay = changeDelay_;
    }

    /// @notice First step: say which exchange shall rule. Replaces an earlier proposal.
    function proposeExchange(address exchange_) external {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        if (exchange_ == address(0)) revert ZeroAddress();
        uint64 delay = exchange == address(0) ? 0 : changeDelay;
        proposedExchange = exchange_;
        changeReadyAt = uint64(block.timestamp) + delay;
        emit ExchangeProposed(exchange_, changeReadyAt);
    }

    /// @notice Second step: let the proposed exchange rule.
    function appointExchange() external {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        if (proposedExchange == address(0)) revert NothingProposed();
        if (block.timestamp < changeReadyAt) {
            revert ChangeNotReady(changeReadyAt, block.timestamp);
        }
        uint64 lapsedAt = changeReadyAt + CHANGE_WINDOW;
        if (block.timestamp > lapsedAt) revert ChangeLapsed(lapsedAt, block.timestamp);
        exchange = proposedExchange;
        proposedExchange = address(0);
        emit ExchangeChanged(exchange);
    }

    /// @notice Pay `rawAmount` of `token` to `to`. Exchange only.
    function pay(address token, address to, uint256 rawAmount) external {
        if (msg.sender != exchange) revert NotExchange(msg.sender);
        IERC20(token).safeTransfer(to, rawAmount);
    }
}
