// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

import {IExchange} from "../interfaces/IExchange.sol";

/// @title Tillbook invoice address
/// @notice What stands at the address of one invoice?
/// Code that can do two things: pay what lies here into the vault, for one account and
/// invoice; and pay what the vault does not take to that account itself.
/// @dev Shared by all clones; account and invoice are the clone's immutable arguments, so they are
/// part of its address. There is no owner, no other receiver and no way to call anything else.
contract InvoiceAddress {
    using SafeERC20 for IERC20;

    /// @notice There is not one whole pip of the token here.
    error NothingToSweep(address token, uint256 rawBalance);
    /// @notice There is nothing of the token here.
    error NothingToRescue(address token);
    /// @notice Only the contract that made this clone may ask it for that.
    error NotFactory(address caller);
    /// @notice A listed token belongs into the vault; past it only the account itself may take it.
    error TokenIsListed(address token);

    /// @notice The vault that what lies here is paid into.
    IExchange public immutable exchange;
    /// @notice The contract that makes the clones.
    address public immutable factory = msg.sender;

    constructor(IExchange exchange_) {
        exchange = exchange_;
    }

    /// @notice Deposit all whole pips of `token` that lie here. Anyone may call.
    /// @return rawAmount What was deposited, raw units.
    function forward(address token) external returns (uint256 rawAmount) {
        (address account, bytes32 ref) = _invoice();
        (, int64 unitScale,) = exchange.tokens(exchange.tokenNumber(token));
        uint256 rawBalance = IERC20(token).balanceOf(address(this));
        rawAmount = rawBalance;
        if (unitScale > 0) rawAmount -= rawBalance % uint256(uint64(unitScale));
        if (rawAmount == 0) revert NothingToSweep(token, rawBalance);

        IERC20(token).forceApprove(address(exchange), rawAmount);
        exchange.deposit(token, rawAmount, account, ref);
    }

    /// @notice Pay all of `token` that lies here to the account, past the vault.
    /// @param token Zero for the chain's own coin.
    /// @param caller Who asks the factory. A listed token goes to its account this way only if the
    /// account asks: when deposits are refused, because the token keeps part of a transfer or the
    /// exchange was replaced, it is the only way out.
    function rescue(address token, address caller) external returns (uint256 rawAmount) {
        if (msg.sender != factory) revert NotFactory(msg.sender);
        (address account,) = _invoice();
        if (token == address(0)) {
            rawAmount = address(this).balance;
            if (rawAmount == 0) revert NothingToRescue(token);
            Address.sendValue(payable(account), rawAmount);
            return rawAmount;
        }
        if (caller != account && _isListed(token)) revert TokenIsListed(token);
        rawAmount = IERC20(token).balanceOf(address(this));
        if (rawAmount == 0) revert NothingToRescue(token);
        IERC20(token).safeTransfer(account, rawAmount);
    }

    function _isListed(address token) private view returns (bool) {
        try exchange.tokenNumber(token) returns (uint8) {
            return true;
        } catch {
            return false;
        }
    }

    function _invoice() private view returns (address account, bytes32 ref) {
        return abi.decode(Clones.fetchCloneArgs(address(this)), (address, bytes32));
    }
}
