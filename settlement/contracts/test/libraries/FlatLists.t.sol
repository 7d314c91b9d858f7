// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FlatLists} from "../../src/libraries/FlatLists.sol";
import {Base} from "../Base.sol";

/// @title Flat list tests
/// @notice Do the hand-written accesses read and write what Solidity's own would?
contract FlatListsTest is Base {
    function testFuzz_words_are_read_and_written_in_their_place(
        uint256[] memory list,
        uint256 which,
        uint256 value
    ) public pure {
        vm.assume(list.length != 0);
        which = bound(which, 0, list.length - 1);
        uint256[] memory replaced = new uint256[](list.length);
        for (uint256 i; i < list.length; ++i) {
            replaced[i] = list[i];
            assertEq(FlatLists.get(list, i), list[i], "read");
        }
        uint256[] memory behind = new uint256[](1);
        replaced[which] = value;
        FlatLists.put(list, which, value);
        assertEq(hashOf(list), hashOf(replaced), "this word and no other");
        assertEq(behind[0], 0, "nothing behind it");
    }

    function testFuzz_hashes_are_read_and_written_in_their_place(
        bytes32[] memory list,
        uint256 which,
        bytes32 value
    ) public pure {
        vm.assume(list.length != 0);
        which = bound(which, 0, list.length - 1);
        bytes32[] memory replaced = new bytes32[](list.length);
        for (uint256 i; i < list.length; ++i) {
            replaced[i] = list[i];
            assertEq(FlatLists.get(list, i), list[i], "read");
        }
        bytes32[] memory behind = new bytes32[](1);
        replaced[which] = value;
        FlatLists.put(list, which, value);
        assertEq(
            keccak256(abi.encode(list)), keccak256(abi.encode(replaced)), "this hash and no other"
        );
        assertEq(behind[0], 0, "nothing behind it");
    }

    function hashOf(uint256[] memory list) private pure returns (bytes32) {
        return keccak256(abi.encode(list));
    }
}
