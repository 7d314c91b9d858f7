// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, Header, SignedPath} from "../../src/interfaces/Types.sol";
import {BondFixture, IBond} from "./BondFixture.sol";

/// @title Honest operator invariant
/// @notice Can an honest operator be slashed?
contract HonestLogTest is BondFixture {
    Accuser internal accuser;

    function setUp() public override {
        accuser = new Accuser();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(accuser);
    }

    function invariant_an_honest_log_is_never_slashed() public view {
        accuser.checkStake();
    }

    function afterInvariant() public view {
        assertTrue(accuser.refused() > 40, "enough was tried");
        assertTrue(accuser.slashed() > 0, "and the tries are no nonsense: a lie is found");
    }
}

/// @dev The operator acknowledges each item, alone or among others, and commits to just these. The
/// accuser has all acknowledgements with their paths and the whole log, may mix, shift and forge
/// whatever has no signature, and now and then has a lie of another operator, which must be found.
contract Accuser is BondFixture {
    uint256 public refused;
    uint256 public slashed;
    uint256 private constant LIAR = 0x11A8;
    IBond private _liarsBond;

    constructor() {
        super.setUp();
        _liarsBond = IBond(
            vm.deployCode(
                "Bond.sol:Bond", abi.encode(exchange, quote, vm.addr(LIAR), address(this))
            )
        );
        commit(4, "genesis");
    }

    function setUp() public pure override {}

    function checkStake() external view {
        assertEq(bond.bonded(), STAKE, "an honest bond is whole");
    }

    function settleMore(uint256 count, bytes32 seed) external {
        if (log.length < 64) commit(uint32(bound(count, 1, 9)), seed);
    }

    /// @dev Two true acknowledgements of any two places, one perhaps tampered with after signing.
    function accuseOfEquivocation(
        uint256 one,
        uint256 other,
        uint256 among,
        bytes32 forged,
        bool tamper
    ) external {
        (Acknowledgement memory first, SignedPath memory firstPath) = honest(one, among);
        (Acknowledgement memory second, SignedPath memory secondPath) = honest(other, among);
        if (tamper) {
            second.item = forged;
            second.sequence = first.sequence;
        }
        note(abi.encodeCall(IBond.proveEquivocation, (first, firstPath, second, secondPath)));
    }

    /// @dev Any claim under a root that was signed, by a path that is cut, lengthened or turned.
    function accuseByAForgedPath(
        uint256 one,
        uint256 among,
        uint256 how,
        uint32 index,
        uint32 count,
        bytes32 forged
    ) external {
        (Acknowledgement memory first, SignedPath memory path) = honest(one, among);
        SignedPath memory turned = SignedPath({
            index: how % 2 == 0 ? path.index >> 1 : index,
            count: how % 3 == 0 ? (path.count + 1) >> 1 : how % 3 == 1 ? path.count : count,
            siblings: path.siblings,
            signature: path.signature
        });
        if (how % 5 == 1) turned.siblings = appended(path.siblings, forged);
        if (how % 5 > 1 && path.siblings.length > 0) {
            turned.siblings = new bytes32[](path.siblings.length - 1);
            uint256 from = how % 5 == 2 ? 0 : 1;
            for (uint256 i; i < turned.siblings.length; ++i) {
                turned.siblings[i] = path.siblings[i + from];
            }
        }
        Acknowledgement memory claimed = acknowledge(first.sequence, forged);
        note(abi.encodeCall(IBond.proveEquivocation, (first, path, claimed, turned)));
    }

    /// @dev A true acknowledgement against the path of any place of any batch; the header may be
    /// forged.
    function accuseOfOmission(uint256 said, uint256 at, uint256 place, bytes32 item, uint256 how)
        external
    {
        (Acknowledgement memory first, SignedPath memory path) = honest(said, how);
        Header memory header = headers[at % headers.length];
        uint64 shown = header.firstSequence + uint64(place % header.commandCount);
        bytes32[] memory siblings = pathIn(header, shown);
        bytes32 claimed = how % 2 == 0 ? log[shown - 1] : item;
        if (how % 5 == 1) header.firstSequence = uint64(first.sequence);
        if (how % 7 == 1) header.logRoot = claimed;
        if (how % 11 == 1 && siblings.length > 0) siblings[0] = item;
        note(abi.encodeCall(IBond.proveOmission, (first, path, header, 0, 0, claimed, siblings)));
    }

    /// @dev The operator is silent for no longer than it may be: it covers what was challenged.
    function accuseOfSilence(uint256 ahead, uint64 time, bytes32 seed) external {
        uint64 sequence = uint64(log.length + bound(ahead, 0, 2));
        Acknowledgement memory said = acknowledge(sequence, "soon");
        SignedPath memory path = signed(said, OPERATOR);
        (bool taken,) = address(bond).call(abi.encodeCall(IBond.challenge, (said, path)));
        assertTrue(taken == (sequence > log.length), "only what is not covered yet");
        vm.warp(block.timestamp + bound(time, 0, bond.SILENCE_MAX()));
        for (uint32 count = 2; count > 0; --count) {
            uint64 silentAt = bond.challenges(uint64(log.length + count));
            if (silentAt != 0 && silentAt <= block.timestamp) commit(count, seed);
        }
        note(abi.encodeCall(IBond.proveSilence, (sequence)));
    }

    /// @dev The same accusation with a lie in it, against the bond of who signed the lie.
    function accuseLiar(uint256 at, uint256 place, bytes32 lie) external {
        Header memory header = headers[at % headers.length];
        uint64 shown = header.firstSequence + uint64(place % header.commandCount);
        if (lie == log[shown - 1]) return;
        quote.mint(address(_liarsBond), 1e6);
        Acknowledgement memory said = acknowledge(shown, lie);
        _liarsBond.proveOmission(
            said, signed(said, LIAR), header, 0, 0, log[shown - 1], pathIn(header, shown)
        );
        ++slashed;
    }

    /// @dev What was said about a place of the log, signed together with its neighbours.
    function honest(uint256 place, uint256 among)
        private
        view
        returns (Acknowledgement memory said, SignedPath memory path)
    {
        uint256 at = place % log.length;
        uint256 first = at - among % (at + 1);
        uint256 count = at - first + 1 + among % (log.length - at);
        Acknowledgement[] memory all = new Acknowledgement[](count > 9 ? at - first + 1 : count);
        for (uint256 i; i < all.length; ++i) {
            all[i] = acknowledge(uint64(first + i + 1), log[first + i]);
        }
        return (all[at - first], signedAmong(all, at - first, OPERATOR));
    }

    function note(bytes memory message) private {
        (bool done,) = address(bond).call(message);
        assertTrue(!done, "no proof against an honest operator");
        ++refused;
    }
}
