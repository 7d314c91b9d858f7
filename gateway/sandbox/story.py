"""How does one sale go, from the customer's token to the shop's stablecoin on chain?

The teller starts the whole exchange and then uses it from outside, as makers, customer, merchant
and shop would. Every step can be told twice: kill the process anywhere, start it again on the same
directory, and the same story ends with the same balances.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from engine.types import PIPS_PER_TOKEN
from gateway.node.node import Stack
from gateway.node.settings import ChainName, sandbox_settings
from gateway.node.shop_routers import shop_routers
from gateway.sandbox import actors
from gateway.sandbox.client import Client, RequestRejected
from gateway.sandbox.funding import fill_vault, fill_wallet, vault_pips
from gateway.sandbox.player import play
from gateway.sandbox.progress import Memory
from gateway.sandbox.run import keep_blocks_coming
from gateway.sandbox.shop import Shop
from gateway.sandbox.tape import TapeError, read_tape
from gateway.sandbox.wallet import Wallet
from merchants.records.amounts import pips_of_decimal
from merchants.sales.reference_prices import PriceTerms
from merchants.webhooks.sign import signature_of
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call

PRICE_USD: Final = "25.00"
LIFETIME_SECONDS: Final = 24 * 3600
WAIT_SECONDS_MAX: Final = 120
POLL_SECONDS: Final = 0.05
PIPS_PER_CENT: Final = PIPS_PER_TOKEN // 100

QUOTES: Final = {
    actors.MAKER_ONE: actors.Quotes(250_005, 5, 10, levels=5, lots=20_000),
    actors.MAKER_TWO: actors.Quotes(250_005, 15, 20, levels=5, lots=30_000),
}
DEPOSITS: Final = {"TOKEN": 1_000 * PIPS_PER_TOKEN, "USD": 3_000_000 * PIPS_PER_TOKEN}
TAPE_DEPOSITS: Final = {"TOKEN": 10**6 * PIPS_PER_TOKEN, "USD": 10**9 * PIPS_PER_TOKEN}


class StoryFailed(Exception):
    """The story did not end as promised; the message says where it went wrong."""


async def tell(
    directory: Path, chain: ChainName, tape: Path | None, messages: int, console: Console
) -> int:
    """Run exchange and story; return the exit code (0 when the balances are equal)."""
    settings = sandbox_settings(directory, "127.0.0.1", 0, chain)
    if tape is not None:
        try:
            settings = settings._replace(prices=_prices_of(tape))
        except TapeError as wrong:
            console.print(f"[red]The story failed:[/red] {wrong}")
            return 1
    async with Stack(settings) as stack:
        public_url = "http://127.0.0.1"
        stack.routers += shop_routers(stack, public_url, stack.devchain.name)
        await stack.serve()
        blocks = asyncio.create_task(keep_blocks_coming(stack))
        teller = Teller(stack, console)
        try:
            await asyncio.to_thread(teller.tell, tape, messages)
        except (StoryFailed, TapeError) as failed:
            console.print(f"[red]The story failed:[/red] {failed}")
            return 1
        finally:
            blocks.cancel()
            teller.close()
    return 0


def _prices_of(tape: Path) -> PriceTerms:
    """Return terms for a tape: its first price is the stated one, and the one account that places
    its orders stands for everybody who did. Raises ``TapeError``."""
    with tape.open() as lines:
        first = next(read_tape(lines), None)
    if first is None:
        raise TapeError("the tape places no order")
    return PriceTerms(
        age_ns=10**9, owners_min=1, references={"TOKEN-USD": first.price_ticks * PIPS_PER_CENT}
    )


class Teller:
    """Plays everybody outside the exchange, on a thread of its own."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack = stack
        self._console = console
        self._path = stack.settings.directory / "story.json"
        self._memory = Memory.load(self._path, stack.now_ns() // 10**9)
        self._client = Client("127.0.0.1", stack.port)
        self._wallets = {
            who: Wallet(dev_secret(who), stack.chain, stack.parts.exchange.domain)
            for who in (actors.MAKER_ONE, actors.MAKER_TWO, actors.CUSTOMER, actors.MERCHANT)
        }
        self._shop = Shop(self._memory.shop_port, self._is_ours)
        self._memory.shop_port = self._shop.port
        self._step = 0

    def close(self) -> None:
        """Hang up and close the shop."""
        self._client.close()
        self._shop.close()

    def tell(self, tape: Path | None, messages: int) -> None:
        """Tell the whole story. Raises ``StoryFailed``."""
        self._introduce()
        self._fund(TAPE_DEPOSITS if tape else DEPOSITS)
        if tape is not None:
            self._play(tape, messages)
        else:
            self._quote()
        self._open_shop()
        invoice = self._invoice()
        self._pay(invoice)
        self._follow(str(invoice["id"]))

    # The steps.

    def _introduce(self) -> None:
        deployment = self._stack.deployment
        self._say(f"The exchange runs on {self._stack.devchain.name}, chain {deployment.chain_id}.")
        self._say(f"Its contract is 0x{deployment.exchange.hex()}.")

    def _fund(self, deposits: dict[str, int]) -> None:
        for who in (actors.MAKER_ONE, actors.MAKER_TWO):
            wallet = self._wallets[who]
            for symbol, pips in deposits.items():
                token = self._stack.parts.catalog.token(symbol)
                assert token is not None, "the sandbox lists it"
                tx_hash = fill_vault(self._stack.chain, self._stack.deployment, wallet, token, pips)
                if tx_hash is not None:
                    whole = pips // PIPS_PER_TOKEN
                    self._say(f"Maker {who} deposits {whole} {symbol}.", tx_hash)
            is_funded = partial(self._is_funded, self._login(wallet), deposits)
            self._until("the deposits are credited", is_funded)

    def _quote(self) -> None:
        market = self._stack.parts.catalog.markets[0]
        expiry = self._memory.started_at + LIFETIME_SECONDS
        count = 0
        for who, quotes in QUOTES.items():
            for order in actors.quotes_of(
                self._wallets[who], market, quotes, nonce=1, expiry=expiry
            ):
                self._client.place(order)
                count += 1
        self._say(f"Two makers stand in the book with {count} signed orders.")
        self._show_book()

    def _play(self, tape: Path, messages: int) -> None:
        expiry = self._memory.started_at + LIFETIME_SECONDS
        played = play(
            tape,
            messages,
            self._client,
            self._stack.parts.catalog.markets[0],
            self._wallets[actors.MAKER_ONE],
            self._wallets[actors.MAKER_TWO],
            bearer=self._login(self._wallets[actors.MAKER_ONE]),
            expiry=expiry,
        )
        self._say(
            f"The tape drives the book: {played.messages} messages, {played.placed} orders placed, "
            f"{played.cancelled} cancelled, {played.fills} fills."
        )
        self._show_book()

    def _show_book(self) -> None:
        book = self._client.get("/v1/markets/TOKEN-USD/book?levels=1")
        bid, ask = (side[0]["price"] if side else "none" for side in (book["bids"], book["asks"]))
        self._say(f"Best bid {bid}, best ask {ask} USD.")
        if not book["bids"]:
            raise StoryFailed("nobody bids, so the shop's token cannot be sold")

    def _open_shop(self) -> None:
        memory, merchant = self._memory, self._wallets[actors.MERCHANT]
        if not memory.store_id:
            store = self._client.post(
                "/v1/stores",
                {
                    "wallet": "0x" + merchant.address.hex(),
                    "settle": "USD",
                    "tokens": ["TOKEN"],
                    "name": "The corner shop",
                    "webhook_url": self._shop.url,
                },
                bearer=self._stack.operator_token(),
            )
            memory.store_id, memory.api_key = store["id"], store["api_key"]
            memory.webhook_secret = store["webhook_secret"]
            (grant,) = store["grants"]
            memory.grant_id, memory.grant = grant["id"], grant["grant"]["message"]
            memory.save(self._path)
        signature = merchant.grant_signature(memory.grant)
        self._client.post(
            f"/v1/stores/{memory.store_id}/grants/{memory.grant_id}/approval",
            {"signature": "0x" + signature.hex()},
            bearer=memory.api_key,
        )
        self._say(
            "The merchant's wallet lets a session key sell TOKEN for USD; the server holds no "
            "spending key."
        )

    def _invoice(self) -> dict[str, Any]:
        invoice: dict[str, Any] = {}
        self._until("the makers' quotes are old enough to count", lambda: self._ask(invoice))
        self._say(
            f"The shop asks for {PRICE_USD} USD: {invoice['options'][0]['amount_due']} TOKEN to "
            f"{invoice['deposit_address']}."
        )
        expected = invoice["options"][0]["expected"]
        self._say(
            f"Stated terms: proceeds {expected['proceeds']}, fee {expected['fee']}, "
            f"net {expected['net']} USD."
        )
        return invoice

    def _ask(self, invoice: dict[str, Any]) -> bool:
        """Ask for the invoice; return whether there is a price for it now."""
        try:
            made = self._client.post(
                "/v1/invoices",
                {"amount": PRICE_USD, "tokens": ["TOKEN"], "order_id": "1"},
                bearer=self._memory.api_key,
                idempotency_key="the-story",
            )
        except RequestRejected as rejected:
            if rejected.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return False
            raise
        invoice.update(made)
        return True

    def _pay(self, invoice: dict[str, Any]) -> None:
        customer, memory = self._wallets[actors.CUSTOMER], self._memory
        token = self._stack.parts.catalog.token("TOKEN")
        assert token is not None, "the sandbox lists it"
        raw_amount = int(invoice["options"][0]["amount_due_raw"])
        if not memory.payment_raw:
            fill_wallet(self._stack.chain, customer, token, raw_amount)
            to = bytes.fromhex(invoice["deposit_address"][2:])
            transfer = encode_call("transfer", to, raw_amount, contract="TestToken")
            memory.payment_raw = customer.prepare(token.address, transfer).hex()
            # On disk before it is sent: after a crash the same transaction goes out, not another.
            memory.save(self._path)
        receipt = customer.send(bytes.fromhex(memory.payment_raw))
        self._say("The customer pays by a plain transfer.", receipt.tx_hash)

    def _follow(self, invoice_id: str) -> None:
        self._until("the payment is final", lambda: self._read(invoice_id)["status"] == "settled")
        payment = self._read(invoice_id)["payments"][0]
        self._say(f"Payment final; the invoice is settled ({payment['amount']} TOKEN received).")
        self._until("the conversion is final", lambda: self._is_converted(invoice_id))
        invoice = self._read(invoice_id)
        sold = invoice["conversions"][0]
        for fill in sold["fills"]:
            self._say(
                f"Trade {fill['trade_id']}: {fill['amount']} TOKEN at {fill['price']}, batch "
                f"{fill['batch']}, {fill['status']}.",
                bytes.fromhex(fill["tx_hash"][2:]),
            )
        self._until("the shop has its webhooks", self._is_told)
        told = ", ".join(self._shop.heard.values()) or "none, all came before"
        self._say(f"Every webhook is delivered; signatures verified in this sitting: {told}.")
        self._compare(invoice, sold)

    def _compare(self, invoice: dict[str, Any], sold: dict[str, Any]) -> None:
        """Hold the balance that the chain reports against invoice minus fees, in pips."""
        usd = self._stack.parts.catalog.token("USD")
        assert usd is not None, "the sandbox lists it"
        merchant = self._wallets[actors.MERCHANT].address
        on_chain = vault_pips(self._stack.chain, self._stack.deployment, merchant, usd.address)
        way = invoice["options"][0]
        price, expected, proceeds, fee = (
            _pips(text)
            for text in (
                *(invoice["price"], way["expected"]["proceeds"]),
                *(sold["proceeds"], sold["fee"]),
            )
        )
        # What is less than a lot is not sold alone; it is the shop's all the same.
        waiting = sum(_pips(given["waiting"]) for given in invoice["gathered"])
        gathered = -(-waiting * (_pips(way["rate"]) + 1) // 10**8)
        # The quote is the least of what bids, trades and the middle of the book support: it may be
        # sold above.
        above = proceeds + gathered - price
        self._say(
            f"On chain the merchant has {on_chain} pips of USD = invoice {price} "
            f"+ rounding and better price {above} - fee {fee} - TOKEN for {gathered}, less than a "
            "lot and gathered for the next sale."
        )
        if on_chain != proceeds - fee or above < 0:
            raise StoryFailed(f"on chain {on_chain}, owed {price + above - fee - gathered}")
        if proceeds + gathered < expected:
            raise StoryFailed(f"sold for {proceeds}, quoted {expected}")
        self._console.print("[green]Equal to the unit.[/green]", highlight=False)

    # How the teller asks and speaks.

    def _read(self, invoice_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.get(f"/v1/invoices/{invoice_id}", self._memory.api_key)
        return found

    def _is_funded(self, bearer: str, deposits: Collection[str]) -> bool:
        balances = self._client.get("/v1/balances", bearer)["balances"]
        rows = [row for row in balances if row["symbol"] in deposits]
        return all(_pips(row["available"]) + _pips(row["held"]) for row in rows)

    def _is_converted(self, invoice_id: str) -> bool:
        conversions = self._read(invoice_id)["conversions"]
        return bool(conversions) and all(c["status"] == "final" for c in conversions)

    def _is_told(self) -> bool:
        """Whether the last event of the sale has been delivered, in this sitting or before."""
        deliveries = self._client.get(
            f"/v1/stores/{self._memory.store_id}/webhook-deliveries", self._memory.api_key
        )["deliveries"]
        is_over = any(delivery["type"] == "conversion.final" for delivery in deliveries)
        return is_over and all(delivery["status"] == "delivered" for delivery in deliveries)

    def _login(self, wallet: Wallet) -> str:
        now = self._stack.now_ns() // 10**9
        session = self._client.post(
            "/v1/sessions",
            {
                "account": "0x" + wallet.address.hex(),
                "issuedAt": now,
                "signature": "0x" + wallet.login_signature(now).hex(),
            },
        )
        return str(session["token"])

    def _is_ours(self, body: bytes, headers: dict[str, str]) -> bool:
        """Judge a webhook as a shop does: signature over id, time and body."""
        expected = signature_of(
            self._memory.webhook_secret,
            headers["webhook-id"],
            int(headers["webhook-timestamp"]),
            body,
        )
        return expected in headers["webhook-signature"].split(" ")

    def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not is_so():
            if time.monotonic() > deadline:
                raise StoryFailed(f"waited {WAIT_SECONDS_MAX} s, and not: {what}")
            time.sleep(POLL_SECONDS)

    def _say(self, sentence: str, tx_hash: bytes | None = None) -> None:
        self._step += 1
        proof = f"\n    tx 0x{tx_hash.hex()}" if tx_hash is not None else ""
        self._console.print(f"{self._step:3}  {sentence}{proof}", highlight=False, soft_wrap=True)


def _pips(text: str) -> int:
    pips = pips_of_decimal(text)
    assert pips is not None, f"{text} comes from our own API"
    return pips
