// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PausableToken, PlainToken} from "../doubles/AwkwardTokens.sol";
import {IToken, Fixture} from "../Fixture.sol";
import {IInvoiceDeposits} from "./Sweep.t.sol";

struct Place {
    address account;
    bytes32 ref;
    address token;
}

interface ISweepsMany {
    function sweepMany(Place[] calldata places) external returns (uint256[] memory gasUsed);
}

/// @dev Burns all gas it is given in every transfer, once it is told to.
contract BurningToken is PlainToken(8) {
    bool private _burns;

    function burn(bool burns) external {
        _burns = burns;
    }

    function _update(address from, address to, uint256 raw) internal override {
        if (_burns) {
            assembly ("memory-safe") { invalid() }
        }
        super._update(from, to, raw);
    }
}

/// @title Tests of sweeping many
/// @notice Does each of many reach the vault, whatever becomes of the others?
contract SweepManyTest is Fixture {
    uint256 private constant MOST = 12;

    IInvoiceDeposits internal invoices;

    event Swept(address indexed account, bytes32 indexed ref, address token, uint256 rawAmount);
    event NotSwept(address indexed account, bytes32 indexed ref, address token);

    function setUp() public override {
        super.setUp();
        invoices = IInvoiceDeposits(
            vm.deployCode("InvoiceDeposits.sol:InvoiceDeposits", abi.encode(exchange))
        );
    }

    function sweep(Place[] memory places) internal returns (uint256[] memory) {
        return ISweepsMany(address(invoices)).sweepMany(places);
    }

    function placeOf(uint256 number, address token) internal view returns (Place memory) {
        return Place(number % 2 == 0 ? alice : bob, bytes32(number), token);
    }

    /// @dev Which are paid, which were swept by somebody else, and in what order, does not matter.
    function testFuzz_each_that_was_paid_is_swept(uint16 paid, uint16 taken, uint48 raw) public {
        Place[] memory places = new Place[](MOST);
        uint256[2] memory pips;
        for (uint256 i; i < MOST; ++i) {
            places[i] = placeOf(i, address(base));
            if ((paid >> i) & 1 == 0) continue;
            uint256 amount = (uint256(raw) + i + 1) * 1e10;
            base.mint(invoices.addressOf(places[i].account, places[i].ref), amount);
            pips[i % 2] += uint256(raw) + i + 1;
            if ((taken >> i) & 1 == 1) {
                invoices.sweep(places[i].account, places[i].ref, address(base));
            }
        }
        (uint256 alices, uint256 bobs) = (balance(alice, base), balance(bob, base));
        uint256[] memory gasUsed = sweep(places);
        for (uint256 i; i < MOST; ++i) {
            bool due = (paid >> i) & 1 == 1 && (taken >> i) & 1 == 0;
            assertTrue((gasUsed[i] != 0) == due, "told which");
            address at = invoices.addressOf(places[i].account, places[i].ref);
            assertEq(base.balanceOf(at), 0, "nothing is left");
        }
        assertTrue(balance(alice, base) - alices <= pips[0], "not more than was paid");
        assertTrue(balance(bob, base) - bobs <= pips[1], "not more than was paid");
        if (taken & paid == 0) {
            assertEq(balance(alice, base) - alices, pips[0], "all of it");
            assertEq(balance(bob, base) - bobs, pips[1], "all of it");
        }
    }

    function test_one_that_is_refused_leaves_the_others_alone() public {
        PausableToken stopped = new PausableToken();
        exchange.listToken(address(stopped), 1);
        Place[] memory places = new Place[](4);
        places[0] = placeOf(0, address(stopped));
        places[1] = placeOf(1, address(base));
        places[2] = placeOf(2, address(0xDEAD));
        places[3] = placeOf(3, address(base));
        stopped.mint(invoices.addressOf(alice, bytes32(0)), 1e8);
        stopped.stop(true);
        base.mint(invoices.addressOf(bob, bytes32(uint256(3))), 7e10);

        vm.expectEmit(address(invoices));
        emit NotSwept(alice, bytes32(0), address(stopped));
        vm.expectEmit(address(invoices));
        emit NotSwept(bob, bytes32(uint256(1)), address(base));
        vm.expectEmit(address(invoices));
        emit NotSwept(alice, bytes32(uint256(2)), address(0xDEAD));
        vm.expectEmit(address(invoices));
        emit Swept(bob, bytes32(uint256(3)), address(base), 7e10);
        sweep(places);

        stopped.stop(false);
        uint256[] memory gasUsed = sweep(places);
        assertTrue(gasUsed[0] != 0, "as soon as it may move again");
    }

    /// @dev All the gas that one burns is bounded, so that those behind it have theirs.
    function test_one_that_burns_gas_burns_its_own_share() public {
        BurningToken burning = new BurningToken();
        exchange.listToken(address(burning), 1);
        Place[] memory places = new Place[](3);
        for (uint256 i; i < 3; ++i) {
            IToken token = i == 1 ? base : IToken(address(burning));
            places[i] = placeOf(i, address(token));
            token.mint(invoices.addressOf(places[i].account, places[i].ref), 1e10);
        }
        burning.burn(true);
        uint256 before = gasleft();
        uint256[] memory gasUsed = sweep(places);
        assertTrue(before - gasleft() < 1_200_000, "bounded");
        assertTrue(gasUsed[1] != 0 && gasUsed[0] == 0 && gasUsed[2] == 0, "the one between");
    }

    /// @dev With too little gas what is begun is done, and the rest waits for the next.
    function testFuzz_too_little_gas_leaves_the_last_ones(uint24 gas_) public {
        Place[] memory places = new Place[](MOST);
        for (uint256 i; i < MOST; ++i) {
            places[i] = placeOf(i, address(base));
            base.mint(invoices.addressOf(places[i].account, places[i].ref), 1e10);
        }
        uint256 gasGiven = bound(gas_, 30_000, 2_500_000);
        (bool done, bytes memory told) =
            address(invoices).call{gas: gasGiven}(abi.encodeCall(ISweepsMany.sweepMany, (places)));
        assertTrue(done, "it never fails for that");
        uint256[] memory gasUsed = abi.decode(told, (uint256[]));
        bool over;
        for (uint256 i; i < MOST; ++i) {
            address at = invoices.addressOf(places[i].account, places[i].ref);
            assertEq(base.balanceOf(at), gasUsed[i] == 0 ? 1e10 : 0, "moved as told");
            assertTrue(!(over && gasUsed[i] != 0), "the first ones");
            over = over || gasUsed[i] == 0;
        }
    }

    function test_the_same_place_twice_is_swept_once() public {
        Place[] memory places = new Place[](2);
        (places[0], places[1]) = (placeOf(1, address(base)), placeOf(1, address(base)));
        base.mint(invoices.addressOf(bob, bytes32(uint256(1))), 1e10);
        uint256[] memory gasUsed = sweep(places);
        assertTrue(gasUsed[0] != 0 && gasUsed[1] == 0, "once");
    }
}
