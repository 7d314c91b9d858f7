"""Was this request signed with the secret behind its API key, and lately?

HMAC-SHA256 as the dialect documents it: over the query and the body behind it as they were sent,
without the signature; in a frame over all parameters sorted by name. The secret proves who asks. It
can never prove an order, for the contract knows no secret of ours: an order has a wallet's
signature, which the bridge or a key in our keeping has made.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from gateway.api.binance.errors import BAD_SIGNATURE, Code, Refused, refused
from gateway.api.binance.params import Params, missing
from gateway.trading.recv_window import RecvWindow

SIGNATURE: Final = "signature"
WINDOW_MS: Final = 5_000
WINDOW_MAX_MS: Final = 60_000
AHEAD_MAX_MS: Final = 1_000
MICROSECONDS_FROM: Final = 10**15
"""Times above this are in microseconds, which the dialect takes as well."""


def signature_of(secret: str, payload: str) -> str:
    """Return the HMAC-SHA256 of ``payload`` in hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def payload_of_request(query: str, body: str) -> str:
    """Return what a REST request signs: all that was sent but the signature, as it was sent."""
    return _unsigned(query) + _unsigned(body)


def payloads_of_frame(texts: Mapping[str, str]) -> tuple[str, str]:
    """Return what a frame may have signed: its parameters by name, plain or percent-encoded."""
    rest = sorted((name, text) for name, text in texts.items() if name != SIGNATURE)
    return "&".join(f"{name}={text}" for name, text in rest), urlencode(rest)


def require_signature(secret: str, given: str, *payloads: str) -> None:
    """Refuse unless ``given`` is the signature of one of ``payloads``."""
    if not given:
        raise missing(SIGNATURE)
    sent = given.lower().encode()
    if not any(
        hmac.compare_digest(signature_of(secret, payload).encode(), sent) for payload in payloads
    ):
        raise Refused(BAD_SIGNATURE)


def require_timely(params: Params, now_ms: int) -> RecvWindow:
    """Refuse a request that is too old or from the future; return until when it is good, which is
    asked again right before the engine."""
    asked = params.integer("timestamp", 0)
    window = params.integer("recvWindow", 0, default=WINDOW_MS)
    if window > WINDOW_MAX_MS:
        raise refused(
            Code.INVALID_PARAMETER, f"'recvWindow' must be less than or equal to {WINDOW_MAX_MS}."
        )
    if asked >= MICROSECONDS_FROM:
        asked //= 1_000
    if asked >= now_ms + AHEAD_MAX_MS:
        raise refused(
            Code.INVALID_TIMESTAMP,
            f"Timestamp for this request was {AHEAD_MAX_MS}ms ahead of the server's time.",
        )
    if now_ms > asked + window:
        raise refused(
            Code.INVALID_TIMESTAMP,
            "Timestamp for this request is outside of the recvWindow.",
        )
    return RecvWindow(asked, window)


def _unsigned(sent: str) -> str:
    return "&".join(pair for pair in sent.split("&") if not pair.startswith(f"{SIGNATURE}="))
