// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Which structs cross the boundary of the exchange?
// Amounts are pips (10**8 pips are one whole token), times are unix seconds, fees parts per
// million.

/// @notice What the operator says about one batch, beside its trades.
/// @param batch Number of the batch; the first is 1 and there are no gaps.
/// @param prevHead Head of the batch before; zero for the first.
/// @param closeTime Engine time of the batch's last trade. Expiries are judged against it.
/// @param logRoot Commitment to the engine's log of this batch.
/// @param firstSequence Sequence number of the first command the log root covers.
/// @param commandCount How many commands the log root covers.
struct Header {
    uint64 batch;
    bytes32 prevHead;
    uint64 closeTime;
    bytes32 logRoot;
    uint64 firstSequence;
    uint32 commandCount;
}

/// @notice One signed order. Account and lane are not repeated here: they come from the keys.
/// @param baseWord Index into the batch's keys: the account's balance word that holds the base
/// token.
/// @param quoteWord The same for the quote token.
/// @param stateWord The same for the word that remembers the order: the account's balance word of
/// group 0 (replay window) if single-shot, else the account's lane word.
/// @param flags Bit 0 sell, bit 1 single-shot, bit 2 upper half of the lane word, bit 3 post-only.
/// @param baseToken Number of the base token.
/// @param quoteToken Number of the quote token.
/// @param nonce Replay number, of the window or of the lane.
/// @param baseAmount Most base pips that may be filled.
/// @param quoteAmount With `baseAmount`, the limit price.
/// @param expiry Last second at which a trade of this order may be made.
/// @param maxFeePpm Highest fee the signer accepts.
/// @param ref Free reference of the signer, for example an invoice.
/// @param r Signature, compact form of EIP-2098.
/// @param vs Signature, compact form of EIP-2098.
struct Order {
    uint16 baseWord;
    uint16 quoteWord;
    uint16 stateWord;
    uint8 flags;
    uint8 baseToken;
    uint8 quoteToken;
    uint64 nonce;
    uint64 baseAmount;
    uint64 quoteAmount;
    uint32 expiry;
    uint32 maxFeePpm;
    bytes32 ref;
    bytes32 r;
    bytes32 vs;
}

/// @notice One match between two orders of the same batch.
/// @param buy Index of the buying order.
/// @param sell Index of the selling order.
/// @param baseAmount Base pips that change hands.
/// @param quoteAmount Quote pips that change hands, before fees.
/// @param buyFeePpm Fee of the buyer, on top of `quoteAmount`.
/// @param sellFeePpm Fee of the seller, out of `quoteAmount`.
struct Trade {
    uint16 buy;
    uint16 sell;
    uint64 baseAmount;
    uint64 quoteAmount;
    uint32 buyFeePpm;
    uint32 sellFeePpm;
}

/// @notice An order as the wallet shows and signs it (EIP-712 struct `Order`).
struct SignedOrder {
    address account;
    uint64 nonce;
    uint8 flags;
    uint16 lane;
    address base;
    address quote;
    uint64 baseAmount;
    uint64 quoteAmount;
    uint32 expiry;
    uint32 maxFeePpm;
    bytes32 ref;
}

/// @notice A payout that owner and operator both sign (EIP-712 struct `Withdrawal`).
struct Withdrawal {
    address account;
    address token;
    uint64 amount;
    address to;
    uint64 nonce;
    uint32 expiry;
}

/// @notice Leave for `key` to sign orders for `account` (EIP-712 struct `KeyGrant`).
/// @param sides Bit 0 may buy, bit 1 may sell.
/// @param expiry Last second of engine time at which the key's trades may be made.
/// @param notionalCap Quote pips the key may trade over its life.
/// @param floorPrice Quote pips per 10**8 base pips below which no sale may settle.
struct KeyGrant {
    address account;
    address key;
    address base;
    address quote;
    uint8 sides;
    uint32 expiry;
    uint64 notionalCap;
    uint64 floorPrice;
    uint64 nonce;
}

/// @notice What is left of a grant, in one storage word.
/// @param base Number of the base token.
/// @param quote Number of the quote token.
/// @param sides As in `KeyGrant`; zero if there never was a grant.
/// @param revokedAt From this second of engine time on the key is dead; zero if not revoked.
/// @param notionalLeft Quote pips the key may still trade.
struct KeyScope {
    uint8 base;
    uint8 quote;
    uint8 sides;
    uint32 expiry;
    uint32 revokedAt;
    uint64 notionalLeft;
    uint64 floorPrice;
}

/// @notice A listed token, in one storage word.
/// @param unitScale Raw units in one pip if positive; pips in one raw unit if negative.
struct ListedToken {
    address token;
    int64 unitScale;
}

/// @notice A request to leave, of one account and token.
/// @param readyAt From this second on anyone may finish it; zero if there is no request.
struct ExitRequest {
    uint64 amount;
    uint64 readyAt;
}
