"""A served shop with its dashboard, a merchant's wallet, and Chromium's own authenticator."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from eth_account import Account
from eth_account.messages import encode_defunct
from playwright.async_api import Page, expect
from starlette.testclient import TestClient

from gateway.api.v1.people import people_router
from gateway.api.v1.shops import merchants_router
from gateway.pages.authorize import authorize_router
from gateway.pages.dashboard import dashboard_router
from merchants.people.people import PeopleTerms
from tests.any_request import PLENTY
from tests.api.fixtures import Venue
from tests.browser.fixtures import PaperWallet, browser, watched
from tests.merchants.fixtures import DOMAIN, MERCHANT, MERCHANT_SECRET, World
from tests.merchants.people_site import gate_of
from tests.merchants.site import OPERATOR_TOKEN
from tests.merchants.test_sale_from_invoice_to_final import paid
from tests.merchants.test_shops_over_rest import NEW_STORE, approve, bearer

NS = 10**9
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Keys(NamedTuple):
    """What a paper wallet signs with."""

    secret: bytes
    address: bytes


class Shop:
    """A shop that is served; ``world`` is everything behind it."""

    def __init__(self, directory: Path, *, sign_up: bool = False) -> None:
        self.world = World(directory, start_ns=time.time_ns())
        if sign_up:
            self.world.people_terms = PeopleTerms(b"secret of the rig", sign_up=True)
            self.world.restart()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        gate = gate_of(self.world, self.url)
        shops = merchants_router(
            self.world.venue.merchants, DOMAIN, OPERATOR_TOKEN, self.url, gate=gate
        )
        self.app = Venue(PLENTY).app(
            routers=(
                shops,
                people_router(gate),
                dashboard_router(sandbox=False),
                authorize_router(sandbox=False),
            )
        )
        self.client = TestClient(self.app)
        made = self.client.post("/v1/stores", json=NEW_STORE, headers=bearer(OPERATOR_TOKEN)).json()
        approve(self.client, made)
        self.store, self.headers = made["id"], bearer(made["api_key"])

    def invoice(self, dollars: str, **more: Any) -> Any:
        body = {"amount": dollars, "tokens": ["TOKEN"], **more}
        return self.client.post("/v1/invoices", json=body, headers=self.headers).json()

    def sell(self, dollars: str, **more: Any) -> None:
        """Let a customer pay an invoice, and what he paid be sold and final."""
        merchants = self.world.venue.merchants
        paid(self.world, merchants.reader.invoice(self.invoice(dollars, **more)["id"]))
        self.world.trades_are("final")
        self.world.venue.tick()

    def begin(self) -> None:
        config = uvicorn.Config(self.app, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def paper_wallet(secret: bytes = MERCHANT_SECRET, address: bytes = MERCHANT) -> PaperWallet:
    """Return a browser wallet that signs texts."""
    paper = PaperWallet(Keys(secret, address))  # type: ignore[arg-type]

    def sign(params: list[Any]) -> str:
        text = bytes.fromhex(params[0][2:]).decode()
        signed = Account.sign_message(encode_defunct(text=text), secret)
        return "0x" + signed.signature.hex().removeprefix("0x")

    paper.answers["personal_sign"] = sign
    return paper


async def authenticator(page: Page) -> Any:
    """Give the page's browser an authenticator; return how to speak to it."""
    client = await page.context.new_cdp_session(page)
    await client.send("WebAuthn.enable")
    made = await client.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return client, made["authenticatorId"]


Story = Callable[[Shop, Page], Awaitable[None]]


def told(
    directory: Path,
    story: Story,
    *,
    wallet: PaperWallet | None = None,
    before: Callable[[Shop], None] | None = None,
    **context: Any,
) -> None:
    """Tell ``story`` with a served shop and a page; nothing may complain or come from elsewhere.
    Another ``wallet`` than the shop's is a stranger's, who may sign up; ``before`` is what happened
    ahead of it all."""
    shop = Shop(directory, sign_up=wallet is not None)
    paper = wallet or paper_wallet()

    async def whole() -> None:
        async with (
            browser() as chromium,
            watched(chromium, shop.port, "localhost", **context) as page,
        ):
            await paper.inject(page)
            await story(shop, page)

    if before is not None:
        before(shop)
    shop.begin()
    try:
        asyncio.run(whole())
    finally:
        shop.end()


async def enter(shop: Shop, page: Page, query: str = "") -> None:
    """Sign in by wallet."""
    await page.goto(f"{shop.url}/dashboard{query}")
    await page.locator("#wallets button").first.click()
    await page.locator("#shown[data-section]").wait_for()


async def visit(page: Page, section: str) -> None:
    """Go to a part of the dashboard."""
    await page.locator(f'#sections a[href="#{section}"]').click()
    await page.locator(f'#shown[data-section="{section}"]').wait_for()


async def agree(page: Page, code: str = "") -> None:
    """Confirm what the dialog says."""
    await page.locator("#confirm[open]").wait_for()
    if code:
        await page.locator("#confirm-code input").fill(code)
    await page.locator('#confirm button[value="yes"]').click()


async def add_passkey(page: Page) -> None:
    """Add a passkey to the account of who is signed in."""
    await visit(page, "account")
    await page.get_by_label("Name of this device").fill("laptop")
    await page.get_by_role("button", name="Add a passkey").click()
    await agree(page)
    await expect(page.locator("#told")).to_have_text("The passkey is added.")
