"""Who opened a session, and from when until when may it speak for him?

What stands beside each cancel and amendment in the log, held against itself: by the gateway when a
session is opened, and by an auditor for each command that it asked for.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from settlement.protocol.checksum import ADDRESS_SIZE
from settlement.protocol.eip712 import Domain, login_digest, recover
from settlement.protocol.evidence import SessionLogin, SessionProof
from settlement.protocol.siwe import SiweError, parsed, personal_digest, resource_of

SESSION_SECONDS: Final = 24 * 3600
"""How long a session lasts at most from when it was opened."""

LOGIN_WINDOW_SECONDS: Final = 300
"""A login signed so much earlier or later than our clock says opens no session."""

PROOFS_KEPT: Final = 4_096
"""A trader's session asks for thousands of cancels, all with one signature."""


class Life(NamedTuple):
    """Unix seconds in which a session could ask for something; both included."""

    first: int
    last: int


class BadProof(Exception):
    """It does not show that the account's wallet opened a session here; says why."""


@lru_cache(PROOFS_KEPT)
def life_of(domain: Domain, proof: SessionProof) -> Life:
    """Return when the session that ``proof`` opened could be. Raises ``BadProof``."""
    if len(proof.account) != ADDRESS_SIZE:
        raise BadProof("the account is no address")
    if isinstance(proof, SessionLogin):
        if not 0 <= proof.issued_at < 1 << 64:
            raise BadProof("the login has no such time")
        issued_at, last = proof.issued_at, proof.issued_at + LOGIN_WINDOW_SECONDS + SESSION_SECONDS
        digest = login_digest(domain, proof.account, issued_at)
        first = issued_at - LOGIN_WINDOW_SECONDS
    else:
        try:
            said = parsed(proof.message)
        except SiweError as error:
            raise BadProof(f"no message of EIP-4361: {error}") from error
        if said.address != proof.account or said.chain_id != domain.chain_id:
            raise BadProof("the message is another account's, or for another chain")
        if resource_of(domain) not in said.resources:
            raise BadProof(f"the message does not name the resource {resource_of(domain)}")
        first = max(said.issued_at - LOGIN_WINDOW_SECONDS, said.not_before)
        last = said.issued_at + LOGIN_WINDOW_SECONDS + SESSION_SECONDS
        last = min(last, said.expires_at or last)
        digest = personal_digest(proof.message)
    if recover(digest, proof.signature) != proof.account:
        raise BadProof("the login is not signed by the account")
    return Life(first, last)
