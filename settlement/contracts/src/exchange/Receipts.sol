// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Digests} from "../libraries/Digests.sol";
import {Exits} from "./Exits.sol";
import {Heads} from "../libraries/Heads.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Receipt, SignedOrder} from "../interfaces/Types.sol";

/// @title Tillbook trade receipts
/// @notice Was this trade settled?
/// Shows anyone, by views only, that a batch holds a trade between two signed orders; an
/// order's `ref` may name an invoice.
abstract contract Receipts is Exits {
    /// @inheritdoc IExchange
    mapping(uint256 batch => bytes32 head) public batchHash;

    /// @dev Leaf of the trades root, in the order it is hashed.
    struct Leaf {
        uint256 index;
        bytes32 buyDigest;
        bytes32 sellDigest;
        uint256 baseAmount;
        uint256 quoteAmount;
        int256 buyFee;
        int256 sellFee;
    }

    /// @inheritdoc IExchange
    function verifyReceipt(Receipt calldata receipt) external view returns (bool) {
        Leaf memory leaf = Leaf({
            index: receipt.index,
            buyDigest: orderDigest(receipt.buy),
            sellDigest: orderDigest(receipt.sell),
            baseAmount: receipt.baseAmount,
            quoteAmount: receipt.quoteAmount,
            buyFee: receipt.buyFee,
            sellFee: receipt.sellFee
        });
        bytes32 root = Merkle.rootFrom(
            keccak256(abi.encode(leaf)), receipt.index, receipt.tradeCount, receipt.siblings
        );
        bytes32 settled = batchHash[receipt.header.batch];
        return root != 0 && settled == Heads.headOf(receipt.header, receipt.tradeCount, root);
    }

    /// @inheritdoc IExchange
    function orderDigest(SignedOrder calldata order) public view returns (bytes32) {
        return Digests.ofOrder(domainSeparator(), order);
    }
}
