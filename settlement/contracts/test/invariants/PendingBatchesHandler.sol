// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Header, KeyGrant, Withdrawal} from "../../src/interfaces/Types.sol";
import {IToken, Fixture} from "../Fixture.sol";

/// @title Handler of pending batches
/// @notice An honest operator with batches on their way, among traders who want out of their
/// trades.
contract PendingBatchesHandler is Fixture {
    uint256 public accepted;
    uint256 public rejected;
    uint256 public settled;
    /// @notice Batches that settled though a trader had done something after they were sealed.
    uint256 public threatened;

    uint256 private constant TRADERS = 8;
    uint256 private constant QUEUE_MAX = 4;
    uint32 private constant FOREVER = type(uint32).max;

    struct Sealed {
        bytes message;
        uint64 closeTime;
        bytes32 head;
        uint256 actsBefore;
    }

    Sealed[] private _queue;
    uint256 private _next;
    bytes32 private _head;
    uint64 private _number = 1;
    uint64 private _sequence = 1;

    /// @dev A countersigned withdrawal: both signatures are public, anybody may send it.
    struct Payout {
        bytes message;
        uint256 who;
        uint256 amount;
        bool ofBase;
        uint64 place;
        uint32 expiry;
        /// Paid, or given back because it never can be.
        bool over;
    }

    Payout[] private _payouts;
    /// @dev An operator whose consent waits for nothing: what the walk has to find.
    bool private immutable _careless;

    // What the operator knows of each trader once everything in the queue has settled.
    mapping(uint256 who => uint256 pips) private _quote;
    mapping(uint256 who => uint256 pips) private _base;
    mapping(uint256 who => uint256 exits) private _leaving;
    mapping(uint256 who => uint64 nonce) private _nonces;
    mapping(uint256 who => uint64 nonce) private _windowDead;
    mapping(uint256 who => mapping(bool upperHalf => uint64 nonce)) private _laneDead;
    mapping(uint256 who => mapping(bool upperHalf => Draft order)) private _resting;
    mapping(uint256 who => mapping(bool upperHalf => uint64 base)) private _filled;
    mapping(uint256 who => bool revoked) private _keyDead;
    mapping(uint256 who => uint64 nonce) private _grants;
    mapping(uint256 who => uint64 nonce) private _withdrawals;
    mapping(uint256 who => uint256 indexPlusOne) private _open;

    constructor(bool careless) {
        super.setUp();
        _careless = careless;
        (_quote[0], _base[1]) = (100_000e8, 50e8);
        for (uint256 who; who < TRADERS; ++who) {
            fund(accountOf(who), quote, 100_000e6);
            fund(accountOf(who), base, 100e18);
            _quote[who] += 100_000e8;
            _base[who] += 100e8;
            grant(who, type(uint64).max);
            quote.mint(accountOf(who), 1e6);
        }
    }

    function setUp() public pure override {}

    function secretOf(uint256 who) private pure returns (uint256) {
        return [ALICE, BOB, uint256(3), 4, 5, 6, 7, 8][who % TRADERS];
    }

    function accountOf(uint256 who) private pure returns (address) {
        return vm.addr(secretOf(who));
    }

    function checkQueue() external view {
        assertEq(exchange.nextBatch(), settled + 1, "what was sealed first is settled first");
        assertTrue(_queue.length - _next <= QUEUE_MAX, "the queue is short");
    }

    // ---------------------------------------------------------------- the operator

    function sealSome(uint256 buyer, uint256 seller, uint256 amount, uint256 how) external {
        for (uint256 i = 1; i < 4; ++i) {
            sealOne(buyer / i, seller / 4 + i, amount / i, how / i);
        }
    }

    /// @dev Match two traders who are here to stay, and seal.
    function sealOne(uint256 buyer, uint256 seller, uint256 amount, uint256 how) private {
        (buyer, seller) = (staying(buyer), staying(seller));
        if (_queue.length - _next == QUEUE_MAX) settleNext();
        Draft memory sell = resting(seller, amount, how);
        bool upper = sell.flags & UPPER_HALF != 0;
        Draft memory buy = buyDraft();
        buy.owner = buy.secret = secretOf(buyer);
        if (_nonces[buyer] < _windowDead[buyer]) _nonces[buyer] = _windowDead[buyer];
        buy.nonce = ++_nonces[buyer];
        uint256 left = sell.baseAmount - _filled[seller][upper];
        buy.baseAmount = uint64(bound(amount, 1, left));
        buy.quoteAmount = uint64((uint256(buy.baseAmount) * PRICE + ONE - 1) / ONE);
        buy.expiry = uint32(block.timestamp + how % 3);
        Match memory one = oneTrade();
        (one.baseAmount, one.quoteAmount) = (buy.baseAmount, buy.quoteAmount);
        uint256 price = uint256(one.quoteAmount) + one.quoteAmount / 1_000;
        if (price > _quote[buyer] || one.baseAmount > _base[seller]) return;
        _quote[buyer] -= price;
        _base[seller] -= one.baseAmount;
        _quote[seller] += one.quoteAmount - one.quoteAmount / 2_000;
        _base[buyer] += one.baseAmount;
        _filled[seller][upper] += one.baseAmount;
        queue(buy, sell, one);
    }

    /// @dev The next trader who has not asked to leave; half of them never do.
    function staying(uint256 who) private view returns (uint256) {
        who %= TRADERS;
        while (_leaving[who] != 0) who = (who + 1) % TRADERS;
        return who;
    }

    /// @dev The sale that rests on the lane half, or a new one in its place.
    function resting(uint256 who, uint256 amount, uint256 how)
        private
        returns (Draft memory sell)
    {
        bool upper = how % 2 == 0;
        sell = _resting[who][upper];
        bool byKey = sell.secret != sell.owner;
        bool usable = sell.nonce > _laneDead[who][upper] && sell.expiry >= block.timestamp
            && sell.baseAmount > _filled[who][upper] && !(byKey && _keyDead[who]);
        if (usable && how % 5 != 0) return sell;
        sell = sellDraft();
        sell.owner = secretOf(who);
        sell.secret = how % 3 == 0 && !_keyDead[who] ? SESSION : sell.owner;
        sell.flags |= upper ? UPPER_HALF : 0;
        if (_nonces[who] < _laneDead[who][upper]) _nonces[who] = _laneDead[who][upper];
        sell.nonce = ++_nonces[who];
        sell.baseAmount = uint64(bound(amount, 2, ONE));
        sell.quoteAmount = uint64(uint256(sell.baseAmount) * PRICE / ONE);
        sell.expiry = uint32(block.timestamp + how % EXIT_DELAY);
        _resting[who][upper] = sell;
        _filled[who][upper] = 0;
    }

    function queue(Draft memory buy, Draft memory sell, Match memory one) private {
        Draft[] memory drafts = new Draft[](2);
        (drafts[0], drafts[1]) = (buy, sell);
        Batch memory batch = seal(drafts, one);
        batch.header.batch = _number++;
        batch.header.prevHead = _head;
        batch.header.firstSequence = _sequence;
        _sequence += batch.header.commandCount;
        bytes32 leaf = keccak256(
            abi.encode(
                0,
                digestOf(buy),
                digestOf(sell),
                one.baseAmount,
                one.quoteAmount,
                one.quoteAmount / 1_000,
                one.quoteAmount / 2_000
            )
        );
        _head = keccak256(abi.encode(batch.header, 1, leaf));
        _queue.push(Sealed(callOf(batch), batch.header.closeTime, _head, accepted));
    }

    /// @dev Must work: a refusal goes through to the test.
    function settleNext() public {
        if (_next == _queue.length) return;
        Sealed storage first = _queue[_next++];
        vm.prank(operator);
        (bool done, bytes memory told) = address(exchange).call(first.message);
        if (!done) {
            assembly ("memory-safe") { revert(add(told, 32), mload(told)) }
        }
        assertEq(exchange.head(), first.head, "as predicted");
        ++settled;
        if (accepted > first.actsBefore) ++threatened;
    }

    function settleAll() public {
        while (_next < _queue.length) settleNext();
    }

    /// @dev Time goes by; what would miss its horizon is settled at the last moment.
    function pass(uint256 time) external {
        uint256 then_ = block.timestamp + bound(time, 1, HORIZON * 3 / 4);
        while (_next < _queue.length && _queue[_next].closeTime + HORIZON < then_) {
            uint256 last = _queue[_next].closeTime + HORIZON;
            if (last > block.timestamp) vm.warp(last);
            settleNext();
        }
        vm.warp(then_);
    }

    // ---------------------------------------------------------------- the traders

    /// @dev Half of the traders may want to leave, most of them with everything and at once.
    function requestExit(uint256 who, uint64 amount, bool ofBase) external {
        who %= TRADERS / 2;
        if (amount % 4 != 0) amount = type(uint64).max;
        if (act(who, abi.encodeCall(IExchange.requestExit, (token(ofBase), amount)))) {
            ++_leaving[who];
            finishExit(who, ofBase);
        }
    }

    function cancelExit(uint256 who, bool ofBase) external {
        who %= TRADERS;
        if (act(who, abi.encodeCall(IExchange.cancelExit, (token(ofBase))))) --_leaving[who];
    }

    function finishExit(uint256 who, bool ofBase) public {
        who %= TRADERS;
        giveBack(who);
        (, uint64 readyAt) = exchange.exitOf(accountOf(who), token(ofBase));
        // What was sealed before the request is settled by then: the delay outlasts the horizon.
        if (readyAt != 0 && block.timestamp >= readyAt) settleAllOlderThan(readyAt - EXIT_DELAY);
        uint256 before = balance(accountOf(who), IToken(token(ofBase)));
        bytes memory message =
            abi.encodeCall(IExchange.finishExit, (accountOf(who), token(ofBase)));
        if (act(who, message)) {
            --_leaving[who];
            uint256 paid = before - balance(accountOf(who), IToken(token(ofBase)));
            ofBase ? _base[who] -= paid : _quote[who] -= paid;
        }
    }

    /// @dev Only states what must be so already; nothing is settled here.
    function settleAllOlderThan(uint256 time) private view {
        assertTrue(
            _next == _queue.length || _queue[_next].closeTime + EXIT_DELAY > time,
            "nothing that old is waiting"
        );
    }

    /// @dev Most want everything that the ledger says is theirs, and have somebody send it at once.
    /// It is over before an exit that is asked for later can be finished: else it could take what
    /// came in after the exit had taken its money.
    function withdraw(uint256 who, uint256 amount, bool ofBase) external {
        who %= TRADERS;
        giveBack(who);
        if (_leaving[who] != 0 || _open[who] != 0) return;
        uint256 owned = ofBase ? _base[who] : _quote[who];
        if (amount % 4 == 0) owned = bound(amount, 0, owned);
        owned -= owned % 100;
        if (owned == 0) return;
        ofBase ? _base[who] -= owned : _quote[who] -= owned;
        Withdrawal memory withdrawal = Withdrawal({
            account: accountOf(who),
            token: token(ofBase),
            amount: uint64(owned),
            to: address(0x70),
            nonce: ++_withdrawals[who],
            expiry: uint32(block.timestamp + EXIT_DELAY / 2)
        });
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        uint64 place = _careless ? 0 : _sequence - 1;
        bytes memory message = abi.encodeCall(
            IExchange.withdraw,
            (withdrawal, place, long(secretOf(who), digest), consent(digest, place))
        );
        _payouts.push(Payout(message, who, owned, ofBase, place, withdrawal.expiry, false));
        _open[who] = _payouts.length;
        sendPayout(_payouts.length - 1);
    }

    /// @dev By anybody, at any time, in any order: it pays just when what it stands behind is
    /// settled, once, while it lasts.
    function sendPayout(uint256 index) public {
        if (_payouts.length == 0) return;
        Payout storage payout = _payouts[index % _payouts.length];
        bool due = !payout.over && block.timestamp <= payout.expiry
            && payout.place < exchange.nextSequence();
        vm.prank(address(0xBAD));
        (bool done,) = address(exchange).call(payout.message);
        assertTrue(_careless || done == due, "paid when it is due and not before");
        done ? ++accepted : ++rejected;
        if (done) {
            payout.over = true;
            _open[payout.who] = 0;
        }
    }

    /// @dev What was not paid in time is given back.
    function giveBack(uint256 who) private {
        if (_open[who] == 0) return;
        Payout storage payout = _payouts[_open[who] - 1];
        if (block.timestamp <= payout.expiry) return;
        payout.ofBase ? _base[who] += payout.amount : _quote[who] += payout.amount;
        payout.over = true;
        _open[who] = 0;
    }

    function requestCancel(uint256 who, uint8 where, uint64 ahead) external {
        who %= TRADERS;
        uint64 nonce = _nonces[who] + ahead % 3;
        bool window = where % 3 == 0;
        bool upper = where % 3 == 1;
        bytes memory message =
            abi.encodeCall(IExchange.requestCancel, (window ? 0 : LANE, upper, nonce));
        if (!act(who, message)) return;
        // As admission does: a later request of lower nonces revives none of the higher ones.
        if (window) _windowDead[who] = max(_windowDead[who], nonce);
        else _laneDead[who][upper] = max(_laneDead[who][upper], nonce);
        finishCancel(who, where);
    }

    function finishCancel(uint256 who, uint8 where) public {
        who %= TRADERS;
        bool window = where % 3 == 0;
        act(
            who,
            abi.encodeCall(
                IExchange.finishCancel, (accountOf(who), window ? 0 : LANE, where % 3 == 1)
            )
        );
    }

    function max(uint64 a, uint64 b) private pure returns (uint64) {
        return a > b ? a : b;
    }

    function revokeKey(uint256 who) external {
        who %= TRADERS;
        if (act(who, abi.encodeCall(IExchange.revokeKey, (vm.addr(SESSION), ++_grants[who])))) {
            _keyDead[who] = true;
        }
    }

    /// @dev Try to narrow the key: a cap too small for what is on its way.
    function narrowKey(uint256 who, uint64 cap) external {
        who %= TRADERS;
        KeyGrant memory narrow = grantOf(who, uint64(bound(cap, 0, PRICE)));
        narrow.floorPrice = PRICE + 1;
        act(who, abi.encodeCall(IExchange.grantKey, (narrow, "")));
    }

    function transferAway(uint256 who, uint256 raw) external {
        who %= TRADERS;
        vm.prank(accountOf(who));
        (bool done,) = address(quote)
            .call(abi.encodeCall(IToken.transfer, (address(0xDEAD), bound(raw, 0, 1e6))));
        done ? ++accepted : ++rejected;
    }

    function act(uint256 who, bytes memory message) private returns (bool done) {
        vm.prank(accountOf(who));
        (done,) = address(exchange).call(message);
        done ? ++accepted : ++rejected;
    }

    function token(bool ofBase) private view returns (address) {
        return address(ofBase ? base : quote);
    }

    function grantOf(uint256 who, uint64 cap) private returns (KeyGrant memory plain) {
        plain = plainGrant();
        plain.account = accountOf(who);
        plain.notionalCap = cap;
        (plain.expiry, plain.floorPrice) = (FOREVER, PRICE / 2);
        plain.nonce = ++_grants[who];
    }

    function grant(uint256 who, uint64 cap) private {
        KeyGrant memory plain = grantOf(who, cap);
        vm.prank(accountOf(who));
        exchange.grantKey(plain, "");
    }
}
