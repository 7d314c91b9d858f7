"""Payments that are due together are swept together, and none of them spoils the others.

Found: 200 payments in one block took 57 s to settle, one transaction each.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from settlement.chain.chain import CallRevertedError, ChainUnavailableError
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import Action, ActionKind, ActionState, Call
from settlement.outbox.preflight import Paused
from settlement.outbox.sweeps import COMPANY_NS, PLACES_MAX
from settlement.protocol.abi import encode_call, selector
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import keccak256
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, DEPLOYER, NS, Venue, transact

RAW = 10**10
GAS_EACH_MAX = 115_000
"""Alone one takes 132,559, fifty together 87,978 each."""

MANY = selector("sweepMany", "InvoiceDeposits")


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    yield built
    built.close()


def ref_of(number: int) -> bytes:
    return keccak256(b"invoice %d" % number)


def paid(venue: Venue, count: int, first: int = 0) -> None:
    """Pay and ask for ``count`` invoices of Bob."""
    for number in range(first, first + count):
        pay(venue, number)
        venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref_of(number), venue.token)])


def pay(venue: Venue, number: int, raw: int = RAW) -> None:
    to = venue.settler.deposit_address(BOB.address, ref_of(number))
    call = encode_call("mint", to, raw, contract="TestToken")
    assert transact(venue.devchain.chain, CAROL, venue.token, call).succeeded


def settle(venue: Venue, clock: Clock) -> None:
    until(lambda: not venue.settler.step())
    clock.ahead_ns += COMPANY_NS
    until(lambda: not venue.settler.step())


def sweeps(venue: Venue, *states: ActionState) -> list[Action]:
    return venue.outbox.in_state(*(states or ActionState), kind=ActionKind.SWEEP, limit=1_000)


def credited(venue: Venue) -> int:
    return venue.vault(BOB.address, venue.token)


def test_what_is_due_together_goes_together(venue: Venue, clock: Clock):
    paid(venue, 2 * PLACES_MAX + 20)
    settle(venue, clock)

    carried = sweeps(venue, ActionState.FINAL)
    assert len(carried) == 3 == len(sweeps(venue))
    assert credited(venue) == 2 * PLACES_MAX + 20
    for action in carried:
        assert action.gas_used is not None
        assert action.calldata[:4] == MANY
        assert action.gas_used < action.gas_limit < 8_000_000
    assert (carried[0].gas_used or 0) < GAS_EACH_MAX * PLACES_MAX
    booked = [len(venue.credit()) for _ in range(4)]
    assert sum(booked) == 2 * PLACES_MAX + 20
    venue.assert_books_agree()


def test_one_alone_goes_at_once_and_as_before(venue: Venue, clock: Clock):
    paid(venue, 1)
    until(lambda: not venue.settler.step())
    (alone,) = sweeps(venue, ActionState.FINAL)
    assert alone.calldata[:4] == selector("sweep", "InvoiceDeposits")
    assert credited(venue) == 1


def test_what_comes_while_one_is_on_its_way_waits_a_moment_for_company(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    for number in range(4):
        pay(venue, number)
    venue.devchain.rpc("evm_setAutomine", [False])
    for number in range(4):
        venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref_of(number), venue.token)])
        until(lambda: not venue.settler.step())
    assert len(sweeps(venue)) == 1
    clock.ahead_ns += COMPANY_NS
    venue.devchain.mine()
    until(lambda: not venue.settler.step())
    assert len(sweeps(venue)) == 2
    venue.devchain.mine()
    until(lambda: not venue.settler.step())
    assert credited(venue) == 4
    venue.close()


def test_one_that_somebody_else_has_swept_spoils_nothing(venue: Venue, clock: Clock):
    """Its own action is refused as before; all others are carried by one."""
    paid(venue, 5)
    call = encode_call("sweep", BOB.address, ref_of(2), venue.token, contract="InvoiceDeposits")
    assert transact(venue.devchain.chain, ALICE, venue.deployment.invoice_deposits, call).succeeded
    settle(venue, clock)

    (many,) = sweeps(venue, ActionState.FINAL)
    assert many.calldata[:4] == MANY
    assert credited(venue) == 5
    (empty,) = sweeps(venue, ActionState.SEALED)
    clock.ahead_ns += 60 * NS
    venue.devchain.mine()
    until(lambda: not venue.settler.step())
    (empty,) = sweeps(venue, ActionState.FAILED)
    assert (empty.error or "").startswith("NothingToSweep")


def test_a_paused_token_waits_and_the_others_go(venue: Venue, clock: Clock):
    paid(venue, 3)
    to = venue.settler.deposit_address(BOB.address, ref_of(9))
    call = encode_call("mint", to, 10**6, contract="TestToken")
    assert transact(venue.devchain.chain, CAROL, venue.usd, call).succeeded
    venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref_of(9), venue.usd)])
    pausing(venue, True)
    settle(venue, clock)

    assert credited(venue) == 3
    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, Paused), trouble
    pausing(venue, False)
    settle(venue, clock)
    assert venue.vault(BOB.address, venue.usd) == 10**8


def pausing(venue: Venue, is_paused: bool) -> None:
    call = encode_call("setPaused", venue.usd, is_paused)
    assert transact(venue.devchain.chain, DEPLOYER, venue.domain.contract, call).succeeded


def test_a_second_payment_of_an_address_that_was_swept_is_swept_again(venue: Venue, clock: Clock):
    paid(venue, 3)
    settle(venue, clock)
    paid(venue, 3)
    paid(venue, 3)
    settle(venue, clock)
    assert len(sweeps(venue, ActionState.FINAL)) == 2 == len(sweeps(venue))
    assert credited(venue) == 9


def test_what_is_due_outlives_a_restart(venue: Venue, clock: Clock):
    paid(venue, 4)
    venue.reopen()
    for number in range(4):
        venue.settler.enqueue_sweeps([SweepPlace(BOB.address, ref_of(number), venue.token)])
    settle(venue, clock)
    assert credited(venue) == 4
    venue.reopen()
    settle(venue, clock)
    assert len(sweeps(venue)) == 1


def test_an_outbox_from_before_opens_and_sweeps_what_it_had_decided(venue: Venue, clock: Clock):
    """The older file has no table of places; its action has the key of those days."""
    pay(venue, 0)
    place = (BOB.address, ref_of(0), venue.token)
    key = ":".join(part.hex() for part in place) + ":1"
    calldata = encode_call("sweep", *place, contract="InvoiceDeposits")
    factory = venue.deployment.invoice_deposits
    venue.outbox.enqueue(Call(ActionKind.SWEEP, key, factory, calldata, 400_000), clock())
    venue.outbox.close()
    with closing(connect(venue.directory / "outbox.sqlite")) as file, file:
        file.execute("DROP TABLE sweeps")
    venue.reopen()
    paid(venue, 3, first=1)
    settle(venue, clock)
    assert credited(venue) == 4


class Speechless:
    """A chain on which many sweeps cannot be tried at once."""

    def __init__(self, chain: Any, why: Exception) -> None:
        self._chain, self._why = chain, why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def call(self, to: bytes, calldata: bytes, *rest: Any) -> bytes:
        if calldata[:4] == MANY:
            raise self._why
        answer: bytes = self._chain.call(to, calldata, *rest)
        return answer


@pytest.mark.parametrize(
    "why",
    [ChainUnavailableError("no answer in time"), CallRevertedError("no such function", b"")],
    ids=["a node that cannot", "an exchange of before"],
)
def test_what_cannot_be_tried_together_goes_one_by_one(venue: Venue, clock: Clock, why: Exception):
    venue.reopen(Speechless(venue.devchain.chain, why))  # type: ignore[arg-type]
    paid(venue, 3)
    settle(venue, clock)
    assert credited(venue) == 3
    assert len(sweeps(venue, ActionState.FINAL)) == 3


def test_the_chain_says_what_lies_at_an_address(venue: Venue, clock: Clock):
    pay(venue, 0, raw=7)
    address = venue.settler.deposit_address(BOB.address, ref_of(0))
    no_token = CAROL.address
    assert venue.settler.lying(address, [venue.token, no_token]) == {venue.token: 7}
    assert venue.settler.lying(CAROL.address, [no_token]) == {}
