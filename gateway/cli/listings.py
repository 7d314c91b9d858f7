"""Which commands list tokens and markets in a running exchange?"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()
market = typer.Typer(no_args_is_help=True, help="Markets of a running exchange.")
token = typer.Typer(no_args_is_help=True, help="Tokens of a running exchange.")

HostOption = Annotated[str, typer.Option("--admin-host", help="Where operators are listened to.")]
PortOption = Annotated[
    int, typer.Option("--admin-port", help="The operators' port.", min=1, max=65535)
]
TokensOption = Annotated[
    Path,
    typer.Option(
        "--admin-tokens",
        help="A file with your token; the first one counts.",
        envvar="TILLBOOK_ADMIN_TOKENS",
        exists=True,
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the log for ever.")]
SymbolArgument = Annotated[str, typer.Argument(help="For example TOKEN, or TOKEN-USD.")]
ADMIN_PORT = 8788


@market.command(name="list")
def market_list(
    tokens: TokensOption, host: HostOption = "127.0.0.1", port: PortOption = ADMIN_PORT
) -> None:
    """Print the markets with their terms, phases and bands."""
    from gateway.cli.operate import Desk, show

    sys.exit(show(Desk(host, port, tokens), "markets", console))


@market.command(name="add")
def market_add(
    symbol: SymbolArgument,
    tokens: TokensOption,
    reason: ReasonOption,
    lot_pips: Annotated[int, typer.Option(help="Base pips in a lot.", min=1)],
    tick_pips: Annotated[int, typer.Option(help="Quote pips that a lot costs a tick.", min=1)],
    maker_fee_ppm: Annotated[int, typer.Option(help="Negative for a rebate.")],
    taker_fee_ppm: Annotated[int, typer.Option(min=0)],
    least_notional_pips: Annotated[int, typer.Option(help="No smaller order.", min=0)] = 0,
    host: HostOption = "127.0.0.1",
    port: PortOption = ADMIN_PORT,
) -> None:
    """List a market between two listed tokens, BASE-QUOTE."""
    from gateway.cli.operate import Desk, add_market

    base, _, quote = symbol.partition("-")
    listing = {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "lot_pips": lot_pips,
        "tick_pips": tick_pips,
        "maker_fee_ppm": maker_fee_ppm,
        "taker_fee_ppm": taker_fee_ppm,
        "least_notional_pips": least_notional_pips,
        "reason": reason,
    }
    sys.exit(add_market(Desk(host, port, tokens), listing, console))


@token.command(name="list")
def token_list(
    tokens: TokensOption, host: HostOption = "127.0.0.1", port: PortOption = ADMIN_PORT
) -> None:
    """Print the tokens, in the contract's order."""
    from gateway.cli.operate import Desk, show

    sys.exit(show(Desk(host, port, tokens), "tokens", console))


@token.command(name="add")
def token_add(
    symbol: SymbolArgument,
    address: Annotated[str, typer.Argument(help="Of the token on chain.")],
    tokens: TokensOption,
    reason: ReasonOption,
    decimals: Annotated[int, typer.Option(help="As the token says.", min=0, max=26)],
    key_file: Annotated[
        Path | None, typer.Option(help="Of the contract's admin: list it there first.", exists=True)
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Opens a keystore.", exists=True)
    ] = None,
    url: Annotated[str, typer.Option("--rpc", help="A node, with --key-file.")] = "",
    deployment: Annotated[
        Path | None, typer.Option(help="Where the contracts are, with --key-file.", exists=True)
    ] = None,
    confirmations: Annotated[int, typer.Option(help="Blocks until final.", min=1)] = 12,
    host: HostOption = "127.0.0.1",
    port: PortOption = ADMIN_PORT,
) -> None:
    """List the token that the contract has listed next; with its admin's key there too."""
    from gateway.cli.operate import Contract, Desk, add_token

    contract = None
    if key_file is not None:
        if not url or deployment is None:
            raise typer.BadParameter("wanted with --key-file", param_hint="--rpc and --deployment")
        contract = Contract(url, deployment, key_file, password_file, confirmations)
    listing = {"symbol": symbol, "address": address, "decimals": decimals, "reason": reason}
    sys.exit(add_token(Desk(host, port, tokens), listing, contract, console))
