// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, Header, SignedPath} from "../../src/interfaces/Types.sol";
import {Digests} from "../../src/libraries/Digests.sol";
import {BondFixture, IBond} from "./BondFixture.sol";

/// @title Bond path tests
/// @notice Does one signature stand for each acknowledgement under it, and for nothing else?
contract BondPathsTest is BondFixture {
    event Challenged(uint64 indexed sequence, uint64 silentAt);
    event Slashed(address indexed prover, uint64 indexed sequence, uint256 burnt);

    uint256 private constant MOST = 40;
    address private prover = address(0x9A0);

    function setUp() public override {
        super.setUp();
        commit(5, "first");
    }

    /// @dev So many acknowledgements in a row, from the first sequence on that no batch covers.
    function inARow(uint256 count, bytes32 seed)
        private
        view
        returns (Acknowledgement[] memory all)
    {
        all = new Acknowledgement[](count);
        for (uint256 i; i < count; ++i) {
            all[i] = acknowledge(uint64(log.length + 1 + i), keccak256(abi.encode(seed, i)));
        }
    }

    /// @dev The error by which a path is refused; no function of the bond takes it.
    function refusal(Acknowledgement memory said, SignedPath memory path)
        private
        returns (bytes4 reason)
    {
        reason = refusalOf(abi.encodeCall(IBond.challenge, (said, path)));
        Acknowledgement memory other = acknowledge(said.sequence, "another");
        SignedPath memory good = signed(other, OPERATOR);
        bytes memory call = abi.encodeCall(IBond.proveEquivocation, (said, path, other, good));
        assertEq(refusalOf(call), reason, "as the first of two");
        call = abi.encodeCall(IBond.proveEquivocation, (other, good, said, path));
        assertEq(refusalOf(call), reason, "as the second");
        bytes32[] memory siblings = pathIn(headers[0], 1);
        call =
            abi.encodeCall(IBond.proveOmission, (said, path, headers[0], 0, 0, log[0], siblings));
        assertEq(refusalOf(call), reason, "against a log");
    }

    function refusalOf(bytes memory call) private returns (bytes4) {
        (bool taken, bytes memory told) = address(bond).call(call);
        assertTrue(!taken, "taken");
        return bytes4(told);
    }

    function cut(bytes32[] memory siblings, uint256 from)
        private
        pure
        returns (bytes32[] memory shorter)
    {
        shorter = new bytes32[](siblings.length - 1);
        for (uint256 i; i < shorter.length; ++i) {
            shorter[i] = siblings[i + from];
        }
    }

    // ---------------------------------------------------------------- what one signature says

    function testFuzz_each_of_a_tree_is_the_operators_word(
        uint256 size,
        uint256 place,
        bytes32 seed
    ) public {
        size = bound(size, 1, MOST);
        place = bound(place, 0, size - 1);
        Acknowledgement[] memory all = inARow(size, seed);
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        vm.expectEmit(address(bond));
        emit Challenged(all[place].sequence, uint64(block.timestamp) + bond.SILENCE_MAX());
        bond.challenge(all[place], path);
    }

    function testFuzz_two_words_of_two_trees(
        uint256 one,
        uint256 other,
        uint256 place,
        bytes32 seed
    ) public {
        one = bound(one, 1, MOST);
        other = bound(other, 1, MOST);
        place = bound(place, 0, (one < other ? one : other) - 1);
        Acknowledgement[] memory first = inARow(one, seed);
        Acknowledgement[] memory second = inARow(other, ~seed);
        SignedPath memory firstPath = signedAmong(first, place, OPERATOR);
        SignedPath memory secondPath = signedAmong(second, place, OPERATOR);
        vm.prank(prover);
        vm.expectEmit(address(bond));
        emit Slashed(prover, first[place].sequence, STAKE);
        bond.proveEquivocation(first[place], firstPath, second[place], secondPath);
    }

    /// @dev A liar that puts both into one tree has signed both.
    function testFuzz_two_words_under_one_signature(
        uint256 size,
        uint256 one,
        uint256 other,
        bytes32 seed
    ) public {
        size = bound(size, 2, MOST);
        one = bound(one, 0, size - 1);
        other = bound(other, 0, size - 1);
        vm.assume(one != other);
        Acknowledgement[] memory all = inARow(size, seed);
        all[other].sequence = all[one].sequence;
        SignedPath memory onePath = signedAmong(all, one, OPERATOR);
        SignedPath memory otherPath = signedAmong(all, other, OPERATOR);
        vm.prank(prover);
        vm.expectEmit(address(bond));
        emit Slashed(prover, all[one].sequence, STAKE);
        bond.proveEquivocation(all[one], onePath, all[other], otherPath);
    }

    function testFuzz_a_log_contradicts_a_word_among_others(
        uint256 size,
        uint256 place,
        bytes32 lie
    ) public {
        size = bound(size, 1, log.length);
        place = bound(place, 0, size - 1);
        vm.assume(lie != log[place]);
        Acknowledgement[] memory all = new Acknowledgement[](size);
        for (uint256 i; i < size; ++i) {
            all[i] = acknowledge(uint64(i + 1), i == place ? lie : log[i]);
        }
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        bytes32[] memory siblings = pathIn(headers[0], uint64(place + 1));
        vm.prank(prover);
        vm.expectEmit(address(bond));
        emit Slashed(prover, uint64(place + 1), STAKE);
        bond.proveOmission(all[place], path, headers[0], 0, 0, log[place], siblings);
    }

    /// @dev The same word with the others of its batch and, after a restart, alone.
    function test_the_same_word_in_two_trees_is_honest() public {
        Acknowledgement[] memory all = inARow(3, "same");
        SignedPath memory among = signedAmong(all, 1, OPERATOR);
        SignedPath memory alone = signed(all[1], OPERATOR);
        vm.expectRevert(abi.encodeWithSelector(IBond.SameItem.selector, all[1].item));
        bond.proveEquivocation(all[1], among, all[1], alone);
    }

    /// @dev A tree of which no leaf was made by our software: what was signed is signed.
    function test_a_leaf_beside_an_inner_node_is_a_word_too() public {
        Acknowledgement[] memory all = inARow(3, "lopsided");
        bytes32[] memory siblings = new bytes32[](1);
        siblings[0] = "any 32 bytes";
        bytes32 root = keccak256(abi.encode(siblings[0], bond.acknowledgementLeaf(all[2])));
        SignedPath memory path = SignedPath(1, 2, siblings, signedRoot(root, OPERATOR));
        bond.challenge(all[2], path);
        assertTrue(bond.challenges(all[2].sequence) != 0, "its time runs");
    }

    // ---------------------------------------------------------------- what it does not say

    function test_the_first_reasons_in_full() public {
        Acknowledgement[] memory all = inARow(3, "reasons");
        SignedPath memory path = signedAmong(all, 2, OPERATOR);
        path.index = 3;
        vm.expectRevert(abi.encodeWithSelector(IBond.NoSuchPath.selector, 3, 3, 1));
        bond.challenge(all[2], path);
        path = signedAmong(all, 2, ALICE);
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, alice));
        bond.challenge(all[2], path);
    }

    function testFuzz_another_place(uint256 size, uint256 place, uint32 claimed, bytes32 seed)
        public
    {
        size = bound(size, 1, MOST);
        place = bound(place, 0, size - 1);
        if (claimed % 2 == 0) claimed = uint32(bound(claimed, 0, size));
        vm.assume(claimed != place);
        Acknowledgement[] memory all = inARow(size, seed);
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        path.index = claimed;
        bytes4 reason = refusal(all[place], path);
        if (claimed >= size) {
            assertEq(reason, IBond.NoSuchPath.selector, "there is no such place");
        } else if (reason != IBond.NoSuchPath.selector) {
            assertEq(reason, IBond.NotAcknowledged.selector, "another root");
        }
    }

    /// @dev A count that gives the path the same turns leads to the same root and is harmless: the
    /// leaf is what was signed. With any count, nothing else is.
    function testFuzz_another_count_shows_nothing_else(
        uint256 size,
        uint256 place,
        uint32 index,
        uint32 count,
        bytes32 forged
    ) public {
        size = bound(size, 1, MOST);
        place = bound(place, 0, size - 1);
        if (count % 2 == 0) count = uint32(bound(count, 0, 2 * MOST));
        if (index % 2 == 0 && count > 0) index = uint32(bound(index, 0, count - 1));
        Acknowledgement[] memory all = inARow(size, "count");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        (path.index, path.count) = (index, count);
        refusal(acknowledge(all[place].sequence, forged), path);
        refusal(acknowledge(all[place].sequence + 1, all[place].item), path);
    }

    function testFuzz_another_head_or_sequence(
        uint256 size,
        uint256 place,
        uint64 sequence,
        bytes32 head
    ) public {
        size = bound(size, 1, MOST);
        place = bound(place, 0, size - 1);
        Acknowledgement[] memory all = inARow(size, "fields");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        vm.assume(sequence != all[place].sequence && head != all[place].head);
        all[place].head = head;
        assertEq(refusal(all[place], path), IBond.NotAcknowledged.selector, "head");
        all[place] = inARow(size, "fields")[place];
        all[place].sequence = sequence;
        assertEq(refusal(all[place], path), IBond.NotAcknowledged.selector, "sequence");
    }

    function testFuzz_a_sibling_that_is_another(
        uint256 size,
        uint256 place,
        uint256 at,
        bytes32 forged
    ) public {
        size = bound(size, 2, MOST);
        place = bound(place, 0, size - 1);
        Acknowledgement[] memory all = inARow(size, "sibling");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        at = bound(at, 0, path.siblings.length - 1);
        vm.assume(forged != path.siblings[at]);
        path.siblings[at] = forged;
        assertEq(refusal(all[place], path), IBond.NotAcknowledged.selector, "another root");
    }

    function testFuzz_a_path_too_long_or_too_short(uint256 size, uint256 place, bytes32 more)
        public
    {
        size = bound(size, 1, MOST);
        place = bound(place, 0, size - 1);
        Acknowledgement[] memory all = inARow(size, "length");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        bytes32[] memory whole = path.siblings;
        path.siblings = appended(whole, more);
        assertEq(refusal(all[place], path), IBond.NoSuchPath.selector, "one more");
        path.siblings = new bytes32[](300);
        assertEq(refusal(all[place], path), IBond.NoSuchPath.selector, "far too many");
        if (whole.length == 0) return;
        path.siblings = cut(whole, 0);
        assertEq(refusal(all[place], path), IBond.NoSuchPath.selector, "the top is missing");
        path.siblings = cut(whole, 1);
        assertEq(refusal(all[place], path), IBond.NoSuchPath.selector, "the bottom is missing");
    }

    /// @dev A stranger who takes an inner node, or the root itself, for the leaf of a word of his.
    function testFuzz_an_inner_node_is_nobodys_word(uint256 size, uint256 place, bytes32 forged)
        public
    {
        size = bound(size, 2, MOST);
        place = bound(place, 0, size - 1);
        Acknowledgement[] memory all = inARow(size, "inner");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        Acknowledgement memory claimed = acknowledge(all[place].sequence, forged);
        for (uint256 left = path.siblings.length; left > 0; --left) {
            path.siblings = cut(path.siblings, 1);
            // A whole tree of this height, turned at each step as the index says.
            path.count = uint32(1 << path.siblings.length);
            path.index = uint32(place % path.count);
            assertEq(refusal(claimed, path), IBond.NotAcknowledged.selector, "another root");
        }
    }

    /// @dev The same stranger with more wit: he names the two children as item and head of a word.
    function testFuzz_two_children_are_nobodys_word(uint256 size, uint256 place, uint64 sequence)
        public
    {
        size = bound(size, 2, MOST);
        place = bound(place, 0, size - 1) | 1;
        if (place >= size) place -= 2;
        Acknowledgement[] memory all = inARow(size, "children");
        SignedPath memory path = signedAmong(all, place, OPERATOR);
        bytes32 right = bond.acknowledgementLeaf(all[place]);
        Acknowledgement memory claimed = Acknowledgement(sequence, path.siblings[0], right);
        path.siblings = cut(path.siblings, 1);
        (path.index, path.count) = (uint32(place / 2), uint32((size + 1) / 2));
        assertEq(refusal(claimed, path), IBond.NotAcknowledged.selector, "another root");
    }

    /// @dev Why no inner node is a leaf: four words are hashed for one, two for the other.
    function test_a_leaf_is_the_struct_hash_of_four_words() public view {
        Acknowledgement memory said = Acknowledgement(7, "item", "head");
        bytes memory words = abi.encode(
            keccak256("Acknowledgement(uint64 sequence,bytes32 item,bytes32 head)"),
            uint256(7),
            bytes32("item"),
            bytes32("head")
        );
        assertEq(words.length, 128, "an inner node's are 64");
        assertEq(bond.acknowledgementLeaf(said), keccak256(words), "the leaf");
    }

    // ---------------------------------------------------------------- what else is signed

    /// @dev The operator's own log and trades are no words, even if it signs their roots as such.
    function test_a_root_that_is_also_a_log_root_shows_no_item_of_the_log() public {
        Header memory header = headers[0];
        for (uint64 at = 1; at <= header.commandCount; ++at) {
            SignedPath memory path = SignedPath({
                index: uint32(at - header.firstSequence),
                count: header.commandCount,
                siblings: pathIn(header, at),
                signature: signedRoot(header.logRoot, OPERATOR)
            });
            Acknowledgement memory said = acknowledge(at, log[at - 1]);
            assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "an item");
        }
    }

    /// @dev An item hashes three words, of which the first is a sequence, as a word's own is.
    function testFuzz_an_item_of_the_log_is_no_leaf(
        uint64 sequence,
        bytes32 record,
        bytes32 events,
        bytes32 beside
    ) public {
        SignedPath memory path = SignedPath(0, 2, new bytes32[](1), "");
        path.siblings[0] = beside;
        bytes32 item = keccak256(abi.encode(sequence, record, events));
        path.signature = signedRoot(keccak256(abi.encode(item, beside)), OPERATOR);
        Acknowledgement memory claimed = Acknowledgement(sequence, record, events);
        assertEq(refusal(claimed, path), IBond.NotAcknowledged.selector, "an item");
    }

    function test_a_root_of_zero_is_no_word() public {
        SignedPath memory path;
        path.signature = signedRoot(0, OPERATOR);
        assertEq(
            refusal(acknowledge(9, "any"), path), IBond.NoSuchPath.selector, "nor its signature"
        );
    }

    function testFuzz_a_word_on_another_chain_or_exchange(uint64 chain, address elsewhere)
        public
    {
        vm.assume(chain != 0 && chain != block.chainid && elsewhere != address(exchange));
        Acknowledgement memory said = acknowledge(9, "said");
        SignedPath memory path = signed(said, OPERATOR);
        bytes32 root = bond.acknowledgementLeaf(said);
        bytes32 digest = Digests.ofAcknowledgements(Digests.domain(elsewhere), root);
        path.signature = long(OPERATOR, digest);
        assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "another exchange");
        uint256 here = block.chainid;
        vm.chainId(chain);
        digest = Digests.ofAcknowledgements(Digests.domain(address(exchange)), root);
        vm.chainId(here);
        path.signature = long(OPERATOR, digest);
        assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "another chain");
    }

    /// @dev What else the same key may have signed: a payout, or one word by itself, as it was
    /// signed before there were trees.
    function test_other_structs_of_the_same_key() public {
        Acknowledgement memory said = acknowledge(9, "said");
        SignedPath memory path = signed(said, OPERATOR);
        bytes32 leaf = bond.acknowledgementLeaf(said);
        bytes32 domain = exchange.domainSeparator();
        path.signature = long(OPERATOR, Digests.ofCountersignature(domain, leaf, 9));
        assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "a payout");
        path.signature = long(OPERATOR, keccak256(abi.encodePacked("\x19\x01", domain, leaf)));
        assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "a word by itself");
        path.signature = long(OPERATOR, leaf);
        assertEq(refusal(said, path), IBond.NotAcknowledged.selector, "a bare root");
    }

    function test_a_signature_of_another_form() public {
        Acknowledgement memory said = acknowledge(9, "said");
        SignedPath memory path = signed(said, OPERATOR);
        bytes memory whole = path.signature;
        path.signature = abi.encodePacked(whole, uint8(0));
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, address(0)));
        bond.challenge(said, path);
        path.signature = "";
        vm.expectRevert(abi.encodeWithSelector(IBond.NotAcknowledged.selector, address(0)));
        bond.challenge(said, path);
    }
}
