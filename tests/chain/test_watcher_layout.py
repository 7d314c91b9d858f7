"""The watcher reads logs as the committed contracts write them."""

import pytest

from settlement.protocol.abi import abi_entry, abi_types
from settlement.watching.watcher import EXCHANGE_EVENTS, TRANSFER, Event


@pytest.mark.parametrize("event", [*EXCHANGE_EVENTS, TRANSFER], ids=lambda event: event.signature)
def test_signature_and_topics_are_the_abis(event: Event):
    name = event.signature.partition("(")[0]
    contract = "TestToken" if event is TRANSFER else "Exchange"
    inputs = abi_entry(contract, "event", name)["inputs"]

    assert event.signature == f"{name}({','.join(abi_types(contract, 'event', name))})"
    assert event.indexed == tuple(i for i, field in enumerate(inputs) if field["indexed"])
    assert all("[" not in field["type"] for field in inputs), "static types only"
