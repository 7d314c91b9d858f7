"""How does a shop know that a webhook is ours and fresh?

Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body`` with a shared ``whsec_`` secret. While a
secret is being rotated the header carries one signature for each secret still valid.
"""

import hmac
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final

SECRET_PREFIX: Final = "whsec_"


def signature_of(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """Return one ``v1,<base64>`` signature with ``secret`` (``whsec_`` and base64)."""
    assert secret.startswith(SECRET_PREFIX), "a webhook secret says what it is"
    key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    message = f"{webhook_id}.{timestamp_s}.".encode() + body
    return "v1," + b64encode(hmac.new(key, message, sha256).digest()).decode()


def headers_of(
    secrets: list[str], webhook_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the headers of one attempt; ``webhook_id`` stays the same over all attempts."""
    assert secrets, "nothing leaves unsigned"
    signatures = (signature_of(secret, webhook_id, timestamp_s, body) for secret in secrets)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(signatures),
    }
