"""A shop of the sandbox chooses which of its two stablecoins it is paid in, and is paid in it."""

import asyncio
from pathlib import Path

from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.funding import vault_pips
from gateway.sandbox.invented_rates import invented_rates
from gateway.sandbox.routes import SandboxShop
from gateway.sandbox.run import keep_blocks_coming, open_market
from gateway.sandbox.wallet import Wallet
from merchants.records.amounts import pips_of_decimal
from merchants.sales.asked import InvoiceRequest
from merchants.stores.stores import StoreRequest
from settlement.chain.dev.devchain import dev_secret


def test_what_a_customer_pays_becomes_euros_in_the_shops_account(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            domain, merchants = stack.parts.exchange.domain, stack.parts.merchants
            wallets = {who: Wallet(dev_secret(who), stack.chain, domain) for who in range(9)}
            merchant, customer = wallets[actors.MERCHANT], wallets[actors.CUSTOMER]
            merchants.rates.take("sandbox", invented_rates(stack.now_ns()))
            await stack.serve()
            blocks = asyncio.create_task(keep_blocks_coming(stack))
            await open_market(stack, wallets)
            terms = StoreRequest(merchant.address, "EUR", ("TOKEN",), name="Paper and Ink")
            shop = SandboxShop(stack, merchant, customer, terms, "euro-store")
            shop.open()
            name = shop.buy("book")
            await shop.pay(name)

            async with asyncio.timeout(60):
                while not is_final(merchants.reader.invoice(name)):
                    await asyncio.to_thread(stack.devchain.mine)
            ended = merchants.reader.invoice(name)
            assert ended is not None
            assert (ended.settle_token, ended.price) == ("EUR", "25")
            has = {
                token.symbol: vault_pips(
                    stack.chain, stack.deployment, merchant.address, token.address
                )
                for token in stack.parts.catalog.tokens
            }
            assert has["EUR"] == pips_of_decimal(ended.net) > 0 and has["USD"] == 0

            store = (tmp_path / "euro-store").read_text()
            asked = InvoiceRequest("100", "USD", ("TOKEN",))
            made = merchants.create_invoice(store, asked).invoice  # type: ignore[union-attr]
            assert made.price == "90", "a dollar is worth nine tenths of what its token stands for"
            blocks.cancel()

    asyncio.run(story())


def is_final(invoice) -> bool:  # type: ignore[no-untyped-def]
    return bool(invoice.conversions) and all(sale.status == "final" for sale in invoice.conversions)
