// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IExchange} from "./IExchange.sol";

/// @title What stands at the address of one invoice?
/// @notice Code that can do one thing: pay what lies here into the vault, for one account and
/// invoice.
/// @dev Shared by all clones; account and invoice are the clone's immutable arguments, so they are
/// part of its address. There is no owner, no other function and no way to call anything else.
contract InvoiceAddress {
    using SafeERC20 for IERC20;

    /// @notice There is not one whole pip of the token here.
    error NothingToSweep(address token, uint256 rawBalance);

    /// @notice The only contract that can receive what lies here.
    IExchange public immutable exchange;

    constructor(IExchange exchange_) {
        exchange = exchange_;
    }

    /// @notice Deposit all whole pips of `token` that lie here. Anyone may call.
    /// @return rawAmount What was deposited, raw units.
    function forward(address token) external returns (uint256 rawAmount) {
        (address account, bytes32 ref) =
            abi.decode(Clones.fetchCloneArgs(address(this)), (address, bytes32));
        (, int64 unitScale,) = exchange.tokens(exchange.tokenNumber(token));
        uint256 rawBalance = IERC20(token).balanceOf(address(this));
        rawAmount = rawBalance;
        if (unitScale > 0) rawAmount -= rawBalance % uint256(uint64(unitScale));
        if (rawAmount == 0) revert NothingToSweep(token, rawBalance);

        IERC20(token).forceApprove(address(exchange), rawAmount);
        exchange.deposit(token, rawAmount, account, ref);
    }
}
