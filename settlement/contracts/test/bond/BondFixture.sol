// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acknowledgement, Header, SignedPath} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

interface IBond {
    error NotOwner(address caller);
    error ZeroAddress();
    error NothingBonded();
    error NoRelease();
    error ReleaseNotReady(uint64 readyAt, uint256 now_);
    error ReleaseLapsed(uint64 lapsedAt, uint256 now_);
    error NoSuchPath(uint32 index, uint32 count, uint256 length);
    error NotAcknowledged(address recovered);
    error DifferentSequences(uint64 first, uint64 second);
    error SameItem(bytes32 item);
    error UnknownBatch(uint64 batch, bytes32 head);
    error NotCovered(uint64 sequence, uint64 firstSequence, uint32 commandCount);
    error NotInLog(bytes32 root, bytes32 logRoot);
    error Covered(uint64 sequence, uint64 nextSequence);
    error NotChallenged(uint64 sequence);
    error SilenceTooShort(uint64 silentAt, uint256 now_);

    function post(uint256 rawAmount) external;
    function requestRelease() external;
    function release() external;
    function proveEquivocation(
        Acknowledgement calldata first,
        SignedPath calldata firstPath,
        Acknowledgement calldata second,
        SignedPath calldata secondPath
    ) external;
    function proveOmission(
        Acknowledgement calldata acknowledgement,
        SignedPath calldata path,
        Header calldata header,
        uint256 tradeCount,
        bytes32 tradesRoot,
        bytes32 item,
        bytes32[] calldata siblings
    ) external;
    function challenge(Acknowledgement calldata acknowledgement, SignedPath calldata path)
        external;
    function proveSilence(uint64 sequence) external;
    function bonded() external view returns (uint256);
    function challenges(uint64 sequence) external view returns (uint64 silentAt);
    function releaseReadyAt() external view returns (uint64);
    function acknowledgementLeaf(Acknowledgement calldata acknowledgement)
        external
        pure
        returns (bytes32);
    function acknowledgementsDigest(bytes32 root) external view returns (bytes32);
    function RELEASE_DELAY() external view returns (uint64);
    function RELEASE_WINDOW() external view returns (uint64);
    function SILENCE_MAX() external view returns (uint64);
    function BURN() external view returns (address);
}

/// @title Bond fixture
/// @notice How does a test get a bonded operator with a log in batches?
abstract contract BondFixture is Fixture {
    uint256 internal constant STAKE = 1_000e6;

    IBond internal bond;
    /// @dev The log: item of sequence `i + 1`.
    bytes32[] internal log;
    /// @dev Headers of the settled batches, which have no trades.
    Header[] internal headers;

    function setUp() public virtual override {
        super.setUp();
        bond = IBond(
            vm.deployCode("Bond.sol:Bond", abi.encode(exchange, quote, operator, address(this)))
        );
        stake();
    }

    function stake() internal {
        quote.mint(address(this), STAKE);
        quote.approve(address(bond), STAKE);
        bond.post(STAKE);
    }

    /// @dev Commit to the next `count` items of a log made of `seed`, in a batch without trades.
    function commit(uint32 count, bytes32 seed) internal {
        bytes32[] memory items = new bytes32[](count);
        uint64 first = uint64(log.length) + 1;
        for (uint256 i; i < count; ++i) {
            items[i] = keccak256(abi.encode(seed, i));
            log.push(items[i]);
        }
        Batch memory batch;
        batch.header = Header({
            batch: exchange.nextBatch(),
            prevHead: exchange.head(),
            closeTime: uint64(block.timestamp),
            logRoot: rootOf(items),
            firstSequence: first,
            commandCount: count
        });
        headers.push(batch.header);
        settle(batch);
    }

    function acknowledge(uint64 sequence, bytes32 item)
        internal
        pure
        returns (Acknowledgement memory)
    {
        return Acknowledgement({sequence: sequence, item: item, head: "log head"});
    }

    /// @dev Signed alone: a tree of one leaf.
    function signed(Acknowledgement memory acknowledgement, uint256 secret)
        internal
        view
        returns (SignedPath memory)
    {
        Acknowledgement[] memory alone = new Acknowledgement[](1);
        alone[0] = acknowledgement;
        return signedAmong(alone, 0, secret);
    }

    /// @dev One signature over all of `said`; the path of the one at `index`.
    function signedAmong(Acknowledgement[] memory said, uint256 index, uint256 secret)
        internal
        view
        returns (SignedPath memory)
    {
        bytes32[] memory leaves = new bytes32[](said.length);
        for (uint256 i; i < said.length; ++i) {
            leaves[i] = bond.acknowledgementLeaf(said[i]);
        }
        return SignedPath({
            index: uint32(index),
            count: uint32(said.length),
            siblings: pathOf(leaves, index),
            signature: signedRoot(rootOf(leaves), secret)
        });
    }

    function signedRoot(bytes32 root, uint256 secret) internal view returns (bytes memory) {
        return long(secret, bond.acknowledgementsDigest(root));
    }

    /// @dev Path of `sequence` within the batch of this header.
    function pathIn(Header memory header, uint64 sequence)
        internal
        view
        returns (bytes32[] memory)
    {
        bytes32[] memory items = new bytes32[](header.commandCount);
        for (uint256 i; i < items.length; ++i) {
            items[i] = log[header.firstSequence - 1 + i];
        }
        return pathOf(items, sequence - header.firstSequence);
    }

    function rootOf(bytes32[] memory leaves) internal pure returns (bytes32) {
        bytes32[] memory nodes = leaves;
        while (nodes.length > 1) {
            bytes32[] memory parents = new bytes32[]((nodes.length + 1) / 2);
            for (uint256 i; i < parents.length; ++i) {
                parents[i] = 2 * i + 1 < nodes.length
                    ? keccak256(abi.encode(nodes[2 * i], nodes[2 * i + 1]))
                    : nodes[2 * i];
            }
            nodes = parents;
        }
        return nodes.length == 0 ? bytes32(0) : nodes[0];
    }
}
