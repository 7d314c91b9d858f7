"""Which commands does ``tillbook`` have?

Each command reads its options, starts one thing and ends with an exit code; the work is elsewhere.
"""

import errno
import logging
import os
import sqlite3
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import uvloop
from rich.console import Console

from gateway.cli.bridge import PORT as BRIDGE_PORT
from gateway.cli.bridge import (
    CapOption,
    DaysOption,
    ExchangeOption,
    FloorOption,
    MarketOption,
    make_bridge_key,
    run_bridge,
)
from gateway.cli.listings import ADMIN_PORT, market, token

if TYPE_CHECKING:
    import socket

    from gateway.http.clients import Network
    from gateway.node.settings import AdminPlan

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
app.add_typer(market, name="market")
app.add_typer(token, name="token")


class ChainChoice(StrEnum):
    """Which embedded chain: the first that is installed, or one by name."""

    AUTO = "auto"
    ANVIL = "anvil"
    ETH_TESTER = "eth-tester"


DataOption = Annotated[
    Path,
    typer.Option("--data", help="Directory of journal, databases, chain.", file_okay=False),
]
PublicUrlOption = Annotated[
    str,
    typer.Option("--public-url", help="How browsers reach us.", envvar="TILLBOOK_PUBLIC_URL"),
]
TrustedProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        help="A proxy of yours, as CIDR: its X-Forwarded-For is believed. May be repeated.",
        envvar="TILLBOOK_TRUSTED_PROXY",
    ),
]
AdminTokensOption = Annotated[
    Path | None,
    typer.Option(
        "--admin-tokens",
        help="Operators' names and tokens, one a line. Without it there is no admin API.",
        envvar="TILLBOOK_ADMIN_TOKENS",
        exists=True,
        dir_okay=False,
    ),
]
AdminHostOption = Annotated[
    str, typer.Option("--admin-host", help="Where operators are listened to.")
]
AdminPortOption = Annotated[
    int, typer.Option("--admin-port", help="Port for operators.", min=0, max=65535)
]
ExplorerOption = Annotated[
    str,
    typer.Option(
        "--explorer",
        help="Where people look at a transaction; its hash is put behind it.",
        envvar="TILLBOOK_EXPLORER",
    ),
]
ShopsDatabaseOption = Annotated[
    str,
    typer.Option(
        "--merchants-database",
        help="A Postgres database for the shops' rows, as URL; with a password rather by the "
        "variable. Else they are in a file with the other data.",
        envvar="TILLBOOK_MERCHANTS_DATABASE",
    ),
]
ManagedKeysOption = Annotated[
    Path | None,
    typer.Option(
        "--managed-keys",
        help="Session keys in this server's keeping, as JSON: it signs their traders' orders.",
        exists=True,
    ),
]
RatesOption = Annotated[
    Path | None,
    typer.Option(
        "--rates",
        help="Sources of exchange rates and pegs of stablecoins, as JSON, for prices in any "
        "currency.",
        envvar="TILLBOOK_RATES",
        exists=True,
        dir_okay=False,
    ),
]
SignUpOption = Annotated[
    bool,
    typer.Option(
        "--sign-up/--no-sign-up",
        help="Whether a merchant may make his own account and store, with his wallet alone.",
        envvar="TILLBOOK_SIGN_UP",
    ),
]
ChainOption = Annotated[ChainChoice, typer.Option("--chain", help="The embedded chain.")]


@app.command()
def run(
    directory: DataOption = Path("data"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8787,
    chain: ChainOption = ChainChoice.AUTO,
    public_url: PublicUrlOption = "",
    trusted_proxy: TrustedProxyOption = None,
    demo_trades: Annotated[
        int,
        typer.Option(
            help="Steps a minute of the demo traders, while somebody watches; 0 for none.",
            min=0,
            max=600,
            envvar="TILLBOOK_DEMO_TRADES",
        ),
    ] = 24,
    admin_tokens: AdminTokensOption = None,
    admin_host: AdminHostOption = "127.0.0.1",
    admin_port: AdminPortOption = ADMIN_PORT,
    managed_keys: ManagedKeysOption = None,
    merchants_database: ShopsDatabaseOption = "",
) -> None:
    """Run a whole exchange on an embedded chain, with demo makers and a demo shop."""
    url, proxies = _place_on_the_network(public_url, trusted_proxy, host, port)
    bound, admin = _bound(host, port), _admin(admin_tokens, admin_host, admin_port)
    _settle_in(directory)
    from gateway.sandbox.run import Listening, run_sandbox

    places = (managed_keys, merchants_database)
    listening = Listening(host, port, url, proxies, bound, admin, *places)
    _run(run_sandbox(directory, listening, chain.value, console, demo_trades))


@app.command()
def demo(
    directory: DataOption = Path("data", "demo"),
    chain: ChainOption = ChainChoice.AUTO,
    tape: Annotated[
        Path | None, typer.Option(help="LOBSTER message file that drives the book.", exists=True)
    ] = None,
    messages: Annotated[int, typer.Option(help="How much of the tape to play.", min=1)] = 2000,
) -> None:
    """Tell the story of one sale, from the customer's token to the shop's stablecoin."""
    _settle_in(directory, logging.WARNING)  # A story is interrupted by what goes wrong alone.
    from gateway.sandbox.story import tell

    _run(tell(directory, chain.value, tape, messages, console))


@app.command()
def serve(
    url: Annotated[
        list[str], typer.Option("--rpc", help="A node; several if a majority has to agree.")
    ],
    deployment: Annotated[Path, typer.Option(help="Where the contracts are.", exists=True)],
    keystore: Annotated[Path, typer.Option(help="The operator's key, version 3.", exists=True)],
    password_file: Annotated[Path, typer.Option(help="Opens the keystore.", exists=True)],
    markets: Annotated[Path, typer.Option(help="Markets to list, as JSON.", exists=True)],
    directory: DataOption = Path("data"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8787,
    confirmations: Annotated[int, typer.Option(help="Blocks until final.", min=1)] = 12,
    public_url: PublicUrlOption = "",
    trusted_proxy: TrustedProxyOption = None,
    admin_tokens: AdminTokensOption = None,
    admin_host: AdminHostOption = "127.0.0.1",
    admin_port: AdminPortOption = ADMIN_PORT,
    rates: RatesOption = None,
    managed_keys: ManagedKeysOption = None,
    merchants_database: ShopsDatabaseOption = "",
    explorer: ExplorerOption = "",
    sign_up: SignUpOption = False,
    compile_first: Annotated[
        bool, typer.Option("--compile", help="Compile the kernels first if need be.")
    ] = False,
) -> None:
    """Serve an exchange whose contracts are deployed already, on any chain."""
    reached_at, proxies = _place_on_the_network(public_url, trusted_proxy, host, port)
    bound, admin = _bound(host, port), _admin(admin_tokens, admin_host, admin_port)
    from engine.core import cache_is_warm

    if not cache_is_warm() and not compile_first:
        # The first order would wait for the compiler, a minute or more, and look like an outage.
        console.print("The kernels are not compiled here: run tillbook compile, or add --compile.")
        sys.exit(1)
    compile_kernels()
    _settle_in(directory)
    from gateway.cli.serve import Serving, run_server
    from gateway.node.settings import Remote

    remote = Remote(tuple(url), deployment)
    serving = Serving(
        *(directory, host, port, remote, keystore, password_file, markets),
        *(confirmations, reached_at, proxies, bound, admin),
        managed_keys=managed_keys,
        explorer_url=explorer,
        rates=rates,
        sign_up=sign_up,
        merchants_database=merchants_database,
    )
    _run(run_server(serving, console))


@app.command()
def deploy(
    url: Annotated[str, typer.Option("--rpc", help="A node of the chain.")],
    key_file: Annotated[
        Path,
        typer.Option(help="The deployer's key: hex digits, or a keystore.", exists=True),
    ],
    plan: Annotated[Path, typer.Option(help="What to deploy, as JSON.", exists=True)],
    to: Annotated[Path, typer.Option("--to", help="The record to write.", dir_okay=False)],
    password_file: Annotated[
        Path | None, typer.Option(help="Opens a keystore.", exists=True)
    ] = None,
    confirmations: Annotated[int, typer.Option(help="Blocks until final.", min=1)] = 12,
    tip_gwei: Annotated[int, typer.Option(help="What a block's maker gets.", min=0)] = 1,
    fee_max_gwei: Annotated[
        int, typer.Option(help="Dearer gas is not paid for; 0 for any.", min=0)
    ] = 0,
    test_tokens: Annotated[
        bool, typer.Option("--test-tokens", help="Deploy worthless tokens where none is named.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before sending.")] = False,
) -> None:
    """Deploy the contracts to any chain; run it again after a crash, and it goes on."""
    from gateway.cli.deploy import Wish, run_deploy

    def agreed() -> bool:
        return yes or typer.confirm("Send them?")

    files = (key_file, password_file, plan, to)
    fees = (tip_gwei, fee_max_gwei)
    sys.exit(run_deploy(Wish(url, *files, confirmations, *fees, test_tokens, agreed), console))


@app.command()
def bridge(
    exchange: ExchangeOption,
    key_file: Annotated[
        Path, typer.Option("--key-file", help="What bridge-key wrote.", exists=True)
    ],
    port: Annotated[
        int, typer.Option(help="Loopback port to listen on.", min=0, max=65535)
    ] = BRIDGE_PORT,
) -> None:
    """Sign the orders of ccxt and other tools with a session key that stays on this machine."""
    _run(run_bridge(exchange, key_file, port, console))


@app.command(name="bridge-key")
def bridge_key(
    exchange: ExchangeOption,
    wallet: Annotated[
        Path, typer.Option("--wallet", help="The wallet's key, in hexadecimal.", exists=True)
    ],
    key_file: Annotated[Path, typer.Option("--key-file", help="Where to write the keys.")],
    market: MarketOption,
    days: DaysOption = 30,
    cap: CapOption = 1_000_000,
    floor: FloorOption = "0.00000001",
) -> None:
    """Have a wallet approve a session key for the bridge; again, to renew its API key."""
    scope = (market, days, cap, floor)
    _run(make_bridge_key(exchange, wallet, key_file, scope, console))


@app.command()
def acknowledger(directory: DataOption = Path("data")) -> None:
    """Print who will acknowledge orders, for the bond to be deployed with; the key is kept."""
    from gateway.node.secrets import acknowledging_signer

    _make_private(directory)
    sys.stdout.write(f"0x{acknowledging_signer(directory).address.hex()}\n")


@app.command()
def receipt(
    invoice: Annotated[str, typer.Argument(help="The invoice's id.")],
    directory: DataOption = Path("data"),
    merchants_database: ShopsDatabaseOption = "",
) -> None:
    """Print proofs, as JSON, of what an invoice's tokens were sold for; empty if not in a batch."""
    from gateway.cli.proofs import receipts_of_invoice
    from settlement.audit.proofs import encode_receipts
    from settlement.chain.deploy import DeploymentError
    from settlement.storage.server import BadAddress, ServerLost

    for name in ("deployment.json", "settlement.sqlite"):
        _must_hold(directory, name)
    if not merchants_database:
        _must_hold(directory, "merchants.sqlite")
    try:
        receipts = receipts_of_invoice(directory, invoice, merchants_database)
    except (DeploymentError, BadAddress, ServerLost) as wrong:
        _end(wrong)
    if receipts is None:
        _end(f"There is no invoice {invoice} in {directory}.")
    sys.stdout.write(encode_receipts(receipts).decode() + "\n")


@app.command()
def settled(
    store: Annotated[str, typer.Argument(help="The store's id.")],
    url: Annotated[str, typer.Option("--rpc", help="A node of the exchange's chain.")],
    directory: DataOption = Path("data"),
    confirmations: Annotated[int, typer.Option(min=1)] = 2,
    merchants_database: ShopsDatabaseOption = "",
) -> None:
    """Hold a store's reports against the batches and logs on chain; 1 where they part."""
    from gateway.cli.settled import compared, lines_of
    from settlement.audit.accounts import NotAsSettledError
    from settlement.chain.chain import ChainUnavailableError
    from settlement.chain.deploy import DeploymentError
    from settlement.storage.server import BadAddress, ServerLost

    _must_hold(directory, "deployment.json")
    try:
        found = compared(directory, store, url, confirmations, merchants_database)
    except (DeploymentError, BadAddress, ServerLost) as wrong:
        _end(wrong)
    except (ChainUnavailableError, NotAsSettledError) as wrong:
        _end(f"Nothing was compared: {wrong}")
    if found is None:
        _end(f"There is no store {store} in {directory}.")
    sys.stdout.write("\n".join(lines_of(found)) + "\n")
    sys.exit(0 if found.is_same else 1)


@app.command()
def verify(
    url: Annotated[str, typer.Option("--rpc", help="A node of the exchange's chain.")],
    log: Annotated[Path, typer.Option("--log", help="The published log.", exists=True)],
    deployment: Annotated[
        Path | None, typer.Option(help="Where the contracts are; with the log if not given.")
    ] = None,
    acknowledgements: Annotated[
        Path | None,
        typer.Option(help="What the operator signed, one JSON object a line.", exists=True),
    ] = None,
) -> None:
    """Replay a published log and hold every command, trade and batch against the chain."""
    from gateway.cli.journal import say_verified

    sys.exit(say_verified(log, url, deployment, acknowledgements, console))


@app.command(name="compile")
def compile_kernels() -> None:
    """Compile all kernels into the cache (once after an install)."""
    from engine.core import cache_is_warm
    from engine.core import compile_kernels as compile_all
    from settlement.protocol.signers import recover_many

    with console.status("Compiling the matching kernels, once after an install ..."):
        recover_many([], [])
        if not cache_is_warm():
            compile_all()
    console.print("Kernels are compiled.")


journal = typer.Typer(no_args_is_help=True, help="Look at a stopped exchange's journal, mend it.")
app.add_typer(journal, name="journal")


@journal.command(name="verify")
def journal_verify(
    directory: DataOption = Path("data"),
    deep: Annotated[bool, typer.Option(help="Replay all, compare each snapshot's state.")] = False,
) -> None:
    """Check every hash; say how the journal ends."""
    from gateway.cli.journal import say_verdict

    _must_hold(directory, "journal")
    sys.exit(say_verdict(directory, deep, console))


@journal.command(name="dump")
def journal_dump(
    directory: DataOption = Path("data"),
    first: Annotated[int, typer.Option("--from", help="First sequence.", min=1)] = 1,
    count: Annotated[int, typer.Option(help="How many commands.", min=1)] = 100,
) -> None:
    """Print commands, one JSON object a line."""
    from gateway.cli.journal import say_commands

    _must_hold(directory, "journal")
    sys.exit(say_commands(directory, first, count, console))


@journal.command(name="repair-tail")
def journal_repair_tail(
    directory: DataOption = Path("data"),
    accept: Annotated[
        bool, typer.Option("--accept", help="You have looked: take orders again.")
    ] = False,
    merchants_database: ShopsDatabaseOption = "",
) -> None:
    """Cut a torn end off, set an ambiguous one aside and print what was in it."""
    from gateway.cli.journal import say_repair

    _must_hold(directory, "journal")
    sys.exit(say_repair(directory, accept, merchants_database, console))


@journal.command(name="trim")
def journal_trim(
    exported: Annotated[Path, typer.Option("--exported", help="An export.", exists=True)],
    directory: DataOption = Path("data"),
) -> None:
    """Delete files that three snapshots cover, that are final on chain and in an export."""
    from gateway.cli.journal import say_trimmed

    _must_hold(directory, "journal")
    sys.exit(say_trimmed(directory, exported, console))


@app.command()
def export(
    to: Annotated[Path, typer.Option("--to", help="Directory to write to.")],
    directory: DataOption = Path("data"),
) -> None:
    """Publish the log: copy it with Merkle roots and what a replay must come to."""
    from gateway.cli.journal import say_export

    _must_hold(directory, "journal")
    sys.exit(say_export(directory, to, console))


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(help="Journal files, all of them.", exists=True)],
    events: Annotated[
        Path | None, typer.Option(help="Write every event there, as JSON lines.")
    ] = None,
) -> None:
    """Replay a published log with the reference engine; print what it comes to."""
    from gateway.cli.journal import say_replay

    sys.exit(say_replay(files, events, console))


def _place_on_the_network(
    public_url: str, trusted: list[str] | None, host: str, port: int
) -> tuple[str, "tuple[Network, ...]"]:
    """Return our public URL and whose word about clients we take; wrong options end it here."""
    from gateway.http.clients import trusted_networks
    from gateway.http.public_url import NoPublicUrlError, public_url_of

    try:
        return public_url_of(public_url, host, port), trusted_networks(trusted or ())
    except NoPublicUrlError as unknown:
        raise typer.BadParameter(str(unknown), param_hint="--public-url") from None
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--trusted-proxy") from None


def _end(why: object) -> NoReturn:
    """End with one line that says what whoever started us can mend."""
    console.print(str(why), highlight=False, markup=False, soft_wrap=True)
    sys.exit(1)


def _bound(host: str, port: int) -> "socket.socket":
    """Return the socket to listen on: an address that is taken is told before anything starts."""
    from gateway.http.listening import CannotListenError, bound

    try:
        return bound(host, port)
    except CannotListenError as taken:
        _end(taken)


def _admin(tokens: Path | None, host: str, port: int) -> "AdminPlan | None":
    """Return where operators are listened to; nowhere without their tokens."""
    if tokens is None:
        return None
    from gateway.api.admin.tokens import OperatorTokens, TokenFileError
    from gateway.node.settings import AdminPlan

    try:
        known = OperatorTokens.load(tokens)
    except TokenFileError as wrong:
        _end(wrong)
    except OSError as error:
        _end(f"{tokens} cannot be read: {error.strerror}")
    return AdminPlan(host, port, known, _bound(host, port))


def _make_private(directory: Path) -> None:
    """See that there is a directory that we may write into."""
    from gateway.node.secrets import private_directory

    try:
        private_directory(directory)
    except OSError as error:
        _end(f"{directory} cannot be used: {error.strerror}")


def _must_hold(directory: Path, name: str) -> None:
    """End if ``directory`` is not an exchange's: to look at one must not make one."""
    if not directory.joinpath(name).exists():
        _end(f"There is no exchange in {directory}: it has no {name}.")


def _settle_in(directory: Path, level: int = logging.INFO) -> None:
    """Make this a server's process: files for its owner alone, descriptors, one kind of log."""
    from gateway.http.doorkeeper import raise_descriptors
    from gateway.node.logs import configure_logging

    os.umask(0o077)
    _make_private(directory)
    raise_descriptors()
    configure_logging(level=level)


def _run(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Exit as ``work`` says. What whoever started us can mend is one line, no traceback."""
    from sqlalchemy.exc import OperationalError

    from engine.journal.storage import StorageInUse
    from engine.sequencer.places import NotOfThisLog
    from gateway.api.binance.bridge.key_file import KeyFileError
    from gateway.http.listening import CannotListenError
    from merchants.records.schema import SchemaUnknown
    from settlement.chain.deploy import DeploymentError
    from settlement.chain.dev.devchain import DevChainError
    from settlement.chain.signer import KeystoreError
    from settlement.storage.server import BadAddress, ServerLost

    try:
        code = uvloop.run(work)
    except (
        StorageInUse,
        CannotListenError,
        DevChainError,
        DeploymentError,
        KeyFileError,
        KeystoreError,
        NotOfThisLog,
        SchemaUnknown,
        BadAddress,
    ) as fault:
        _end(fault)
    except ServerLost as fault:
        _end(f"{fault}. Nothing is lost: start again when it is there.")
    except (OperationalError, OSError) as fault:
        if not _is_of_the_disk(fault):
            raise
        words = getattr(fault, "orig", None) or fault
        _end(f"The disk cannot be written ({words}): is there room on it? Nothing is lost.")
    sys.exit(code)


def _is_of_the_disk(fault: Exception) -> bool:
    """Return whether a file or a database could not grow; SQLite has several words for it."""
    from engine.journal.storage import StorageFull

    code = getattr(getattr(fault, "orig", None), "sqlite_errorcode", 0)
    is_full = code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
    return is_full or isinstance(fault, StorageFull) or getattr(fault, "errno", 0) == errno.ENOSPC


def main() -> None:
    """Run the command line."""
    app()
