// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {
    ReentrancyGuardTransient
} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IExchange} from "../interfaces/IExchange.sol";
import {IPermit2} from "../interfaces/IPermit2.sol";
import {IReceiveWithAuthorization} from "../interfaces/IReceiveWithAuthorization.sol";

/// @title Tillbook deposit collector
/// @notice How does a payer deposit with a signature instead of an approval?
/// ERC-2612, ERC-3009 and Permit2, each with the account to credit and a reference, for
/// example an invoice.
/// @dev Apart from the exchange, so that nothing here can touch what lies in the vault. Invariant:
/// what a payer signed goes to the account and reference it meant, whoever sends the transaction:
/// a permit is used by its owner only, the other two bind both by signature. Nothing stays here
/// between calls; what is sent here by plain transfer is lost.
contract Collector is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev How Permit2 tells a wallet what the witness says.
    string private constant WITNESS = "Deposit witness)Deposit(address account,bytes32 ref)"
        "TokenPermissions(address token,uint256 amount)";
    bytes32 private constant DEPOSIT_TYPE = keccak256("Deposit(address account,bytes32 ref)");

    /// @notice The vault that is paid into.
    IExchange public immutable exchange;
    /// @notice Permit2 of this chain.
    IPermit2 public immutable permit2;

    constructor(IExchange exchange_, IPermit2 permit2_) {
        exchange = exchange_;
        permit2 = permit2_;
    }

    /// @notice Deposit the caller's tokens on its ERC-2612 permit for this contract.
    function depositWithPermit(
        address token,
        uint256 rawAmount,
        address account,
        bytes32 ref,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Anybody may have sent the permit before us; then it fails here though the allowance is
        // there. If it is not, the transfer fails.
        try IERC20Permit(token).permit(msg.sender, address(this), rawAmount, deadline, v, r, s) {}
            catch {}
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), rawAmount);
        _deposit(token, before, account, ref);
    }

    /// @notice Deposit tokens of `from` on its ERC-3009 authorization to this contract. Anyone may
    /// send it.
    /// @param salt The authorization's nonce is `authorizationNonce(account, ref, salt)`.
    function depositWithAuthorization(
        address token,
        address from,
        uint256 rawAmount,
        address account,
        bytes32 ref,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        uint256 before = IERC20(token).balanceOf(address(this));
        IReceiveWithAuthorization(token)
            .receiveWithAuthorization(
                from,
                address(this),
                rawAmount,
                validAfter,
                validBefore,
                authorizationNonce(account, ref, salt),
                v,
                r,
                s
            );
        _deposit(token, before, account, ref);
    }

    /// @notice Deposit tokens of `owner` on its Permit2 signature with a witness. Anyone may send
    /// it.
    function depositWithPermit2(
        IPermit2.PermitTransferFrom calldata permit,
        address owner,
        address account,
        bytes32 ref,
        bytes calldata signature
    ) external nonReentrant {
        address token = permit.permitted.token;
        uint256 before = IERC20(token).balanceOf(address(this));
        permit2.permitWitnessTransferFrom(
            permit,
            IPermit2.SignatureTransferDetails(address(this), permit.permitted.amount),
            owner,
            keccak256(abi.encode(DEPOSIT_TYPE, account, ref)),
            WITNESS,
            signature
        );
        _deposit(token, before, account, ref);
    }

    /// @notice Nonce of an ERC-3009 authorization that can only pay `account` for `ref`.
    function authorizationNonce(address account, bytes32 ref, bytes32 salt)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(account, ref, salt));
    }

    function _deposit(address token, uint256 before, address account, bytes32 ref) private {
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        IERC20(token).forceApprove(address(exchange), received);
        exchange.deposit(token, received, account, ref);
    }
}
