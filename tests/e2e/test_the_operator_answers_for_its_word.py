"""What an exchange promises its clients over HTTP can be held against it on its own chain."""

import asyncio
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
from settlement.batches.acknowledgements import Acknowledgement
from settlement.chain.chain import CallRevertedError
from settlement.chain.dev.devchain import dev_secret
from settlement.chain.reverts import in_words
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import acknowledgement_leaf, acknowledgements_digest, recover
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


def resting(running, side=Side.BUY, ticks=250_000):
    """Sign an order that rests on a lane of its own, a bid if nothing is said."""
    lane = LANE + next(running.lanes)
    expiry = running.stack.now_ns() // 10**9 + 600
    return running.wallets[MAKER_ONE].order(
        running.market, side, 100, ticks, nonce=1, expiry=expiry, lane=lane
    )


def placed(running, side=Side.BUY, ticks=250_000):
    """Rest an order; return the answer."""
    return running.client.place(resting(running, side, ticks))


def read(row):
    """Return the word in an answer, as a client reads it."""
    item, head, signer, signature, *siblings = (
        bytes.fromhex(text[2:])
        for text in (row["item"], row["head"], row["signer"], row["signature"], *row["siblings"])
    )
    place, leaves = row["index"], row["count"]
    return Acknowledgement(
        row["sequence"], item, head, signer, place, leaves, tuple(siblings), signature
    )


def word(running):
    """Place an order; return the operator's word on it."""
    return read(placed(running)["acknowledgement"])


def words_of_one_batch(running, number):
    """Place orders that come at the same moment; return the words that their clients get."""
    orders = [resting(running) for _ in range(number)]

    async def at_once():
        await asyncio.gather(*map(running.stack.parts.exchange.place, orders))

    running.on_loop(at_once())
    return [read(running.client.place(order)["acknowledgement"]) for order in orders]


def shown(said):
    """Return the word and its path as the contract takes both."""
    path = (said.leaf_index, said.leaf_count, list(said.siblings), said.signature)
    return (said.sequence, said.item, said.head), path


def equivocation(*words):
    flat = [part for promised in words for part in shown(promised)]
    return encode_call("proveEquivocation", *flat, contract="Bond")


def forged(running, said, sign_digest):
    """Return another word on the same place, signed alone."""
    item, head = b"\x13" * 32, b"\x37" * 32
    root = acknowledgement_leaf(said.sequence, item, head)
    digest = acknowledgements_digest(running.stack.parts.exchange.domain, root)
    return said._replace(
        item=item,
        head=head,
        leaf_index=0,
        leaf_count=1,
        siblings=(),
        signature=sign_digest(digest),
    )


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
    among = words_of_one_batch(running, 5)
    assert len({said.signature for said in among}) == 1 and {w.leaf_count for w in among} == {5}
    domain = running.stack.parts.exchange.domain
    for said in (first, *among):
        assert recover(said.signed_digest(domain), said.signature) == said.signer
        assert rejection(running, equivocation(said, said)).startswith("SameItem")
        assert rejection(running, equivocation(said, second)).startswith("DifferentSequences")
    turned = among[3]._replace(leaf_index=2)
    assert rejection(running, equivocation(turned, second)).startswith("NotAcknowledged")
    prover = running.wallets[MAKER_TWO]
    stranger = forged(running, among[3], prover.sign_digest)
    assert rejection(running, equivocation(among[3], stranger)).startswith("NotAcknowledged")
    assert bonded(running) == BOND_RAW

    key = acknowledging_signer(running.stack.settings.directory)
    usd = running.stack.parts.catalog.token("USD").address
    held = encode_call("balanceOf", prover.address, contract="TestToken")
    before = number_at(running.stack.chain, usd, held)
    lie = forged(running, among[3], key.sign_digest)
    prover.transact(contract(running, "bond"), equivocation(among[3], lie))

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
        return stack.parts.merchants.reader.invoice(invoice_id)

    bill = running.on_loop(invoice())
    (option,) = bill.options
    token, raw = stack.parts.catalog.token(option.token), int(option.amount_due_raw)
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
    (paid,) = found.options
    assert (found.remaining, paid.credited) == ("0", paid.received)
    assert found.payments == [], "no transfer to its address: the deposit itself is the payment"
