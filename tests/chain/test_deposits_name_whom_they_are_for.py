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
from tests.chain.road import ALICE, BOB, SECRETS, Road, number, transact

INVOICE = bytes(range(32))
RAW = 5 * 10**18
PIPS = 5 * 10**8


@pytest.fixture
def road(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Road]:
    built = Road(tmp_path, devchain, clock)
    yield built
    built.close()


def permit(road: Road, payer: Signer, account: bytes) -> bytes:
    return deposit_with_permit(
        *(road.devchain.chain, road.token, "Token", road.deployment.collector),
        *(SECRETS[payer.address], RAW, account, INVOICE),
    )


def references(road: Road) -> list[bytes]:
    """Return the references of all deposits in the journal."""
    frames = (frame for committed in road.history() for frame in committed.entries)
    evidence = [decode(f.attachment) for f in frames if f.command["kind"] == Kind.DEPOSIT]
    return [found.ref for found in evidence if isinstance(found, DepositEvidence)]


def test_a_deposit_by_permit_is_credited_to_the_account_it_names(road: Road):
    road.mint(BOB, road.token, RAW)
    calldata = permit(road, BOB, ALICE.address)

    assert transact(road.devchain.chain, BOB, road.deployment.collector, calldata).succeeded

    (credited,) = road.credit()
    assert (credited.account, credited.token, credited.amount) == (ALICE.address, road.token, PIPS)
    assert references(road) == [INVOICE]
    assert road.vault(ALICE.address, road.token) == PIPS
    left = encode_call("balanceOf", road.deployment.collector, contract="TestToken")
    assert number(road.devchain.chain.call(road.token, left)) == 0, "nothing stays there"
    road.assert_books_agree()


def test_a_deposit_by_approval_is_credited_to_the_account_it_names(road: Road):
    chain, exchange = road.devchain.chain, road.deployment.exchange
    road.mint(BOB, road.token, RAW)
    approve = encode_call("approve", exchange, RAW, contract="TestToken")
    assert transact(chain, BOB, road.token, approve).succeeded
    pay = encode_call("deposit", road.token, RAW, ALICE.address, INVOICE)
    assert transact(chain, BOB, exchange, pay).succeeded

    (credited,) = road.credit()
    assert (credited.account, credited.amount, credited.ref) == (ALICE.address, PIPS, INVOICE)
    assert references(road) == [INVOICE]
    road.assert_books_agree()


def test_nobody_else_can_use_a_permit(road: Road):
    road.mint(BOB, road.token, RAW)
    calldata = permit(road, BOB, ALICE.address)

    assert not transact(road.devchain.chain, ALICE, road.deployment.collector, calldata).succeeded
    assert road.credit() == []
