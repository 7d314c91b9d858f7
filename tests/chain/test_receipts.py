"""A receipt proves its trade to anybody, and nothing else can be made of it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.types import Side
from settlement.audit.proofs import TradeProof, header_of, proof_of_trade, why_refused
from settlement.chain.dev.devchain import DevChain
from settlement.protocol.abi import encode_call
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, LANE, Venue

REF = b"\x5e" * 32
UNSEEN = ("format", "domain", "leaf", "head")
"""What the contract is not told: it has them itself, or computes them."""
VERIFIER = Path(__file__).with_name("verify_receipt.js")


@pytest.fixture
def venue(devchain: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, devchain, clock)
    built.fund()
    yield built
    built.close()


def sold_for_an_invoice(venue: Venue, makers: int = 5) -> list[TradeProof]:
    """Bob's sale for ``REF`` meets several buyers, between trades of others, in one batch."""
    venue.deposit(ALICE, venue.token, 10 * 10**18)
    venue.deposit(BOB, venue.usd, 10**12)
    venue.credit()
    for i in range(makers):
        venue.place(ALICE, Side.BUY, 2_500 - i, 10, nonce=1, lane=LANE + i)
    venue.place(BOB, Side.SELL, 2_400, 5, nonce=1)
    events = venue.place(BOB, Side.SELL, 2_400, 10 * makers - 5, nonce=2, ref=REF)
    trade_ids = [int(event["trade_id"]) for event in events if event["trade_id"]]
    assert len(trade_ids) == makers
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    return venue.settler.receipts(BOB.address, REF, trade_ids)


def head_on_chain(venue: Venue, receipt: TradeProof) -> bytes:
    call = encode_call("batchHash", int(receipt.header.batch))
    return venue.devchain.chain.call(venue.domain.contract, call)


def the_contract_believes(venue: Venue, receipt: TradeProof) -> bool:
    """Ask ``verifyReceipt``; figures that do not fit their types are not believed either."""
    orders = [
        (
            *(unhex(order.account), int(order.nonce), order.flags, order.lane),
            *(unhex(order.base), unhex(order.quote)),
            *(int(order.base_amount), int(order.quote_amount)),
            *(int(order.trigger_or_display), order.expiry),
            *(order.max_fee_ppm, unhex(order.ref)),
        )
        for order in (receipt.buy, receipt.sell)
    ]
    pips = [int(text) for text in msgspec.structs.astuple(receipt.trade)]
    path = [unhex(sibling) for sibling in receipt.path]
    proof = (header_of(receipt), receipt.trade_count, receipt.index, *orders, *pips, path)
    call = encode_call("verifyReceipt", proof)
    return bool(int.from_bytes(venue.devchain.chain.call(venue.domain.contract, call), "big"))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def test_each_sale_for_an_invoice_is_proven_by_its_receipt(venue: Venue):
    receipts = sold_for_an_invoice(venue)

    assert [(r.index, r.trade_count) for r in receipts] == [(i, 6) for i in range(1, 6)]
    assert sum(int(receipt.trade.base_amount) for receipt in receipts) == 45 * 10**6
    for receipt in receipts:
        assert why_refused(receipt, head_on_chain(venue, receipt)) is None
        assert the_contract_believes(venue, receipt)
        again = msgspec.json.decode(msgspec.json.encode(receipt), type=TradeProof)
        assert again == receipt, "the document carries everything"


def test_nothing_in_a_receipt_can_be_changed(venue: Venue):
    receipt = sold_for_an_invoice(venue)[2]
    hints = ("state", "transaction")
    proof = json.loads(msgspec.json.encode(receipt))
    changed = 0
    for place in places(proof):
        if place[0] in hints:
            continue
        forged = json.loads(json.dumps(proof))
        change(forged, place)
        try:
            document = msgspec.convert(forged, TradeProof)
        except msgspec.ValidationError:
            continue
        changed += 1
        assert place[0] in UNSEEN or not the_contract_believes(venue, document), place
        assert why_refused(document, head_on_chain(venue, document)) is not None, place
    assert changed >= 30, "every field was tried"


HOSTILE = ("", "-1", "0x", "0x00", "x", str(2**64), str(2**300), -1, 2**32, 2**63, 2**300)


def test_found_a_receipt_that_is_none_was_an_error_of_the_reader(venue: Venue):
    receipt = sold_for_an_invoice(venue)[2]
    head = head_on_chain(venue, receipt)
    proof = json.loads(msgspec.json.encode(receipt))
    tried = 0
    for place in places(proof):
        for value in HOSTILE:
            forged = json.loads(json.dumps(proof))
            within = forged
            for key in place[:-1]:
                within = within[key]
            within[place[-1]] = value
            try:
                document = msgspec.convert(forged, TradeProof)
            except msgspec.ValidationError:
                continue
            tried += 1
            said = why_refused(document, head)
            assert said is not None or place[0] in ("state", "transaction"), (place, value)
    assert tried >= 100


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*before, key))
    else:
        yield before


def change(document: Any, place: tuple[Any, ...]) -> None:
    """Change one figure by one, or the last hex digit but the first of a text."""
    for key in place[:-1]:
        document = document[key]
    value = document[place[-1]]
    if isinstance(value, int):
        document[place[-1]] = value + 1
    elif value.startswith("0x"):
        at = 4
        document[place[-1]] = value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]
    else:
        document[place[-1]] = str(int(value) + 1) if value.isdigit() else value + "x"


def verdict(venue: Venue, proof: dict[str, Any], ref: bytes = REF) -> str:
    run = subprocess.run(
        ["node", str(VERIFIER), str(venue.devchain.rpc_url), "0x" + ref.hex()],
        input=json.dumps(proof),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not run.stderr and (run.returncode == 0) == (run.stdout == "proven\n"), run
    return run.stdout.strip()


def test_a_program_of_other_people_comes_to_the_same_verdict(
    anvil: DevChain, tmp_path: Path, clock: Clock
):
    venue = Venue(tmp_path, anvil, clock)
    venue.fund()
    receipts = sold_for_an_invoice(venue)
    proofs = [json.loads(msgspec.json.encode(receipt)) for receipt in receipts]

    assert [verdict(venue, proof) for proof in (proofs[0], proofs[-1])] == ["proven"] * 2
    forged = {**proofs[1], "trade": {**proofs[1]["trade"], "quoteAmount": "1"}}
    assert verdict(venue, forged).startswith("the chain has head")
    assert verdict(venue, {**proofs[1], "path": proofs[2]["path"]}).startswith("the chain has head")
    assert verdict(venue, {**proofs[1], "path": []}) == "the path is too short"
    assert verdict(venue, proofs[1], ref=b"\x01" * 32) == "another invoice's"
    venue.close()


def test_one_trade_is_proven_by_its_number(venue: Venue):
    """Busted ones are in no batch, so those behind them stand one place further up."""
    receipts = sold_for_an_invoice(venue)
    settler = venue.settler
    trades = [settler.receipt(trade_id) for trade_id in range(1, 7)]
    assert trades[1:] == receipts and trades[0] is not None and trades[0].index == 0
    assert settler.receipt(7) is None, "there is none"
    batch = venue.outbox.batch_of_trade(3)
    assert batch is not None
    as_if = proof_of_trade(
        venue.outbox, venue.domain, [venue.usd, venue.token], 3, lambda trade_id: trade_id == 3
    )
    assert as_if is None
