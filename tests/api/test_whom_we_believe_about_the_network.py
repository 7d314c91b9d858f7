"""What the process believes about its own place on the network: whose addresses, which URL."""

import asyncio
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.http.clients import Clients, trusted_networks
from gateway.http.public_url import NoPublicUrlError, public_url_of
from gateway.node.secrets import private_directory
from gateway.trading.budgets import Budgets, RateLimits
from tests.api.fixtures import Venue, served

BUDGET = 3


async def asked(proxies: tuple[str, ...], forwarded: list[str]) -> list[int]:
    """Return the status of one request for each forwarded address."""
    limits = RateLimits(Budgets(60, BUDGET, BUDGET, BUDGET, BUDGET))
    clients = Clients(trusted_networks(proxies))
    async with served(Venue(), limits=limits, clients=clients) as up:
        return [
            (await up.http.get("/v1/config", headers={"X-Forwarded-For": value})).status_code
            for value in forwarded
        ]


def test_found_behind_a_proxy_all_clients_shared_one_budget() -> None:
    flood, other = ["203.0.113.7"] * (BUDGET + 1), ["203.0.113.8"]
    assert asyncio.run(asked(("127.0.0.0/8",), flood + other)) == [200] * BUDGET + [429, 200]


def test_nobody_elses_word_about_clients_is_believed() -> None:
    words = [f"203.0.113.{n}" for n in range(BUDGET + 1)]
    assert asyncio.run(asked((), words)) == [200] * BUDGET + [429], "no proxy is named"
    assert asyncio.run(asked(("10.0.0.0/8",), words)) == [200] * BUDGET + [429], "another is"


@pytest.mark.parametrize(
    "forwarded",
    [
        "198.51.100.{n}, 203.0.113.7",
        "198.51.100.{n}, 203.0.113.7, 10.1.1.1",
        "198.51.100.{n},203.0.113.7:4711",
        "[2001:db8::{n}]:80",
        "2001:db8::{n}",
        "nonsense {n}",
    ],
)
def test_what_the_client_itself_wrote_does_not_count(forwarded: str) -> None:
    words = [forwarded.format(n=n) for n in range(BUDGET + 1)]
    seen = asyncio.run(asked(("127.0.0.1", "10.0.0.0/8"), words))
    assert seen == [200] * BUDGET + [429]


@pytest.mark.parametrize(
    ("given", "host", "url"),
    [
        ("", "127.0.0.1", "http://127.0.0.1:8787"),
        ("", "::1", "http://[::1]:8787"),
        ("", "shop.test", "http://shop.test:8787"),
        ("https://pay.example/", "0.0.0.0", "https://pay.example"),
    ],
)
def test_the_public_url_is_what_browsers_can_open(given: str, host: str, url: str) -> None:
    assert public_url_of(given, host, 8787) == url


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_found_checkout_links_led_to_every_address(host: str) -> None:
    with pytest.raises(NoPublicUrlError, match="--public-url"):
        public_url_of("", host, 8787)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        (["--host", "0.0.0.0"], "public-url"),
        (["--public-url", "pay.example"], "no http or https URL"),
        (["--trusted-proxy", "the proxy"], "trusted-proxy"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(option: list[str], word: str) -> None:
    # Told before the port is tried: another that is taken would not be what is wrong.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = CliRunner().invoke(app, ["run", *option, "--port", port], env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert word in answer.output


def test_a_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    old = directory / "merchants.sqlite"
    old.touch(mode=0o644)
    private_directory(directory)
    assert (directory.stat().st_mode & 0o777, old.stat().st_mode & 0o777) == (0o700, 0o600)
