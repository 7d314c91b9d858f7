"""What does ``tillbook deploy`` do? It reads a plan and a key, says what it costs, and carries on.

A key comes from a file, never from the command line, where every process of the machine reads it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from rich.console import Console

from engine.types import MONEY_MAX
from settlement.chain.chain import ChainUnavailableError, RpcChain, node_at
from settlement.chain.deploy import BondPlan, Delays, Deployment, DeploymentError, TokenPlan
from settlement.chain.deploying import (
    GWEI,
    Deploying,
    DeployPlan,
    Estimate,
    Terms,
    deployed_before,
    hashes,
)
from settlement.chain.signer import KeystoreError, KeystoreSigner, SecretSigner, Signer
from settlement.protocol.checksum import address_of_text

POLL_SECONDS: Final = 0.25
POLLS_MAX: Final = 3_600
KEY_FILE_BYTES_MAX: Final = 1 << 16
ETHER: Final = 10**18
DELAY_MAX: Final = 10 * 365 * 86_400

Hex = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}$(?!\n)")]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=DELAY_MAX)]


class PlannedToken(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A token to list. Without an address a worthless one is deployed for it, if that is allowed:
    anybody can mint it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    symbol: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,12}$(?!\n)")]
    decimals: Annotated[int, msgspec.Meta(ge=0, le=26)]
    address: Hex | None = None


class PlannedBond(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """In which token the operator's word is backed, and by how many raw units at once."""

    token: str
    raw_amount: Annotated[int, msgspec.Meta(ge=0, le=MONEY_MAX)] = 0


class PlannedDelays(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """In seconds, as ``settlement.chain.deploy.Delays``."""

    horizon: Seconds = Delays().horizon
    exit: Seconds = Delays().exit
    deadman: Seconds = Delays().deadman
    custodian: Seconds = Delays().custodian


class PlanFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The file of ``--plan``. ``operator`` sends batches; ``acknowledger`` is whom ``tillbook
    acknowledger`` prints."""

    operator: Hex
    acknowledger: Hex
    tokens: Annotated[list[PlannedToken], msgspec.Meta(min_length=1, max_length=32)]
    bond: PlannedBond
    delays: PlannedDelays = PlannedDelays()


class Wish(NamedTuple):
    """The options of ``tillbook deploy``; ``agreed`` is asked before anything is sent."""

    url: str
    key_file: Path
    password_file: Path | None
    plan: Path
    to: Path
    confirmations: int
    tip_gwei: int
    fee_max_gwei: int
    test_tokens: bool
    agreed: Callable[[], bool]


def signer_of(key_file: Path, password_file: Path | None) -> Signer:
    """Return who signs with the key in ``key_file``: a keystore that the password opens, or 64
    hexadecimal digits. Raises ``KeystoreError`` and OSError, neither of which shows it."""
    if password_file is not None:
        return KeystoreSigner.load(key_file, password_file.read_text().rstrip("\r\n"))
    with key_file.open("rb") as file:
        raw = file.read(KEY_FILE_BYTES_MAX)
    if key_file.stat().st_mode & 0o077:
        raise KeystoreError(f"{key_file} can be read by others: chmod 600")
    try:
        secret = bytes.fromhex(raw.decode().strip().removeprefix("0x"))
        if len(secret) == 32:
            return SecretSigner(secret)
    except ValueError:
        pass  # Its words would quote the key.
    raise KeystoreError(
        f"{key_file} is no key of 64 hexadecimal digits; --password-file opens a keystore"
    )


def plan_of(path: Path, *, test_tokens: bool) -> DeployPlan:
    """Read a plan. Raises ``DeploymentError`` and OSError."""
    try:
        read = msgspec.json.decode(path.read_bytes(), type=PlanFile)
        tokens = tuple(
            TokenPlan(t.name, t.symbol, t.decimals, _address(t.address) if t.address else None)
            for t in read.tokens
        )
        bond = BondPlan(_address(read.acknowledger), read.bond.token, read.bond.raw_amount)
        operator = _address(read.operator)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DeploymentError(f"{path}: {error}") from None
    symbols = [token.symbol for token in tokens]
    addresses = [token.address for token in tokens if token.address]
    if len(set(symbols)) < len(symbols) or len(set(addresses)) < len(addresses):
        raise DeploymentError(f"{path}: a token is there twice")
    if bond.symbol not in symbols:
        raise DeploymentError(f"{path}: the bond's token {bond.symbol!r} is not among the tokens")
    if len(addresses) < len(tokens) and not test_tokens:
        raise DeploymentError(
            f"{path}: a token has no address; --test-tokens deploys worthless ones"
        )
    return DeployPlan(operator, tokens, Delays(*msgspec.structs.astuple(read.delays)), bond)


def run_deploy(wish: Wish, console: Console) -> int:
    """Deploy, or go on with it; return the exit code."""

    def say(words: str) -> None:
        console.print(words, highlight=False, markup=False, soft_wrap=True)

    try:
        deployer = signer_of(wish.key_file, wish.password_file)
        plan = plan_of(wish.plan, test_tokens=wish.test_tokens)
        chain = node_at(wish.url)
        before = deployed_before(chain, wish.to, deployer.address, plan)
        if before is not None:
            say(f"{wish.to} is deployed already, and its code is ours.")
            _tell(chain, before, say)
            return 0
        fees_wei = (wish.tip_gwei * GWEI, wish.fee_max_gwei * GWEI)
        terms = Terms(wish.confirmations, *fees_wei, _pause, POLLS_MAX)
        deploying = Deploying(chain, wish.to, deployer, plan, terms)
        estimate = deploying.estimate()
        say(f"Chain {chain.chain_id}, deployer and admin 0x{deployer.address.hex()}")
        for number, step in enumerate(deploying.steps, 1):
            say(f"  {number:2} {'done ' if number <= estimate.done else ''}{step.name}")
        say(_in_words(estimate))
        if estimate.balance_wei < estimate.cost_wei:
            say(f"The deployer has {_coins(estimate.balance_wei)} only: nothing was sent.")
            return 1
        if not wish.agreed():
            say("Nothing was sent.")
            return 1
        _tell(chain, deploying.run(say), say)
    except (DeploymentError, KeystoreError, ChainUnavailableError, OSError) as fault:
        say(str(fault))
        return 1
    say(f"Written to {wish.to}, which `tillbook serve --deployment` reads.")
    return 0


def _tell(chain: RpcChain, deployment: Deployment, say: Callable[[str], None]) -> None:
    found = hashes(chain, deployment)
    for name, address in (
        ("Custodian", deployment.custodian),
        ("Exchange", deployment.exchange),
        ("InvoiceDeposits", deployment.invoice_deposits),
        ("InvoiceAddress", deployment.invoice_implementation),
        ("Collector", deployment.collector),
        ("Bond", deployment.bond),
    ):
        say(f"  {name:16} 0x{address.hex()}  code 0x{found[name]}")


def _in_words(estimate: Estimate) -> str:
    left = estimate.steps - estimate.done
    about = "about " if estimate.is_guessed else ""
    return (
        f"{left} transactions, {about}{estimate.gas:,} gas, {_coins(estimate.cost_wei)} at "
        f"{estimate.gas_price_wei / GWEI:.3g} gwei"
    )


def _coins(wei: int) -> str:
    return f"{wei / ETHER:.6f} coins"


def _address(text: str) -> bytes:
    address = address_of_text(text)
    if address is None:
        raise ValueError(f"{text} is no address, or its checksum is wrong")
    return address


def _pause() -> None:
    time.sleep(POLL_SECONDS)
