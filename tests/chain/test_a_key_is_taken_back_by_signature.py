"""An owner who holds no gas takes a session key back, and the operator pays for it, once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState
from settlement.protocol.eip712 import (
    KeyGrant,
    KeyRevocation,
    grant_digest,
    revocation_digest,
)
from settlement.watching.watcher import KeyRevoked
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, NS, Venue


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    expiry = built.clock() // NS + 3_600
    grant = KeyGrant(
        *(ALICE.address, CAROL.address, built.token, built.usd), *(2, expiry, 10**12, 5, 1)
    )
    built.settler.enqueue_grant(grant, ALICE.sign_digest(grant_digest(built.domain, grant)))
    until(lambda: not built.settler.step())
    yield built
    built.close()


def test_a_revocation_is_relayed_once_and_shown(venue: Venue) -> None:
    revocation = KeyRevocation(ALICE.address, CAROL.address, nonce=2)
    signature = ALICE.sign_digest(revocation_digest(venue.domain, revocation))
    for is_good in (True, False):
        assert venue.settler.enqueue_revocation(revocation, signature) is is_good
        until(lambda: not venue.settler.step())

    (action,) = venue.outbox.in_state(ActionState.FINAL, kind=ActionKind.REVOKE, limit=9)
    assert action.gas_used is not None and action.gas_used < action.gas_limit
    shown = venue.watcher.poll().observations[-1].value
    assert isinstance(shown, KeyRevoked)
    assert (shown.account, shown.key) == (ALICE.address, CAROL.address)


@pytest.mark.parametrize("wrong", ["signer", "nonce", "key"])
def test_what_the_contract_would_refuse_costs_no_gas(
    venue: Venue, clock: Clock, wrong: str
) -> None:
    key = BOB.address if wrong == "key" else CAROL.address
    revocation = KeyRevocation(ALICE.address, key, nonce=1 if wrong == "nonce" else 2)
    signer = CAROL if wrong == "signer" else ALICE
    digest = revocation_digest(venue.domain, revocation)

    assert not venue.settler.enqueue_revocation(revocation, signer.sign_digest(digest))
    until(lambda: not venue.settler.step())
    clock.ahead_ns += 3_600 * NS
    venue.devchain.mine()
    until(lambda: not venue.settler.step())

    (action,) = venue.outbox.in_state(ActionState.FAILED, kind=ActionKind.REVOKE, limit=9)
    error = {"signer": "NotSignedBy", "nonce": "NonceTooLow", "key": "NoLiveKey"}[wrong]
    assert action.error is not None and action.error.startswith(error)
    assert action.nonce is None and action.gas_used is None
