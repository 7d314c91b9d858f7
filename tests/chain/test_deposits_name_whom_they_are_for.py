"""A deposit is credited to the account it names, with its reference, however it was paid."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import Kind
from settlement.chain.dev.devchain import DevChain
from settlement.chain.signer import Signer
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import DepositEvidence, decode
from tests.chain.conftest import Clock
from tests.chain.permits import deposit_with_permit
from tests.chain.venue import ALICE, BOB, SECRETS, Venue, number, transact

INVOICE = bytes(range(32))
RAW = 5 * 10**18
PIPS = 5 * 10**8


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    yield built
    built.close()


def permit(venue: Venue, payer: Signer, account: bytes) -> bytes:
    return deposit_with_permit(
        *(venue.devchain.chain, venue.token, "Token", venue.deployment.collector),
        *(SECRETS[payer.address], RAW, account, INVOICE),
    )


def references(venue: Venue) -> list[bytes]:
    """Return the references of all deposits in the journal."""
    entries = (entry for committed in venue.history() for entry in committed.entries)
    evidence = [decode(f.attachment) for f in entries if f.command.kind == Kind.DEPOSIT]
    return [found.ref for found in evidence if isinstance(found, DepositEvidence)]


def test_a_deposit_by_permit_is_credited_to_the_account_it_names(venue: Venue):
    venue.mint(BOB, venue.token, RAW)
    calldata = permit(venue, BOB, ALICE.address)

    assert transact(venue.devchain.chain, BOB, venue.deployment.collector, calldata).succeeded

    (credited,) = venue.credit()
    assert (credited.account, credited.token, credited.amount) == (ALICE.address, venue.token, PIPS)
    assert references(venue) == [INVOICE]
    assert venue.vault(ALICE.address, venue.token) == PIPS
    left = encode_call("balanceOf", venue.deployment.collector, contract="TestToken")
    assert number(venue.devchain.chain.call(venue.token, left)) == 0, "nothing stays there"
    venue.assert_books_agree()


def test_a_deposit_by_approval_is_credited_to_the_account_it_names(venue: Venue):
    chain, exchange = venue.devchain.chain, venue.deployment.exchange
    venue.mint(BOB, venue.token, RAW)
    approve = encode_call("approve", exchange, RAW, contract="TestToken")
    assert transact(chain, BOB, venue.token, approve).succeeded
    pay = encode_call("deposit", venue.token, RAW, ALICE.address, INVOICE)
    assert transact(chain, BOB, exchange, pay).succeeded

    (credited,) = venue.credit()
    assert (credited.account, credited.amount, credited.ref) == (ALICE.address, PIPS, INVOICE)
    assert references(venue) == [INVOICE]
    venue.assert_books_agree()


def test_nobody_else_can_use_a_permit(venue: Venue):
    venue.mint(BOB, venue.token, RAW)
    calldata = permit(venue, BOB, ALICE.address)

    assert not transact(venue.devchain.chain, ALICE, venue.deployment.collector, calldata).succeeded
    assert venue.credit() == []
