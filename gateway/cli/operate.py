"""What do ``tillbook market`` and ``tillbook token`` do? They ask a running exchange's operators'
port, and the contract first where a token is new to it.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console

from gateway.cli.deploy import POLL_SECONDS, POLLS_MAX, signer_of
from gateway.sandbox.client import Client, RequestRejected
from settlement.chain.chain import ChainUnavailableError, node_at
from settlement.chain.deploy import DeploymentError, TokenPlan, connect
from settlement.chain.deploying import GWEI, Terms
from settlement.chain.listing import list_on_chain
from settlement.chain.signer import KeystoreError
from settlement.protocol.checksum import address_of_text

PREFIX: Final = "/admin/v1"
TIP_WEI: Final = GWEI


class Desk(NamedTuple):
    """Where the operators' port is, and the file of whose first token is shown there."""

    host: str
    port: int
    tokens: Path


class Contract(NamedTuple):
    """How the contract's admin is asked: a node, the record of the deployment, the admin's key."""

    url: str
    deployment: Path
    key_file: Path
    password_file: Path | None
    confirmations: int


class NotDone(Exception):
    """What was asked for was not done, in words for whoever asked."""


def ask(desk: Desk, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Return what the exchange answers. Raises ``NotDone``."""
    token = _token_in(desk.tokens)
    client = Client(desk.host, desk.port)
    try:
        if method == "GET":
            return client.get(PREFIX + path, token)
        return client.post(PREFIX + path, dict(body or {}), token)
    except RequestRejected as rejected:
        raise NotDone(f"Refused: {rejected}") from None
    except (OSError, ValueError) as error:
        raise NotDone(
            f"No answer from {desk.host} port {desk.port} ({error}). What became of it is unknown: "
            "the same again does no harm."
        ) from None
    finally:
        client.close()


def add_token(
    desk: Desk, listing: Mapping[str, Any], contract: Contract | None, console: Console
) -> int:
    """List a token in the contract, if its admin's key is given, and in the exchange."""
    try:
        if contract is not None:
            number = _list_on_chain(listing, contract)
            _say(console, f"Token {number} of the contract is {listing['symbol']}.")
        done = ask(desk, "POST", "/tokens", listing)
    except NotDone as why:
        return _not_done(console, why)
    return _done(console, listing["symbol"], done)


def add_market(desk: Desk, listing: Mapping[str, Any], console: Console) -> int:
    """List a market in the exchange."""
    try:
        done = ask(desk, "POST", "/markets", listing)
    except NotDone as why:
        return _not_done(console, why)
    return _done(console, listing["symbol"], done)


def show(desk: Desk, what: str, console: Console) -> int:
    """Print the tokens or the markets, one a line."""
    try:
        rows = ask(desk, "GET", f"/{what}")[what]
    except NotDone as why:
        return _not_done(console, why)
    for row in rows:
        _say(console, "  ".join(f"{name}={value}" for name, value in row.items()))
    return 0


def _list_on_chain(listing: Mapping[str, Any], contract: Contract) -> int:
    address = address_of_text(listing["address"])
    if address is None:
        raise NotDone(f"{listing['address']} is no address, or its checksum is wrong")
    scale = TokenPlan("", listing["symbol"], listing["decimals"]).unit_scale
    terms = Terms(contract.confirmations, TIP_WEI, 0, _pause, POLLS_MAX)
    try:
        admin = signer_of(contract.key_file, contract.password_file)
        chain = node_at(contract.url)
        exchange = connect(chain, contract.deployment).exchange
        return list_on_chain(chain, exchange, admin, address, scale, terms)
    except (DeploymentError, KeystoreError, ChainUnavailableError, OSError) as fault:
        raise NotDone(str(fault)) from None


def _token_in(path: Path) -> str:
    """Return the first token of an operators' file, or the one that stands there alone."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotDone(f"{path} cannot be read") from None
    words = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not words:
        raise NotDone(f"{path} has no token")
    return words[0][-1]


def _done(console: Console, symbol: str, done: Mapping[str, Any]) -> int:
    sequence = done["sequence"]
    words = f"listed by command {sequence}" if sequence else "was listed already"
    _say(console, f"{symbol} {words}.")
    return 0


def _not_done(console: Console, why: NotDone) -> int:
    _say(console, str(why))
    return 1


def _say(console: Console, words: str) -> None:
    console.print(words, highlight=False, markup=False, soft_wrap=True)


def _pause() -> None:
    time.sleep(POLL_SECONDS)
