"""How does a bridge come by its keys, where the wallet's own key is in a file?

The wallet approves a session key once, which the exchange's operator relays to the contract, and
signs a login each time that an API key is to be made: one that may cancel lasts as long as a
session does, a day. Whoever has his wallet elsewhere does the same by the native API.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from gateway.api.binance.bridge.exchange import TIMEOUT_SECONDS, NoExchange
from gateway.api.binance.bridge.key_file import BridgeKey, KeyFileError, private_text, write_private
from settlement.orders.session_keys import MAY_BUY, MAY_SELL
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    address_of_secret,
    grant_digest,
    login_digest,
    sign,
)

DAY_SECONDS: Final = 86_400
POLLS_MAX: Final = 600
POLL_SECONDS: Final = 0.5


class Scope(NamedTuple):
    """What the session key may do: in ``market``, for ``days``, trade up to ``cap_pips`` of quote,
    and sell at ``floor_pips`` of quote a token or above."""

    market: str
    days: int
    cap_pips: int
    floor_pips: int


def wallet_secret(path: Path) -> bytes:
    """Return the key in a wallet's file. Raises ``KeyFileError`` and OSError."""
    text = private_text(path).decode("ascii", "replace").strip().removeprefix("0x")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise KeyFileError(f"{path} is no key: 64 hexadecimal digits")
    return secret


class Setup:
    """One wallet at one exchange."""

    def __init__(
        self,
        base: str,
        secret: bytes,
        now_s: Callable[[], int] = lambda: int(time.time()),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(base_url=base, timeout=TIMEOUT_SECONDS)
        self._secret = secret
        self._account = address_of_secret(secret)
        self._now_s = now_s
        self._pause = pause

    def run(self, path: Path, scope: Scope) -> BridgeKey:
        """Write a key file, or renew the API key of the one that is there; return what it says.

        Raises ``NoExchange``, ``KeyFileError`` and OSError.
        """
        config = self._ask("GET", "/v1/config")
        domain = Domain(config["chain_id"], bytes.fromhex(config["contract"][2:]))
        bearer = self._log_in(domain)
        session_key, expires_at = self._known(path) or self._granted(domain, bearer, scope)
        made = self._ask("POST", "/api/v3/x/keys", bearer, {"scope": "trade"})
        key = BridgeKey(
            account=_hex(self._account),
            session_key=_hex(session_key),
            api_key=made["apiKey"],
            secret_key=made["secretKey"],
            expires_at=expires_at,
        )
        write_private(path, msgspec.json.format(msgspec.json.encode(key)))
        return key

    def _log_in(self, domain: Domain) -> str:
        now = self._now_s()
        signature = sign(login_digest(domain, self._account, now), self._secret)
        login = {"account": _hex(self._account), "issuedAt": now, "signature": _hex(signature)}
        token: str = self._ask("POST", "/v1/sessions", body=login)["token"]
        return token

    def _known(self, path: Path) -> tuple[bytes, int] | None:
        if not path.exists():
            return None
        known = msgspec.json.decode(private_text(path), type=BridgeKey)
        if known.account_bytes != self._account:
            raise KeyFileError(f"{path} is another account's")
        return known.secret_bytes, known.expires_at

    def _granted(self, domain: Domain, bearer: str, scope: Scope) -> tuple[bytes, int]:
        """Let the wallet approve a new session key, and wait until the contract has it."""
        rows = self._ask("GET", "/v1/markets")["markets"]
        row = next((row for row in rows if row["symbol"] == scope.market), None)
        if row is None:
            raise NoExchange(f"has no market {scope.market}")
        secret, now = secrets.token_bytes(32), self._now_s()
        grant = KeyGrant(
            account=self._account,
            key=address_of_secret(secret),
            base=bytes.fromhex(row["base"]["address"][2:]),
            quote=bytes.fromhex(row["quote"]["address"][2:]),
            sides=MAY_BUY | MAY_SELL,
            expiry=now + scope.days * DAY_SECONDS,
            notional_cap=scope.cap_pips,
            floor_price=scope.floor_pips,
            nonce=now,
        )
        body = {
            "account": _hex(grant.account),
            "key": _hex(grant.key),
            "base": _hex(grant.base),
            "quote": _hex(grant.quote),
            "sides": grant.sides,
            "expiry": grant.expiry,
            "notionalCap": str(grant.notional_cap),
            "floorPrice": str(grant.floor_price),
            "nonce": str(grant.nonce),
            "signature": _hex(sign(grant_digest(domain, grant), self._secret)),
        }
        self._ask("POST", "/v1/keys", body=body)
        for _ in range(POLLS_MAX):
            keys = self._ask("GET", "/v1/keys", bearer)["keys"]
            if any(one["key"] == _hex(grant.key) and one["state"] == "live" for one in keys):
                return secret, grant.expiry
            self._pause(POLL_SECONDS)
        raise NoExchange("has not brought the session key to the contract yet; try again")

    def _ask(self, method: str, path: str, bearer: str = "", body: object = None) -> Any:
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
            said = answer.json()
        except httpx.HTTPError as error:
            raise NoExchange(f"does not answer: {type(error).__name__}") from None
        except ValueError:
            raise NoExchange("is no Tillbook") from None
        if answer.is_error:
            raise NoExchange(f"refuses: {said.get('detail') or said.get('msg') or said}")
        return said


def _hex(raw: bytes) -> str:
    return f"0x{raw.hex()}"
