// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Signatures} from "../../src/libraries/Signatures.sol";
import {Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";

/// @title Tests of replaced roles and exchanges
/// @notice Does a role end with its replacement, and does an exchange end without losing a pip?
contract HandoverTest is Fixture {
    address internal constant NEXT = address(0x4E47);

    function replaceExchange() internal {
        custodian.proposeExchange(NEXT);
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.appointExchange();
    }

    function test_a_replaced_operator_settles_no_more_and_the_new_one_does() public {
        exchange.setOperator(alice);
        refuse(plainBatch(), abi.encodeWithSelector(IExchange.NotOperator.selector, operator));
        Batch memory batch = plainBatch();
        vm.prank(alice);
        send(batch);
        assertEq(exchange.nextBatch(), 2, "settled");
    }

    /// @dev A consent that was given and not used dies with the role.
    function test_the_consent_of_a_replaced_operator_is_worth_nothing() public {
        Withdrawal memory withdrawal = plainWithdrawal();
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        (bytes memory owner, bytes memory stale) = (long(ALICE, digest), consent(digest, 0));
        exchange.setOperator(bob);
        vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bob, operator));
        exchange.withdraw(withdrawal, 0, owner, stale);
        exchange.withdraw(withdrawal, 0, owner, long(BOB, countersignatureDigest(digest, 0)));
        assertEq(quote.balanceOf(address(0x70)), 10e6, "the new operator's counts");
    }

    /// @dev Roles are apart: neither the operator nor who gets the fees can name anybody.
    function test_no_role_names_another() public {
        address[3] memory callers = [operator, FEES, bob];
        for (uint256 i; i < callers.length; ++i) {
            bytes memory reason = abi.encodeWithSelector(IExchange.NotAdmin.selector, callers[i]);
            vm.prank(callers[i]);
            vm.expectRevert(reason);
            exchange.setOperator(callers[i]);
            vm.prank(callers[i]);
            vm.expectRevert(reason);
            exchange.setFeeReceiver(callers[i]);
            vm.prank(callers[i]);
            vm.expectRevert(reason);
            exchange.listToken(address(quote), 1);
            vm.prank(callers[i]);
            vm.expectRevert(reason);
            exchange.setPaused(address(quote), true);
        }
    }

    function test_each_role_of_a_new_exchange_is_somebodys() public {
        for (uint256 nobody; nobody < 3; ++nobody) {
            address[3] memory roles = [alice, bob, FEES];
            roles[nobody] = address(0);
            vm.expectRevert(abi.encodeWithSelector(IExchange.ZeroAddress.selector));
            this.tryDeploy(roles[0], roles[1], roles[2]);
        }
        this.tryDeploy(alice, bob, FEES);
    }

    function tryDeploy(address admin, address operator_, address fees) external {
        bytes memory arguments =
            abi.encode(admin, operator_, fees, custodian, HORIZON, EXIT_DELAY, DEADMAN_DELAY);
        bytes memory code = bytes.concat(vm.getCode("Exchange.sol:Exchange"), arguments);
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    /// @dev A payment the custodian refuses takes nothing off the balance, and the request stays.
    function test_a_replaced_exchange_pays_nobody_and_forgets_nothing() public {
        settle(plainBatch());
        vm.prank(alice);
        exchange.requestExit(address(quote), 30e8);
        uint64 held = exchange.balanceOf(alice, address(quote));
        uint64 fees = exchange.feesOf(address(quote));
        replaceExchange();
        bytes memory reason = abi.encodeWithSignature("NotExchange(address)", exchange);
        vm.expectRevert(reason);
        exchange.finishExit(alice, address(quote));
        vm.expectRevert(reason);
        exchange.sweepFees(address(quote));
        (uint64 amount,) = exchange.exitOf(alice, address(quote));
        assertEq(amount, 30e8, "the request");
        assertEq(exchange.balanceOf(alice, address(quote)), held, "the balance");
        assertEq(exchange.feesOf(address(quote)), fees, "the fees");
    }

    /// @dev Until the very second of the appointment the old exchange is the only one that pays.
    function test_who_is_only_proposed_pays_nothing() public {
        custodian.proposeExchange(NEXT);
        vm.prank(NEXT);
        vm.expectRevert(abi.encodeWithSignature("NotExchange(address)", NEXT));
        custodian.pay(address(quote), NEXT, 1);
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.appointExchange();
        vm.prank(NEXT);
        custodian.pay(address(quote), NEXT, 1);
        assertEq(quote.balanceOf(NEXT), 1, "from now on");
    }

    function test_a_later_proposal_waits_anew() public {
        custodian.proposeExchange(address(0xBAD));
        vm.warp(block.timestamp + 2 * EXIT_DELAY);
        custodian.proposeExchange(NEXT);
        uint256 readyAt = block.timestamp + 2 * EXIT_DELAY;
        vm.expectRevert(
            abi.encodeWithSignature("ChangeNotReady(uint64,uint256)", readyAt, block.timestamp)
        );
        custodian.appointExchange();
        vm.warp(readyAt);
        custodian.appointExchange();
        assertEq(custodian.exchange(), NEXT, "the last one proposed");
    }

    /// @dev A fork of the chain signs in a domain of its own, and the old chain keeps its own.
    function testFuzz_a_fork_has_another_domain(uint64 id) public {
        vm.assume(id != 0 && id != block.chainid);
        uint256 home = block.chainid;
        bytes32 here = exchange.domainSeparator();
        vm.chainId(id);
        bytes32 expected = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,"
                    "address verifyingContract)"
                ),
                keccak256("Tillbook"),
                keccak256("1"),
                uint256(id),
                exchange
            )
        );
        assertEq(exchange.domainSeparator(), expected, "there");
        vm.chainId(home);
        assertEq(exchange.domainSeparator(), here, "here");
    }
}
