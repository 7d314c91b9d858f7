"""A shop of the sandbox chooses which of its two stablecoins it is paid in, and is paid in it."""

import asyncio
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select

from gateway.cli.settled import lines_of
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.funding import vault_pips
from gateway.sandbox.invented_rates import invented_rates
from gateway.sandbox.routes import SandboxShop
from gateway.sandbox.run import keep_blocks_coming, open_market
from gateway.sandbox.wallet import Wallet
from merchants.records.amounts import pips_of_decimal
from merchants.records.database import transaction
from merchants.records.tables import Fill
from merchants.reports.on_chain import against_chain
from merchants.reports.reports import ReportKind, asked
from merchants.reports.rows import ReconciliationRow
from merchants.reports.written import signed_decimal
from merchants.sales.asked import InvoiceRequest
from merchants.service import open_merchants_database
from merchants.stores.stores import StoreRequest
from settlement.audit.accounts import MovedOnChain, SellerKey, moved_on_chain
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call


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
            held_against_the_chain(stack, store, ended.net)
            await at_one_block(stack, store, merchant.address)

            wanted = InvoiceRequest("100", "USD", ("TOKEN",))
            made = merchants.create_invoice(store, wanted).invoice  # type: ignore[union-attr]
            assert made.price == "90", "a dollar is worth nine tenths of what its token stands for"
            blocks.cancel()

    asyncio.run(story())


def held_against_the_chain(stack: Stack, store: str, net: str) -> None:
    """The settlement report's columns sum to what the chain changed; a row that lies is named."""
    euro, token = (stack.parts.catalog.token(symbol) for symbol in ("EUR", "TOKEN"))
    assert euro is not None and token is not None, "the sandbox lists them"
    chain, deployment = stack.chain, stack.deployment

    def read(accounts: Collection[bytes], keys: Collection[SellerKey]) -> MovedOnChain:
        return moved_on_chain(chain, deployment, accounts, keys, stack.settings.confirmations)

    database = open_merchants_database(stack.settings.directory, "")
    same = against_chain(database, store, read)
    assert same is not None and same.is_same and same.batches == 1
    assert same.deltas == same.reported
    assert same.deltas[euro.address] == pips_of_decimal(net)
    sold = same.columns[token.address]
    assert sold["sold"] < 0 and same.deltas[token.address] == sold["paid_in"] + sold["sold"]
    assert 0 < same.block <= chain.head().number

    with transaction(database) as session:
        fill = session.scalars(select(Fill).where(Fill.store_id == store)).first()
        assert fill is not None, "it was sold"
        fill.fee_pips += 1
    lied = against_chain(database, store, read)
    assert lied is not None and any(line.startswith("WRONG: batch") for line in lines_of(lied))
    assert not any("WRONG" in line for line in lines_of(same))
    assert lied is not None and len(lied.apart) == 1
    (apart,) = lied.apart
    assert apart.place[0] == fill.batch and apart.report[2] == apart.chain[2] + 1
    assert lied.reported[euro.address] == lied.deltas[euro.address] - 1
    assert against_chain(database, "nobody", read) is None
    with transaction(database) as session:
        session.get_one(Fill, fill.trade_id).fee_pips -= 1
    database.dispose()


async def at_one_block(stack: Stack, store: str, wallet: bytes) -> None:
    """The reconciliation names a block of the chain, at which books, ledger and vault agree."""
    reports = stack.parts.merchants.reports

    def rows() -> list[ReconciliationRow]:
        question = reports.accounted(asked(), wallet)
        found = reports.page(ReportKind.RECONCILIATION, store, question).rows
        return [row for row in found if isinstance(row, ReconciliationRow)]

    async with asyncio.timeout(60):
        while not all(row.block for row in rows()):
            await asyncio.to_thread(stack.devchain.mine)
    for row in rows():
        block = stack.chain.block(int(row.block))
        assert block is not None and row.block_hash == "0x" + block.hash.hex()
        token = stack.parts.catalog.token(row.token)
        assert token is not None
        call = encode_call("balanceOf", wallet, token.address)
        pips = int.from_bytes(stack.chain.call(stack.deployment.exchange, call, block.number))
        assert row.chain_at_block == row.ledger_at_block == signed_decimal(pips)
        assert row.books_at_block == row.chain_at_block and row.on_the_way == "0"
        assert (row.chain_difference, row.besides_at_block, row.difference) == ("0", "0", "0")
    assert {row.token: row.chain_at_block != "0" for row in rows()}["EUR"]


def is_final(invoice) -> bool:  # type: ignore[no-untyped-def]
    return bool(invoice.conversions) and all(sale.status == "final" for sale in invoice.conversions)
