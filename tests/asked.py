"""Who wants a cancel in a test that is about something else?"""

from settlement.protocol.eip712 import Domain, address_of_secret, login_digest, sign
from settlement.protocol.evidence import OperatorAction, SessionLogin

BY_TEST = OperatorAction("a test", "it wants that")


def login_of(domain: Domain, secret: bytes, issued_at: int) -> SessionLogin:
    """Return the proof of a session that the wallet behind ``secret`` has opened."""
    account = address_of_secret(secret)
    return SessionLogin(account, issued_at, sign(login_digest(domain, account, issued_at), secret))
