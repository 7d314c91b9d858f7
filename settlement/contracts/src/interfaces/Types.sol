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

/// @notice One signed order, packed as `Packing` says.
/// @param terms Nonce, both amounts, expiry, highest fee and flags.
/// @param place Trigger or display, token numbers, lane and account.
/// @param ref Free reference of the signer, for example an invoice.
/// @param r Signature, compact form of EIP-2098.
/// @param vs Signature, compact form of EIP-2098.
struct Order {
    uint256 terms;
    uint256 place;
    bytes32 ref;
    bytes32 r;
    bytes32 vs;
}

/// @notice One match between two orders of the same batch, packed as `Packing` says.
type Trade is uint256;

/// @notice An order as the wallet shows and signs it (EIP-712 struct `Order`).
/// @param flags As `Packing` says.
/// @param triggerOrDisplay Of a stop the quote pips that `baseAmount` costs at the price that
/// triggers it, of an iceberg the base pips that it shows, else 0.
struct SignedOrder {
    address account;
    uint64 nonce;
    uint16 flags;
    uint16 lane;
    address base;
    address quote;
    uint64 baseAmount;
    uint64 quoteAmount;
    uint64 triggerOrDisplay;
    uint32 expiry;
    uint16 maxFeePpm;
    bytes32 ref;
}

/// @notice Proof that a settled batch holds a trade between two orders.
/// @param header The batch's header.
/// @param tradeCount How many trades the batch has.
/// @param index The trade's place among them, from 0.
/// @param buy The buying order, as it was signed.
/// @param sell The selling order, as it was signed.
/// @param baseAmount Base pips that changed hands.
/// @param quoteAmount Quote pips that changed hands, before fees.
/// @param buyFee Quote pips the buyer paid on top; negative if paid to the buyer.
/// @param sellFee Quote pips kept from the seller; negative if paid to the seller.
/// @param siblings Path from the trade's leaf to the trades root, bottom up.
struct Receipt {
    Header header;
    uint32 tradeCount;
    uint32 index;
    SignedOrder buy;
    SignedOrder sell;
    uint64 baseAmount;
    uint64 quoteAmount;
    int64 buyFee;
    int64 sellFee;
    bytes32[] siblings;
}

/// @notice The operator's word that `item` has its place in the log (EIP-712 struct
/// `Acknowledgement`). Not signed itself: see `SignedPath`.
/// @param sequence Place in the log.
/// @param item Hash of what stands there.
/// @param head Hash of the whole log up to and with it.
struct Acknowledgement {
    uint64 sequence;
    bytes32 item;
    bytes32 head;
}

/// @notice Shows that an acknowledgement is among those that one signature is over (EIP-712 struct
/// `Acknowledgements`, which holds the root of their tree).
/// @dev Place and count are nobody's word. They say how the path turns, and a wrong one leads to a
/// root that nobody has signed.
/// @param index Place of the acknowledgement among the leaves, from 0.
/// @param count How many leaves there are.
/// @param siblings Path from the leaf to the root, bottom up.
/// @param signature Of the root, 65 bytes: r, s, v.
struct SignedPath {
    uint32 index;
    uint32 count;
    bytes32[] siblings;
    bytes signature;
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

/// @notice The owner's word that `key` is to be taken back (EIP-712 struct `KeyRevocation`).
/// @param nonce Above the account's last for grants; a grant signed with one up to it is void.
struct KeyRevocation {
    address account;
    address key;
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
/// @param paused Neither deposited nor traded, for now.
struct ListedToken {
    address token;
    int64 unitScale;
    bool paused;
}

/// @notice A request to leave, of one account and token.
/// @param readyAt From this second on anyone may finish it; zero if there is no request.
struct ExitRequest {
    uint64 amount;
    uint64 readyAt;
}

/// @notice A request to cancel what rests on a lane half, or in a window, of one account.
/// @param nonce All orders up to this nonce.
/// @param readyAt From this second on anyone may finish it; zero if there is no request.
struct CancelRequest {
    uint64 nonce;
    uint64 readyAt;
}
