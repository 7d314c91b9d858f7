// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IExchange} from "../../src/interfaces/IExchange.sol";
import {Signatures} from "../../src/libraries/Signatures.sol";
import {KeyGrant, Withdrawal} from "../../src/interfaces/Types.sol";
import {Fixture} from "../Fixture.sol";
import {BrokenWallet, ContractWallet, MumblingWallet} from "../doubles/Wallets.sol";

/// @title Contract wallet tests
/// @notice Can a contract wallet trade and leave, without being asked while a batch settles?
contract ContractWalletsTest is Fixture {
    ContractWallet internal wallet = new ContractWallet(bob);
    address internal key = vm.addr(SESSION);

    function grantFor(address account) internal view returns (KeyGrant memory grant) {
        grant = plainGrant();
        grant.account = account;
    }

    function test_its_owner_registers_a_key_by_signature() public {
        KeyGrant memory grant = grantFor(address(wallet));
        exchange.grantKey(grant, long(BOB, exchange.grantDigest(grant)));
        assertEq(exchange.keyOf(address(wallet), key).sides, 2, "granted");
    }

    function test_it_registers_a_key_by_its_own_call() public {
        bytes memory message = abi.encodeCall(IExchange.grantKey, (grantFor(address(wallet)), ""));
        assertTrue(wallet.call(address(exchange), message), "granted");
        assertEq(exchange.keyOf(address(wallet), key).sides, 2, "granted");
    }

    function test_the_key_of_somebody_else_registers_nothing() public {
        KeyGrant memory grant = grantFor(address(wallet));
        bytes memory signature = long(ALICE, exchange.grantDigest(grant));
        vm.expectRevert(
            abi.encodeWithSelector(Signatures.NotSignedBy.selector, address(wallet), alice)
        );
        exchange.grantKey(grant, signature);
    }

    function test_only_the_right_word_means_yes() public {
        address[2] memory bad = [address(new MumblingWallet()), address(new BrokenWallet())];
        for (uint256 i; i < 2; ++i) {
            KeyGrant memory grant = grantFor(bad[i]);
            bytes memory signature = long(BOB, exchange.grantDigest(grant));
            vm.expectRevert(abi.encodeWithSelector(Signatures.NotSignedBy.selector, bad[i], bob));
            exchange.grantKey(grant, signature);
        }
    }

    function test_it_withdraws_by_signature() public {
        fund(address(wallet), quote, 100e6);
        Withdrawal memory withdrawal = plainWithdrawal();
        withdrawal.account = address(wallet);
        bytes32 digest = exchange.withdrawalDigest(withdrawal);
        exchange.withdraw(withdrawal, 0, long(BOB, digest), consent(digest, 0));
        assertEq(quote.balanceOf(address(0x70)), 10e6, "paid");
    }

    /// @dev The proxy trap: what a wallet says may change between match and settlement.
    function test_a_wallet_that_changes_its_mind_cannot_stop_a_batch() public {
        fund(address(wallet), base, 5e18);
        KeyGrant memory grant = grantFor(address(wallet));
        exchange.grantKey(grant, long(BOB, exchange.grantDigest(grant)));
        Batch memory batch = ofWallet();
        wallet.forget();
        settle(batch);
        assertEq(balance(address(wallet), base), 4e8, "sold");
    }

    /// @dev The plain batch with the wallet, by its session key, in the place of Bob.
    function ofWallet() private view returns (Batch memory batch) {
        Draft memory sell = sellDraft();
        batch = seal(buyDraft(), sell);
        Entry memory sale = batch.orders[1];
        sale.account = address(wallet);
        (sale.r, sale.vs) = compact(SESSION, digestFor(address(wallet), sell));
    }
}
