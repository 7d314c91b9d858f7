"""An exchange and a bridge in processes of their own, and unmodified clients that know no other.

Nothing outside this machine is reached: whoever tries to is refused by an audit hook, which neither
a client nor a library can go around.
"""

import ipaddress
import re
import signal
import sys
import time
from typing import NamedTuple

import orjson

from gateway.sandbox import actors
from gateway.sandbox.tools import held_keys
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.eip712 import Domain, address_of_secret, login_digest, sign
from tests.e2e.running import ask, free_port, until
from tests.processes import Tillbook

TRADER_SECRET = dev_secret(actors.GUEST)
TRADER = address_of_secret(TRADER_SECRET)
JSON = {"content-type": "application/json"}
SYMBOL = "TOKENUSD"


class OutsideWorld(Exception):
    """Somebody wanted to leave this machine."""


class _Guard:
    def __init__(self):
        self.is_up = False
        self.refused = []

    def __call__(self, event, arguments):
        if not self.is_up:
            return
        if event == "socket.connect":
            self._judge(arguments[1])
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self._judge((arguments[0],))

    def _judge(self, address):
        if not isinstance(address, tuple) or is_here(address[0]):
            return
        self.refused.append(address[0])
        raise OutsideWorld(address[0])


def is_here(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


GUARD = _Guard()
sys.addaudithook(GUARD)


class ApiKey:
    """A key of the demo trader, made as the documentation says."""

    def __init__(self, port, scope="trade", secret=TRADER_SECRET):
        bearer = log_in(port, secret)
        status, _, body = ask(
            *(port, "POST", "/api/v3/x/keys", orjson.dumps({"scope": scope})),
            {**JSON, "authorization": f"Bearer {bearer}"},
        )
        assert status == 200, body
        said = orjson.loads(body)
        self.key, self.secret = said["apiKey"], said["secretKey"]
        self.bearer = bearer


def domain_of(port):
    config = orjson.loads(ask(port, "GET", "/v1/config")[2])
    return Domain(config["chain_id"], bytes.fromhex(config["contract"][2:]))


def log_in(port, secret):
    account, now = address_of_secret(secret), int(time.time())
    signature = sign(login_digest(domain_of(port), account, now), secret)
    login = {"account": f"0x{account.hex()}", "issuedAt": now, "signature": f"0x{signature.hex()}"}
    status, _, body = ask(port, "POST", "/v1/sessions", orjson.dumps(login), JSON)
    assert status == 201, body
    return orjson.loads(body)["token"]


class Made(NamedTuple):
    """An API key and its secret."""

    key: str
    secret: str


class Bridge:
    """``tillbook bridge`` in a process of its own, with a session key that only it has."""

    def __init__(self, directory, exchange_port):
        self.port, self.base = free_port(), f"http://127.0.0.1:{exchange_port}"
        self.wallet, self.path = directory / "wallet.key", directory / "bridge.json"
        self.wallet.write_text(TRADER_SECRET.hex())
        self.wallet.chmod(0o600)
        self.api_key = self.make_key()
        session_key = orjson.loads(self.path.read_bytes())["sessionKey"]
        assert session_key != f"0x{held_keys()[TRADER].secret.hex()}"
        self.process = Tillbook(
            *("bridge", "--key-file", str(self.path)),
            *("--exchange", self.base, "--port", str(self.port)),
        )
        until("the bridge answers", self.is_there)

    def make_key(self):
        """Run ``tillbook bridge-key``; return the API key that it wrote."""
        made = Tillbook(
            *("bridge-key", "--exchange", self.base, "--wallet", str(self.wallet)),
            *("--key-file", str(self.path), "--market", "TOKEN-USD", "--floor", "0.01"),
        )
        output, _ = made.communicate(timeout=120)
        assert made.returncode == 0, output
        assert self.path.stat().st_mode & 0o077 == 0
        said = orjson.loads(self.path.read_bytes())
        return Made(said["apiKey"], said["secretKey"])

    def is_there(self):
        assert self.process.poll() is None, self.process.stdout.read()
        return ask(self.port, "GET", "/api/v3/ping")[0] == 200

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


class Door:
    """Where a client trades: straight at the exchange, or through the bridge."""

    def __init__(self, port, api_key):
        self.api_key = api_key
        self.http, self.socket = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"

    def point(self, client):
        """Set a ccxt client's addresses, and nothing else of it."""
        for name, url in client.urls["api"].items():
            if isinstance(url, str):
                client.urls["api"][name] = re.sub(r"https://[^/]+", self.http, url)
        sockets = client.urls["api"].get("ws")
        if sockets:
            sockets["spot"] = f"{self.socket}/ws"
            sockets["ws-api"]["spot"] = f"{self.socket}/ws-api/v3"
        return client

    def ccxt_options(self):
        return {
            "apiKey": self.api_key.key,
            "secret": self.api_key.secret,
            "options": {"fetchMarkets": {"types": ["spot"]}},
        }


def read(port, path, bearer):
    return orjson.loads(ask(port, "GET", path, None, {"authorization": f"Bearer {bearer}"})[2])


def has_key(port, bearer):
    return any(key["state"] == "live" for key in read(port, "/v1/keys", bearer)["keys"])


def has_money(port, bearer):
    balances = read(port, "/v1/balances", bearer)["balances"]
    return all(row["available_pips"] != "0" for row in balances)
