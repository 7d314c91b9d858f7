"""What is paid to one of our own contracts is lost: no store and no withdrawal names one."""

import asyncio
from pathlib import Path

from engine.types import Outcome
from gateway.node.node import Stack
from gateway.node.settings import sandbox_settings
from merchants.records.rejection import Rejection
from merchants.service import StoreOpened
from merchants.stores.stores import StoreRequest


def test_a_stores_wallet_is_none_of_our_contracts_and_no_token(tmp_path: Path) -> None:
    """FIELD 19: the exchange and the tokens were refused, custodian and collector were taken."""
    asked: dict[str, StoreOpened | Rejection] = {}

    async def story() -> None:
        settings = sandbox_settings(tmp_path, "127.0.0.1", 0, "eth-tester")
        async with Stack(settings) as stack:
            deployment = stack.deployment
            wallets = {token.symbol: token.address for token in deployment.tokens}
            wallets |= deployment.contracts | {"nobody": bytes(20)}
            wallets["implementation"] = deployment.invoice_implementation
            for name, wallet in wallets.items():
                asked[name] = stack.parts.merchants.create_store(StoreRequest(wallet, "USD"))
            somebodys = StoreRequest(b"\x77" * 20, "USD", ("TOKEN",), floor_price=1)
            assert isinstance(stack.parts.merchants.create_store(somebodys), StoreOpened)

    asyncio.run(story())

    assert {"exchange", "custodian", "invoice_deposits", "collector", "bond", "USD"} < asked.keys()
    taken = [
        name
        for name, answer in asked.items()
        if not (isinstance(answer, Rejection) and answer.outcome is Outcome.BAD_WALLET)
    ]
    assert taken == []
