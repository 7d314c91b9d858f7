"""Sales, deposits, payouts, and refunds that a refund account buys and pays: on a real chain the
columns of all of it sum to what the vault has of the shop's accounts, to the unit."""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from sqlalchemy import Engine, select

from gateway.cli.settled import lines_of
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from gateway.sandbox import actors
from gateway.sandbox.funding import fill_wallet, give
from gateway.sandbox.routes import SandboxShop
from gateway.sandbox.run import keep_blocks_coming, open_market
from gateway.sandbox.wallet import Wallet
from merchants.documents.refunds import RefundDocument
from merchants.records.database import transaction
from merchants.records.movements import Movement, MovementKind
from merchants.records.refunds import RefundOrder, RefundState, RefundVariant
from merchants.records.tables import Credit
from merchants.reports.on_chain import Compared, against_chain
from merchants.sales.refund_keys import KeyFunds
from merchants.sales.refunds import RefundRequest
from merchants.service import Merchants, open_merchants_database
from settlement.audit.accounts import MovedOnChain, SellerKey, moved_on_chain
from settlement.chain.dev.devchain import dev_secret
from settlement.protocol.abi import encode_call
from settlement.protocol.checksum import checksum_address
from settlement.protocol.eip712 import withdrawal_digest
from settlement.protocol.evidence import SignedWithdrawal

DOLLAR = 10**8
NS = 10**9


def test_the_columns_sum_to_the_chains_deltas(tmp_path: Path) -> None:
    async def story() -> None:
        async with Stack(sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")) as stack:
            domain, merchants = stack.parts.exchange.domain, stack.parts.merchants
            wallets = {who: Wallet(dev_secret(who), stack.chain, domain) for who in range(9)}
            merchant, customer = wallets[actors.MERCHANT], wallets[actors.CUSTOMER]
            await stack.serve()
            blocks = asyncio.create_task(keep_blocks_coming(stack))
            await open_market(stack, wallets)
            usd = stack.parts.catalog.token("USD")
            assert usd is not None, "the sandbox lists it"
            before = 3 * DOLLAR
            give(stack.chain, stack.deployment, customer, merchant.address, usd, before)
            while stack.parts.exchange.balance(merchant.address, usd.address).available < before:
                await mined(stack)
            await mined(stack)  # The shops' rows follow behind the ledger.
            shop = SandboxShop(stack, merchant, customer)
            shop.open()
            store = (tmp_path / "sandbox-store").read_text()
            name = shop.buy("book")
            await shop.pay(name)
            await until(stack, lambda: is_final(merchants, name))

            give(stack.chain, stack.deployment, customer, merchant.address, usd, 7 * DOLLAR)
            await refunded(stack, store, name, customer)
            await paid_out(stack, merchant, usd.address, 5 * DOLLAR)

            database = open_merchants_database(tmp_path, "")
            found = await agreed(stack, database, store)
            columns = found.columns[usd.address]
            assert columns["deposited"] == (40 + 7) * DOLLAR, "with what the refunds are paid from"
            assert (columns["payouts"], columns["before"]) == (-5 * DOLLAR, before)
            assert columns["sold"] == columns["by_itself"] == columns["exits"] == 0
            assert columns["proceeds"] > 0 > columns["fee"] and columns["bought"] < 0
            token = stack.parts.catalog.token("TOKEN")
            assert token is not None
            tokens = found.columns[token.address]
            assert tokens["paid_in"] == -tokens["sold"] > 0
            assert tokens["bought"] >= -tokens["refunds"] > 0
            assert not any("WRONG" in line for line in lines_of(found))
            each_lie_is_named(stack, database, store)
            database.dispose()
            blocks.cancel()

    asyncio.run(story())


async def mined(stack: Stack) -> None:
    await asyncio.to_thread(stack.devchain.mine)


async def until(stack: Stack, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await mined(stack)


def is_final(merchants: Merchants, name: str) -> bool:
    invoice = merchants.reader.invoice(name)
    assert invoice is not None
    return bool(invoice.conversions) and all(c.status == "final" for c in invoice.conversions)


async def refunded(stack: Stack, store: str, name: str, customer: Wallet) -> None:
    """The shop's refund account, filled with stablecoin, buys what came and gives it back."""
    desk, usd = stack.parts.merchants.refunding, stack.parts.catalog.token("USD")
    assert usd is not None
    account = desk.keys.create(store, 3_600, 50_000)
    assert isinstance(account, KeyFunds), account
    raw = usd.raw_of(40 * DOLLAR)
    await asyncio.to_thread(fill_wallet, stack.chain, customer, usd, raw)
    top_up = encode_call("transfer", account.top_up_address, raw, contract="TestToken")
    await asyncio.to_thread(customer.transact, usd.address, top_up)
    exchange, buyer = stack.parts.exchange, account.key_address
    await until(stack, lambda: exchange.balance(buyer, usd.address).available > 0)
    opened = desk.refunds.create(store, name, RefundRequest(RefundVariant.RATE_THEN))
    assert isinstance(opened, RefundDocument), opened
    key = desk.refunds.claim_key(opened.id)
    claimed = desk.refunds.claim(opened.id, key, checksum_address(customer.address))
    reader = stack.parts.merchants.reader

    def is_paid() -> bool:
        refund = reader.refund(store, opened.id)
        assert refund is not None, claimed
        return refund.status == RefundState.COMPLETED

    await until(stack, is_paid)


async def paid_out(stack: Stack, merchant: Wallet, token: bytes, pips: int) -> None:
    exchange = stack.parts.exchange
    nonce = exchange.nonces(merchant.address, ()).withdrawal
    expiry = exchange.now_ns() // NS + 1_800
    unsigned = SignedWithdrawal(
        merchant.address, token, merchant.address, pips, nonce, expiry, b"", b""
    )
    digest = withdrawal_digest(exchange.domain, unsigned)
    signed = SignedWithdrawal(
        *(merchant.address, token, merchant.address, pips, nonce, expiry),
        merchant.sign_digest(digest),
        digest,
    )
    assert (await exchange.withdraw(signed)).accepted


def compared(stack: Stack, database: Engine, store: str) -> Compared:
    def read(accounts: Collection[bytes], keys: Collection[SellerKey]) -> MovedOnChain:
        settings, deployment = stack.settings, stack.deployment
        return moved_on_chain(stack.chain, deployment, accounts, keys, settings.confirmations)

    found = against_chain(database, store, read)
    assert found is not None
    return found


async def agreed(stack: Stack, database: Engine, store: str) -> Compared:
    """Compare until nothing is on its way any more."""
    for _ in range(40):
        found = await asyncio.to_thread(compared, stack, database, store)
        if found.is_same:
            return found
        await mined(stack)
    raise AssertionError([*lines_of(found)])


def each_lie_is_named(stack: Stack, database: Engine, store: str) -> None:
    """Whatever row says one pip too many, or is missing, is named."""
    payout = select(Movement).where(Movement.kind == MovementKind.WITHDRAWAL)
    deposit = select(Movement).where(Movement.kind == MovementKind.DEPOSIT)
    lies = (
        (payout, "pips", "payment"),
        (deposit, "pips", "deposit"),
        (select(Credit), "amount_pips", "deposit"),
        (select(RefundOrder).where(RefundOrder.bought_pips > 0), "paid_pips", "order"),
    )
    for rows, column, word in lies:
        with transaction(database) as session:
            row = session.scalars(rows).first()
            setattr(row, column, getattr(row, column) + 1)
        lied = compared(stack, database, store)
        assert not lied.is_same
        assert any(f"WRONG: a {word}" in one or f"WRONG: {word}" in one for one in lines_of(lied))
        with transaction(database) as session:
            row = session.scalars(rows).first()
            setattr(row, column, getattr(row, column) - 1)
    assert compared(stack, database, store).is_same
