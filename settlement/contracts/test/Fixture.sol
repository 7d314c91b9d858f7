// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../src/interfaces/IExchange.sol";
import {
    Header,
    KeyGrant,
    Order,
    SignedOrder,
    Trade,
    Withdrawal
} from "../src/interfaces/Types.sol";
import {Base} from "./Base.sol";

interface ICustodian {
    function proposeExchange(address exchange) external;
    function appointExchange() external;
    function pay(address token, address to, uint256 rawAmount) external;
    function CHANGE_WINDOW() external view returns (uint64);
    function exchange() external view returns (address);
    function proposedExchange() external view returns (address);
}

interface IToken {
    function mint(address to, uint256 rawAmount) external;
    function approve(address spender, uint256 rawAmount) external returns (bool);
    function transfer(address to, uint256 rawAmount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
}

/// @title Exchange fixture
/// @notice How does a test get an exchange with two tokens and signed batches?
/// @dev Token 0 has 6 decimals and is the quote; token 1 has 18 and is the base. Alice buys with a
/// single-shot order, Bob's sale rests on a lane; one trade of one whole token at 2,500.
abstract contract Fixture is Base {
    uint64 internal constant HORIZON = 1 hours;
    uint64 internal constant EXIT_DELAY = 2 hours;
    uint64 internal constant DEADMAN_DELAY = 3 days;
    uint64 internal constant ONE = 1e8;
    uint64 internal constant PRICE = 2_500e8;
    uint16 internal constant LANE = 0x8000;

    uint16 internal constant SELL = 1;
    uint16 internal constant SINGLE_SHOT = 2;
    uint16 internal constant UPPER_HALF = 4;
    uint16 internal constant POST_ONLY = 8;
    uint16 internal constant STOP = 64;

    uint256 internal constant ALICE = 0xA11CE;
    uint256 internal constant BOB = 0xB0B;
    uint256 internal constant OPERATOR = 0x09E8;
    uint256 internal constant SESSION = 0x5E55;
    address internal constant FEES = address(0xFEE5);

    IExchange internal exchange;
    ICustodian internal custodian;
    IToken internal quote;
    IToken internal base;
    address internal alice = vm.addr(ALICE);
    address internal bob = vm.addr(BOB);
    address internal operator = vm.addr(OPERATOR);

    /// @dev A signed order before it is encoded; `secret` signs for the account of `owner`.
    struct Draft {
        uint256 owner;
        uint256 secret;
        uint64 nonce;
        uint16 flags;
        uint16 lane;
        uint8 baseToken;
        uint8 quoteToken;
        uint64 baseAmount;
        uint64 quoteAmount;
        uint64 triggerOrDisplay;
        uint32 expiry;
        uint16 maxFeePpm;
        bytes32 ref;
    }

    /// @dev An order of a batch before it is packed; see `Packing`.
    struct Entry {
        address account;
        uint16 lane;
        uint16 flags;
        uint8 baseToken;
        uint8 quoteToken;
        uint64 nonce;
        uint64 baseAmount;
        uint64 quoteAmount;
        uint64 triggerOrDisplay;
        uint32 expiry;
        uint16 maxFeePpm;
        bytes32 ref;
        bytes32 r;
        bytes32 vs;
    }

    /// @dev A trade of a batch before it is packed.
    struct Match {
        uint16 buy;
        uint16 sell;
        int32 buyFeePpm;
        int32 sellFeePpm;
        uint64 baseAmount;
        uint64 quoteAmount;
    }

    struct Batch {
        Header header;
        Entry[] orders;
        Match[] trades;
    }

    function setUp() public virtual {
        vm.warp(1_700_000_000);
        custodian = ICustodian(
            vm.deployCode("Custodian.sol:Custodian", abi.encode(this, 2 * EXIT_DELAY))
        );
        exchange = IExchange(
            vm.deployCode(
                "Exchange.sol:Exchange",
                abi.encode(this, operator, FEES, custodian, HORIZON, EXIT_DELAY, DEADMAN_DELAY)
            )
        );
        custodian.proposeExchange(address(exchange));
        custodian.appointExchange();
        quote = newToken(6);
        base = newToken(18);
        exchange.listToken(address(quote), -100);
        exchange.listToken(address(base), 1e10);
        fund(alice, quote, 100_000e6);
        fund(bob, base, 50e18);
    }

    // ---------------------------------------------------------------- money

    function newToken(uint8 decimals) internal returns (IToken) {
        return
            IToken(vm.deployCode("TestToken.sol:TestToken", abi.encode("Token", "T", decimals)));
    }

    /// @dev Mint and deposit for `account`.
    function fund(address account, IToken token, uint256 raw) internal {
        token.mint(address(this), raw);
        token.approve(address(exchange), raw);
        exchange.deposit(address(token), raw, account, 0);
    }

    function balance(address account, IToken token) internal view returns (uint256) {
        return exchange.balanceOf(account, address(token));
    }

    // ---------------------------------------------------------------- orders

    function buyDraft() internal view returns (Draft memory) {
        return Draft({
            owner: ALICE,
            secret: ALICE,
            nonce: 1,
            flags: SINGLE_SHOT,
            lane: 0,
            baseToken: 1,
            quoteToken: 0,
            baseAmount: ONE,
            quoteAmount: PRICE,
            triggerOrDisplay: 0,
            expiry: uint32(block.timestamp + 100),
            maxFeePpm: 5_000,
            ref: "invoice"
        });
    }

    function sellDraft() internal view returns (Draft memory draft) {
        draft = buyDraft();
        draft.owner = draft.secret = BOB;
        draft.flags = SELL;
        draft.lane = LANE;
        draft.baseAmount = 2 * ONE;
        draft.quoteAmount = 2 * PRICE;
    }

    function oneTrade() internal pure returns (Match memory) {
        return Match({
            buy: 0,
            sell: 1,
            buyFeePpm: 1_000,
            sellFeePpm: 500,
            baseAmount: ONE,
            quoteAmount: PRICE
        });
    }

    function digestOf(Draft memory draft) internal view returns (bytes32) {
        return exchange.orderDigest(signedOf(draft));
    }

    /// @dev Digest of the same order on behalf of another account.
    function digestFor(address account, Draft memory draft) internal view returns (bytes32) {
        SignedOrder memory order = signedOf(draft);
        order.account = account;
        return exchange.orderDigest(order);
    }

    function signedOf(Draft memory draft) internal view returns (SignedOrder memory order) {
        order.account = vm.addr(draft.owner);
        order.nonce = draft.nonce;
        order.flags = draft.flags;
        order.lane = draft.lane;
        (order.base,,) = exchange.tokens(draft.baseToken);
        (order.quote,,) = exchange.tokens(draft.quoteToken);
        order.baseAmount = draft.baseAmount;
        order.quoteAmount = draft.quoteAmount;
        order.triggerOrDisplay = draft.triggerOrDisplay;
        order.expiry = draft.expiry;
        order.maxFeePpm = draft.maxFeePpm;
        order.ref = draft.ref;
    }

    // ---------------------------------------------------------------- batches

    function plainBatch() internal view returns (Batch memory) {
        return seal(buyDraft(), sellDraft());
    }

    function seal(Draft memory buy, Draft memory sell) internal view returns (Batch memory) {
        Draft[] memory drafts = new Draft[](2);
        (drafts[0], drafts[1]) = (buy, sell);
        return seal(drafts, oneTrade());
    }

    function seal(Draft[] memory drafts, Match memory trade)
        internal
        view
        returns (Batch memory batch)
    {
        batch.header = Header({
            batch: exchange.nextBatch(),
            prevHead: exchange.head(),
            closeTime: uint64(block.timestamp),
            logRoot: "log",
            firstSequence: exchange.nextSequence(),
            commandCount: 2
        });
        batch.orders = new Entry[](drafts.length);
        for (uint256 i; i < drafts.length; ++i) {
            batch.orders[i] = encode(drafts[i]);
        }
        batch.trades = new Match[](1);
        batch.trades[0] = trade;
    }

    function encode(Draft memory draft) internal view returns (Entry memory order) {
        order.account = vm.addr(draft.owner);
        order.lane = draft.lane;
        order.flags = draft.flags;
        order.baseToken = draft.baseToken;
        order.quoteToken = draft.quoteToken;
        order.nonce = draft.nonce;
        order.baseAmount = draft.baseAmount;
        order.quoteAmount = draft.quoteAmount;
        order.triggerOrDisplay = draft.triggerOrDisplay;
        order.expiry = draft.expiry;
        order.maxFeePpm = draft.maxFeePpm;
        order.ref = draft.ref;
        (order.r, order.vs) = compact(draft.secret, digestOf(draft));
    }

    function compact(uint256 secret, bytes32 digest) internal pure returns (bytes32, bytes32) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        return (r, bytes32(uint256(s) | uint256(v - 27) << 255));
    }

    function long(uint256 secret, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, digest);
        return abi.encodePacked(r, s, v);
    }

    function settle(Batch memory batch) internal {
        vm.prank(operator);
        send(batch);
    }

    /// @dev As whoever the next call comes from.
    function send(Batch memory batch) internal {
        exchange.settle(batch.header, packed(batch.orders), packed(batch.trades));
    }

    function callOf(Batch memory batch) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IExchange.settle, (batch.header, packed(batch.orders), packed(batch.trades))
        );
    }

    function packed(Entry[] memory entries) internal pure returns (Order[] memory orders) {
        orders = new Order[](entries.length);
        for (uint256 i; i < entries.length; ++i) {
            Entry memory entry = entries[i];
            orders[i].terms = uint256(entry.nonce) << 192 | uint256(entry.baseAmount) << 128
                | uint256(entry.quoteAmount) << 64 | uint256(entry.expiry) << 32
                | uint256(entry.maxFeePpm) << 16 | entry.flags;
            orders[i].place = uint256(entry.triggerOrDisplay) << 192
                | uint256(entry.baseToken) << 184 | uint256(entry.quoteToken) << 176
                | uint256(entry.lane) << 160 | uint160(entry.account);
            (orders[i].ref, orders[i].r, orders[i].vs) = (entry.ref, entry.r, entry.vs);
        }
    }

    function packed(Match[] memory matches) internal pure returns (Trade[] memory trades) {
        trades = new Trade[](matches.length);
        for (uint256 i; i < matches.length; ++i) {
            Match memory one = matches[i];
            trades[i] = Trade.wrap(
                uint256(one.buy) << 208 | uint256(one.sell) << 192
                    | uint256(uint32(one.buyFeePpm)) << 160 | uint256(uint32(one.sellFeePpm))
                    << 128 | uint256(one.baseAmount) << 64 | one.quoteAmount
            );
        }
    }

    /// @dev Settling must fail with exactly this error and figures.
    function refuse(Batch memory batch, bytes memory reason) internal {
        vm.prank(operator);
        vm.expectRevert(reason);
        send(batch);
    }

    /// @dev Siblings of leaf `index`, bottom up, in the tree of `Merkle`.
    function pathOf(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32[] memory siblings)
    {
        bytes32[] memory nodes = leaves;
        siblings = new bytes32[](0);
        while (nodes.length > 1) {
            if (index ^ 1 < nodes.length) siblings = appended(siblings, nodes[index ^ 1]);
            bytes32[] memory parents = new bytes32[]((nodes.length + 1) / 2);
            for (uint256 i; i < parents.length; ++i) {
                parents[i] = 2 * i + 1 < nodes.length
                    ? keccak256(abi.encode(nodes[2 * i], nodes[2 * i + 1]))
                    : nodes[2 * i];
            }
            (nodes, index) = (parents, index / 2);
        }
    }

    function appended(bytes32[] memory list, bytes32 last)
        internal
        pure
        returns (bytes32[] memory longer)
    {
        longer = new bytes32[](list.length + 1);
        for (uint256 i; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }

    // ---------------------------------------------------------------- keys and withdrawals

    function plainGrant() internal view returns (KeyGrant memory) {
        return KeyGrant({
            account: bob,
            key: vm.addr(SESSION),
            base: address(base),
            quote: address(quote),
            sides: 2,
            expiry: uint32(block.timestamp + 1 days),
            notionalCap: 2 * PRICE,
            floorPrice: PRICE,
            nonce: 1
        });
    }

    function give(KeyGrant memory grant) internal {
        exchange.grantKey(grant, long(BOB, exchange.grantDigest(grant)));
    }

    function plainWithdrawal() internal view returns (Withdrawal memory) {
        return Withdrawal({
            account: alice,
            token: address(quote),
            amount: 10e8,
            to: address(0x70),
            nonce: 1,
            expiry: uint32(block.timestamp + 100)
        });
    }

    /// @dev The operator's consent to the withdrawal with this digest.
    function consent(bytes32 withdrawal, uint64 afterSequence)
        internal
        view
        returns (bytes memory)
    {
        return long(OPERATOR, countersignatureDigest(withdrawal, afterSequence));
    }

    function countersignatureDigest(bytes32 withdrawal, uint64 afterSequence)
        internal
        view
        returns (bytes32)
    {
        bytes32 typeHash = keccak256("Countersignature(bytes32 withdrawal,uint64 afterSequence)");
        bytes32 content = keccak256(abi.encode(typeHash, withdrawal, afterSequence));
        return keccak256(abi.encodePacked(hex"1901", exchange.domainSeparator(), content));
    }

    function nextTo(Match memory first, Match memory second)
        internal
        pure
        returns (Match[] memory trades)
    {
        trades = new Match[](2);
        (trades[0], trades[1]) = (first, second);
    }
}
