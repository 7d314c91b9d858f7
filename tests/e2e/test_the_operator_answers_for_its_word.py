"""What an exchange promises its clients over HTTP can be held against it on its own chain."""

from itertools import count

import pytest

from engine.types import PIPS_PER_TOKEN, Side
from gateway.node.node import BOND_RAW
from gateway.node.secrets import acknowledging_signer
from gateway.sandbox.actors import CUSTOMER, MAKER_ONE, MAKER_TWO, MERCHANT
from gateway.sandbox.funding import fill_wallet, number_at
from gateway.sandbox.routes import SandboxShop
from gateway.sandbox.wallet import Wallet
from merchants.sales.reference_prices import PriceTerms
from settlement.chain.chain import CallRevertedError
from settlement.chain.dev.devchain import dev_secret
from settlement.chain.reverts import in_words
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import acknowledgement_digest
from tests.chain.conftest import until
from tests.chain.permits import deposit_with_permit
from tests.e2e.test_bad_input_changes_nothing import LANE, Running


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    # One account makes the whole book, and nobody waits for it to age.
    prices = PriceTerms(age_ns=0, owners_min=1, references={"TOKEN-USD": 2_500 * PIPS_PER_TOKEN})
    up = Running(tmp_path_factory.mktemp("data"), prices=prices)
    up.fund()
    up.lanes = count()
    yield up
    up.close()


def contract(running, name):
    config = running.client.get("/v1/config")
    assert config["contracts"]["exchange"] == config["contract"]
    return bytes.fromhex(config["contracts"][name][2:])


def placed(running, side=Side.BUY, ticks=250_000):
    """Rest an order on a lane of its own, a bid if nothing is said; return the answer."""
    lane = LANE + next(running.lanes)
    expiry = running.stack.now_ns() // 10**9 + 600
    order = running.wallets[MAKER_ONE].order(
        running.market, side, 100, ticks, nonce=1, expiry=expiry, lane=lane
    )
    return running.client.place(order)


def word(running):
    """Place an order; return (sequence, item, head) and the signature, as a client reads them."""
    row = placed(running)["acknowledgement"]
    item, head, signature = (bytes.fromhex(row[n][2:]) for n in ("item", "head", "signature"))
    return (row["sequence"], item, head), signature


def equivocation(*words):
    flat = [part for promised in words for part in promised]
    return encode_call("proveEquivocation", *flat, contract="Bond")


def bonded(running):
    view = encode_call("bonded", contract="Bond")
    return number_at(running.stack.chain, contract(running, "bond"), view)


def rejection(running, calldata):
    with pytest.raises(CallRevertedError) as refused:
        running.stack.chain.call(contract(running, "bond"), calldata)
    return str(in_words(refused.value.output))


def test_the_bond_is_posted_and_answers_for_the_key_that_signs(running):
    row = placed(running)["acknowledgement"]
    view = encode_call("signer", contract="Bond")
    signer = running.stack.chain.call(contract(running, "bond"), view)[12:]

    assert "0x" + signer.hex() == row["signer"]
    assert bonded(running) == BOND_RAW > 0


def test_an_honest_exchange_cannot_be_slashed_and_a_lying_one_is(running):
    first, second = word(running), word(running)
    assert rejection(running, equivocation(first, first)).startswith("SameItem")
    assert rejection(running, equivocation(first, second)).startswith("DifferentSequences")
    forged = (first[0][0], b"\x13" * 32, b"\x37" * 32)
    digest = acknowledgement_digest(running.stack.parts.exchange.domain, *forged)
    prover = running.wallets[MAKER_TWO]
    stranger = prover.sign_digest(digest)
    assert rejection(running, equivocation(first, (forged, stranger))).startswith("NotAcknowledged")
    assert bonded(running) == BOND_RAW

    key = acknowledging_signer(running.stack.settings.directory)
    usd = running.stack.parts.catalog.token("USD").address
    held = encode_call("balanceOf", prover.address, contract="TestToken")
    before = number_at(running.stack.chain, usd, held)
    prover.transact(
        contract(running, "bond"), equivocation(first, (forged, key.sign_digest(digest)))
    )

    assert bonded(running) == 0
    assert number_at(running.stack.chain, usd, held) == before, "a proof is not paid for"


def test_an_invoice_is_paid_by_a_permit_through_the_collector(running):
    stack, domain = running.stack, running.stack.parts.exchange.domain
    merchant = Wallet(dev_secret(MERCHANT), stack.chain, domain)
    customer = Wallet(dev_secret(CUSTOMER), stack.chain, domain)
    shop = SandboxShop(stack, merchant, customer)
    placed(running)
    placed(running, Side.SELL, 250_010)

    async def invoice(invoice_id=None):
        if invoice_id is None:
            shop.open()
            invoice_id = shop.buy("coffee")
        return stack.parts.merchants.invoice(invoice_id)

    bill = running.on_loop(invoice())
    token, raw = stack.parts.catalog.token(bill.token), int(bill.amount_due_raw)
    fill_wallet(stack.chain, customer, token, raw)
    calldata = deposit_with_permit(
        *(stack.chain, token.address, "Demo Token", contract(running, "collector")),
        *(dev_secret(CUSTOMER), raw, merchant.address, bytes.fromhex(bill.ref[2:])),
    )
    customer.transact(contract(running, "collector"), calldata)

    def settled():
        stack.devchain.mine()
        return running.on_loop(invoice(bill.id)).status == "settled"

    until(settled)
    found = running.on_loop(invoice(bill.id))
    assert (found.remaining, found.credited) == ("0", found.received)
    assert found.payments == [], "no transfer to its address: the deposit itself is the payment"
