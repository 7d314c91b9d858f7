// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IExchange} from "../interfaces/IExchange.sol";
import {InvoiceAddress} from "./InvoiceAddress.sol";

/// @title Tillbook invoice deposits
/// @notice Where does a customer pay an invoice by plain transfer?
/// Each (account, invoice) has an address of its own, known before anything is deployed
/// there.
/// @dev The address commits to code, account and invoice (CREATE2 with immutable arguments), hence
/// whatever lies there can only become a deposit of that account with that reference, or, if the
/// vault does not take it, be paid to that account.
contract InvoiceDeposits {
    /// @notice One token at the address of one invoice.
    struct Place {
        address account;
        bytes32 ref;
        address token;
    }

    /// @notice What lay at an invoice's address is in the vault now.
    event Swept(address indexed account, bytes32 indexed ref, address token, uint256 rawAmount);
    /// @notice What the vault does not take was paid to `account` itself; zero is the chain's coin.
    event Rescued(address indexed account, bytes32 indexed ref, address token, uint256 rawAmount);

    /// @notice One of many could not be swept; `sweep` alone says why.
    event NotSwept(address indexed account, bytes32 indexed ref, address token);

    /// @dev Most gas that one of many may use: a token that burns all it gets takes this and no
    /// more. A sweep of a plain token takes a third of it.
    uint256 private constant SWEEP_GAS_MAX = 350_000;

    /// @dev What the address and the event of one of many take beside that, and the part of the
    /// gas that a call has to leave behind (EIP-150).
    uint256 private constant PLACE_GAS = 100_000;

    /// @notice The code all invoice addresses share.
    address public immutable implementation;

    constructor(IExchange exchange) {
        implementation = address(new InvoiceAddress(exchange));
    }

    /// @notice Address at which `account` is paid for `ref`.
    function addressOf(address account, bytes32 ref) public view returns (address) {
        return Clones.predictDeterministicAddressWithImmutableArgs(
            implementation, abi.encode(account, ref), bytes32(0)
        );
    }

    /// @notice Move all whole pips of `token` at the invoice's address into the vault. Anyone may
    /// call.
    function sweep(address account, bytes32 ref, address token) external {
        uint256 rawAmount = _at(account, ref).forward(token);
        emit Swept(account, ref, token, rawAmount);
    }

    /// @notice Sweep many in one transaction, which spreads what a transaction costs over all of
    /// them. Anyone may call.
    /// @dev None spoils the others: one that is refused (empty by now, a paused token) is left as
    /// it is, and one that burns gas burns its own share. What there is no gas for any more is not
    /// begun. No reason is copied out, for a token could make it as long as it likes.
    /// @return gasUsed What each has used, in the order of `places`; zero for what was not swept.
    function sweepMany(Place[] calldata places) external returns (uint256[] memory gasUsed) {
        gasUsed = new uint256[](places.length);
        for (uint256 i; i < places.length; ++i) {
            uint256 before = gasleft();
            if (before < SWEEP_GAS_MAX + PLACE_GAS) break;
            Place calldata place = places[i];
            InvoiceAddress invoice = _at(place.account, place.ref);
            try invoice.forward{gas: SWEEP_GAS_MAX}(place.token) returns (uint256 rawAmount) {
                emit Swept(place.account, place.ref, place.token, rawAmount);
                gasUsed[i] = before - gasleft();
            } catch {
                emit NotSwept(place.account, place.ref, place.token);
            }
        }
    }

    /// @notice Pay what was sent to the invoice's address by mistake to the account itself: the
    /// chain's own coin (token zero) or a token that is not listed. Anyone may call; for a listed
    /// token only the account.
    function rescue(address account, bytes32 ref, address token) external {
        uint256 rawAmount = _at(account, ref).rescue(token, msg.sender);
        emit Rescued(account, ref, token, rawAmount);
    }

    /// @dev The invoice's contract, made if it is not there yet.
    function _at(address account, bytes32 ref) private returns (InvoiceAddress) {
        address invoice = addressOf(account, ref);
        if (invoice.code.length == 0) {
            Clones.cloneDeterministicWithImmutableArgs(
                implementation, abi.encode(account, ref), bytes32(0)
            );
        }
        return InvoiceAddress(invoice);
    }
}
