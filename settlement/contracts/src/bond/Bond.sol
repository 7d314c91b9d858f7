// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {
    ReentrancyGuardTransient
} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Digests} from "../libraries/Digests.sol";
import {Heads} from "../libraries/Heads.sol";
import {IExchange} from "../interfaces/IExchange.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Acknowledgement, Header, SignedPath} from "../interfaces/Types.sol";

/// @title Tillbook operator bond
/// @notice What does it cost the operator to break its word?
/// A deposit of the operator, forfeit when anybody shows two signed acknowledgements that
/// contradict each other, one that contradicts the log of a settled batch, or one that no batch
/// covers though it was challenged long ago. One signature is over the root of a tree of
/// acknowledgements, so each is shown with its path.
/// @dev Invariant: an operator that signs at most one item per sequence, commits to just these
/// items, and does so within the time of a challenge, cannot be slashed. The whole bond goes at
/// once, and all of it is burnt: a proof is public before it is mined, so a reward would go to
/// whoever copies it, and the liar, who knows its lies first, would have a part of its bond back.
contract Bond is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Only the owner of the bond may do this.
    error NotOwner(address caller);
    /// @notice An address that must be somebody is zero.
    error ZeroAddress();
    /// @notice There is nothing to forfeit or to release.
    error NothingBonded();
    /// @notice No release was asked for.
    error NoRelease();
    /// @notice The release was asked for too recently; proofs must have their time.
    error ReleaseNotReady(uint64 readyAt, uint256 now_);
    /// @notice The release was asked for too long ago: ask again, so that all see it coming.
    error ReleaseLapsed(uint64 lapsedAt, uint256 now_);
    /// @notice No path: the place does not exist, or its path has another length.
    error NoSuchPath(uint32 index, uint32 count, uint256 length);
    /// @notice The root that the path leads to is not the bonded signer's word.
    error NotAcknowledged(address recovered);
    /// @notice The acknowledgements are of different sequences.
    error DifferentSequences(uint64 first, uint64 second);
    /// @notice Both acknowledgements, or acknowledgement and log, name the same item.
    error SameItem(bytes32 item);
    /// @notice The exchange settled no such batch.
    error UnknownBatch(uint64 batch, bytes32 head);
    /// @notice The batch's log does not reach to the sequence.
    error NotCovered(uint64 sequence, uint64 firstSequence, uint32 commandCount);
    /// @notice The item is not what the batch's log root has at that sequence.
    error NotInLog(bytes32 root, bytes32 logRoot);
    /// @notice A settled batch covers the sequence: the operator has answered.
    error Covered(uint64 sequence, uint64 nextSequence);
    /// @notice Nobody has challenged the sequence.
    error NotChallenged(uint64 sequence);
    /// @notice The operator still has time to settle a batch that covers the sequence.
    error SilenceTooShort(uint64 silentAt, uint256 now_);

    /// @notice The bond was raised to `rawAmount`.
    event Bonded(uint256 rawAmount);
    /// @notice The owner wants its bond back.
    event ReleaseRequested(uint64 readyAt);
    /// @notice The bond was paid back.
    event Released(uint256 rawAmount);
    /// @notice An acknowledged `sequence` must be in a batch before `silentAt`.
    event Challenged(uint64 indexed sequence, uint64 silentAt);
    /// @notice The operator broke its word about `sequence`.
    event Slashed(address indexed prover, uint64 indexed sequence, uint256 burnt);

    /// @notice Seconds between the wish to release the bond and its payment.
    uint64 public constant RELEASE_DELAY = 30 days;
    /// @notice Seconds from then on within which it must be paid, or the wish lapses.
    uint64 public constant RELEASE_WINDOW = 3 days;
    /// @notice Seconds the operator has to cover a challenged sequence with a batch. An exchange
    /// without trades settles an empty batch every day.
    uint64 public constant SILENCE_MAX = 7 days;
    /// @notice Where a forfeit bond goes; nobody has its key.
    address public constant BURN = address(0xdead);

    /// @notice Whose batches commit to the log, and whose domain acknowledgements are signed in.
    IExchange public immutable exchange;
    /// @notice What is bonded.
    IERC20 public immutable token;
    /// @notice Whose signature acknowledges.
    address public immutable signer;
    /// @notice Who gets the bond back.
    address public immutable owner;
    /// @notice From this second on, for the window, the bond may be released; zero if nobody asked.
    uint64 public releaseReadyAt;
    /// @notice From this second on a sequence that no batch covers forfeits; zero if unchallenged.
    mapping(uint64 sequence => uint64 silentAt) public challenges;

    constructor(IExchange exchange_, IERC20 token_, address signer_, address owner_) {
        if (signer_ == address(0) || owner_ == address(0)) revert ZeroAddress();
        exchange = exchange_;
        token = token_;
        signer = signer_;
        owner = owner_;
    }

    /// @notice Add to the bond. Anyone may; the owner takes a wish to release it back by this.
    function post(uint256 rawAmount) external nonReentrant {
        if (msg.sender == owner) releaseReadyAt = 0;
        token.safeTransferFrom(msg.sender, address(this), rawAmount);
        emit Bonded(bonded());
    }

    /// @notice Start to take the bond back. Owner only.
    function requestRelease() external {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        releaseReadyAt = uint64(block.timestamp) + RELEASE_DELAY;
        emit ReleaseRequested(releaseReadyAt);
    }

    /// @notice Take the bond back, once the delay is over. Owner only.
    function release() external nonReentrant {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        if (releaseReadyAt == 0) revert NoRelease();
        if (block.timestamp < releaseReadyAt) {
            revert ReleaseNotReady(releaseReadyAt, block.timestamp);
        }
        if (!_isRipe()) revert ReleaseLapsed(releaseReadyAt + RELEASE_WINDOW, block.timestamp);
        releaseReadyAt = 0;
        uint256 rawAmount = token.balanceOf(address(this));
        emit Released(rawAmount);
        token.safeTransfer(owner, rawAmount);
    }

    /// @notice Show two acknowledgements of different items at one sequence, under two signatures
    /// or under one. Anyone may.
    function proveEquivocation(
        Acknowledgement calldata first,
        SignedPath calldata firstPath,
        Acknowledgement calldata second,
        SignedPath calldata secondPath
    ) external nonReentrant {
        _requireSigned(first, firstPath);
        _requireSigned(second, secondPath);
        if (first.sequence != second.sequence) {
            revert DifferentSequences(first.sequence, second.sequence);
        }
        if (first.item == second.item) revert SameItem(first.item);
        _slash(first.sequence);
    }

    /// @notice Show that the log a batch commits to has another item at an acknowledged sequence.
    /// @param header Header of the settled batch that covers the sequence.
    /// @param tradeCount How many trades that batch has.
    /// @param tradesRoot Their Merkle root.
    /// @param item What the log has at the sequence.
    /// @param siblings Path from that item to the batch's log root, bottom up.
    function proveOmission(
        Acknowledgement calldata acknowledgement,
        SignedPath calldata path,
        Header calldata header,
        uint256 tradeCount,
        bytes32 tradesRoot,
        bytes32 item,
        bytes32[] calldata siblings
    ) external nonReentrant {
        _requireSigned(acknowledgement, path);
        bytes32 head = Heads.headOf(header, tradeCount, tradesRoot);
        if (exchange.batchHash(header.batch) != head) revert UnknownBatch(header.batch, head);
        uint64 sequence = acknowledgement.sequence;
        if (
            sequence < header.firstSequence
                || sequence - header.firstSequence >= header.commandCount
        ) {
            revert NotCovered(sequence, header.firstSequence, header.commandCount);
        }
        bytes32 root =
            Merkle.rootFrom(item, sequence - header.firstSequence, header.commandCount, siblings);
        if (root == 0 || root != header.logRoot) revert NotInLog(root, header.logRoot);
        if (item == acknowledgement.item) revert SameItem(item);
        _slash(sequence);
    }

    /// @notice Call for a batch that covers an acknowledged sequence. Anyone may.
    function challenge(Acknowledgement calldata acknowledgement, SignedPath calldata path)
        external
    {
        _requireSigned(acknowledgement, path);
        uint64 sequence = acknowledgement.sequence;
        _requireUncovered(sequence);
        if (challenges[sequence] != 0) return; // The first one counts.
        uint64 silentAt = uint64(block.timestamp) + SILENCE_MAX;
        challenges[sequence] = silentAt;
        emit Challenged(sequence, silentAt);
    }

    /// @notice Show that no batch has covered a challenged sequence in time. Anyone may.
    function proveSilence(uint64 sequence) external nonReentrant {
        uint64 silentAt = challenges[sequence];
        if (silentAt == 0) revert NotChallenged(sequence);
        if (block.timestamp < silentAt) revert SilenceTooShort(silentAt, block.timestamp);
        _requireUncovered(sequence);
        _slash(sequence);
    }

    /// @notice What is at stake, raw units: nothing while the owner may take it within a block.
    function bonded() public view returns (uint256 rawAmount) {
        return _isRipe() ? 0 : token.balanceOf(address(this));
    }

    /// @notice Leaf of an acknowledgement in the tree whose root the operator signs.
    function acknowledgementLeaf(Acknowledgement calldata acknowledgement)
        public
        pure
        returns (bytes32)
    {
        return Digests.leafOf(acknowledgement);
    }

    /// @notice Digest the operator signs to acknowledge all that is under `root`.
    function acknowledgementsDigest(bytes32 root) public view returns (bytes32) {
        return Digests.ofAcknowledgements(exchange.domainSeparator(), root);
    }

    function _requireSigned(Acknowledgement calldata acknowledgement, SignedPath calldata path)
        private
        view
    {
        bytes32 leaf = acknowledgementLeaf(acknowledgement);
        bytes32 root = Merkle.rootFrom(leaf, path.index, path.count, path.siblings);
        // Not left to the signature: whoever signed a root of zero would have signed all of these.
        if (root == 0) revert NoSuchPath(path.index, path.count, path.siblings.length);
        address recovered = Signatures.recover(acknowledgementsDigest(root), path.signature);
        if (recovered != signer) revert NotAcknowledged(recovered);
    }

    /// @dev Sequences are settled without a gap, so what lies before the next one is covered.
    function _requireUncovered(uint64 sequence) private view {
        uint64 next = exchange.nextSequence();
        if (sequence < next) revert Covered(sequence, next);
    }

    /// @dev May the owner take the bond now?
    function _isRipe() private view returns (bool) {
        uint64 readyAt = releaseReadyAt;
        return
            readyAt != 0 && block.timestamp >= readyAt
                && block.timestamp <= readyAt + RELEASE_WINDOW;
    }

    function _slash(uint64 sequence) private {
        uint256 rawAmount = token.balanceOf(address(this));
        if (rawAmount == 0) revert NothingBonded();
        emit Slashed(msg.sender, sequence, rawAmount);
        token.safeTransfer(BURN, rawAmount);
    }
}
