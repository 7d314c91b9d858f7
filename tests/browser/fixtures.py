"""What do the tests of the market page share: a filled venue, a Chromium, a wallet that signs?"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from playwright.async_api import Browser, Page, async_playwright, expect

from gateway.api.v1.orders import PlaceOrder, checked_order
from settlement.protocol.signers import recovered_order
from tests.api.fixtures import DOMAIN, Served, Venue, Wallet, served

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""A folder to leave screenshots in, for people to look at."""

Story = Callable[[Served, Page], Awaitable[None]]


def need_chromium() -> None:
    """Leave a file of tests out where there is no browser, unless that has to be an error."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip("chromium is not installed (apt-get install chromium)", allow_module_level=True)


def run(story: Story, *, changes: dict[str, Any] | None = None, **context: Any) -> None:
    """Tell ``story`` with a filled venue and a page; nothing may complain or come from elsewhere.

    ``changes`` are services of the gateway.
    """

    async def whole() -> None:
        async with (
            served(await filled(), **(changes or {})) as up,
            browser() as chromium,
            watched(chromium, up.port, **context) as page,
        ):
            await story(up, page)

    asyncio.run(whole())


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Give a Chromium."""
    assert CHROMIUM is not None, "CI installs chromium before the tests"
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium
        finally:
            await chromium.close()


@asynccontextmanager
async def watched(
    chromium: Browser, port: int, host: str = "127.0.0.1", **context: Any
) -> AsyncIterator[Page]:
    """Give a page that says nothing on its console and asks nobody else."""
    page = await chromium.new_page(**context)
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    # A browser reports each refusal of ours as an error of its own; those are part of the tale.
    assert [
        said for said in complaints if "the server responded with a status of 4" not in said
    ] == []
    own = (f"http://{host}:{port}/", f"ws://{host}:{port}/", "data:")
    assert [url for url in asked if not url.startswith(own)] == [], "no other origin"


async def filled() -> Venue:
    """Return a venue with a book, some trades on their way and a few batches."""
    venue = Venue()
    maker, taker = venue.maker, venue.taker

    async def place(body: dict[str, Any]) -> None:
        order = checked_order(msgspec.convert(body, PlaceOrder))
        result = await venue.exchange.place(recovered_order(venue.exchange.domain, order))
        assert result.accepted, result

    for n in range(14):
        await place(maker.order("sell", 9_000 + 7_919 * n % 41_000, 850_250 + 250 * n))
        await place(maker.order("buy", 8_000 + 6_113 * n % 37_000, 850_000 - 250 * n))
    for n in range(9):
        side, ticks = ("buy", 853_000) if n % 3 else ("sell", 848_000)
        await place(taker.order(side, 900 + 1_371 * n, ticks, single_shot=True))
    last = venue.market_data.last_trade_id
    venue.settlement.move(1, 3, "final", 1, b"\xa1\x5c" * 16)
    venue.settlement.move(4, 5, "mined", 2, b"\xd3\x0e" * 16)
    venue.settlement.move(6, 7, "submitted", 3, b"\x7f\x42" * 16)
    venue.settlement.move(8, last - 1, "batched", 4, None)
    return venue


async def keep(page: Page, name: str) -> None:
    """Leave a picture, if somebody wants to look."""
    if SCREENSHOTS:
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


async def sideways(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    wider: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wider


PROVIDER = """(() => {
  const heard = {};
  const provider = {
    request: async ({ method, params }) => {
      const { result, error } = await askWallet(method, params ?? []);
      if (error) throw Object.assign(new Error(error.message), error);
      return result;
    },
    on: (name, hear) => { (heard[name] ??= []).push(hear); },
  };
  window.tellPage = (name, news) => (heard[name] ?? []).forEach((hear) => hear(news));
  const info = { uuid: "6b1d", name: "Paper wallet", icon: "", rdns: "example.paper" };
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider",
    { detail: Object.freeze({ info, provider }) }));
  if (%s) { addEventListener("eip6963:requestProvider", announce); announce(); }
  else window.ethereum = provider;
})();"""


class Declined(Exception):
    """What a wallet throws; ``code`` as EIP-1193 has it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class PaperWallet:
    """A browser wallet: it announces itself, asks nobody, and signs with a key that we know.

    eth-account walks the type tree by itself: an independent reading of what we sign.
    """

    def __init__(self, wallet: Wallet, chain_id: int = DOMAIN.chain_id) -> None:
        self.wallet = wallet
        self.chain_id = chain_id
        self.asked: list[str] = []
        self.signed: list[dict[str, Any]] = []
        self.declines = False
        self.answers: dict[str, Callable[[list[Any]], Any]] = {}
        """Answers to what else is asked, by method."""

    @property
    def account(self) -> str:
        """Return the account as wallets give it."""
        return "0x" + self.wallet.address.hex()

    async def inject(self, page: Page, *, announces: bool = True) -> None:
        """Be there when the page is opened; the old kind does not announce itself."""
        await page.expose_function("askWallet", self._ask)
        await page.add_init_script(PROVIDER % ("true" if announces else "false"))

    async def _ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.asked.append(method)
        try:
            return {"result": self._answer(method, params)}
        except Declined as no:
            return {"error": {"code": no.code, "message": str(no)}}

    def _answer(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_requestAccounts" | "eth_accounts":
                return [self.account]
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain":
                self.chain_id = int(params[0]["chainId"], 16)
                return None
            case "eth_signTypedData_v4":
                if self.declines:
                    raise Declined(4001, "User rejected the request.")
                typed = orjson.loads(params[1])
                self.signed.append(typed)
                signed = Account.sign_message(
                    encode_typed_data(full_message=typed), self.wallet.secret
                )
                return "0x" + signed.signature.hex().removeprefix("0x")
        return self.answers[method](params)


async def connected(up: Served, page: Page, paper: PaperWallet, query: str = "") -> None:
    """Open the page and connect the wallet, by clicks."""
    await page.goto(f"http://127.0.0.1:{up.port}/{query}")
    await page.locator("#link.live").wait_for()
    await page.locator("#connect").click()
    await page.get_by_role("button", name="Paper wallet").click()
    await page.locator("#account-open").wait_for()
    # Not by ``wait_for_function``, which looks again by eval: the page's policy lets that in no
    # more than anything else.
    await expect(page.locator("#available")).not_to_have_text("–")
    assert paper.signed[-1]["primaryType"] == "Login"
