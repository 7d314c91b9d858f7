"""A payment whose transaction is slow, a node that does not answer, a buyer who leaves, a process
that is killed: the answer comes in time, and nothing is paid twice.

The facilitator over real rows and a real outbox; the chain is a node of a few lines that can be
made to hang.
"""

import asyncio
import os
import signal
import threading
from contextlib import contextmanager

import msgspec
import pytest
from eth_abi.abi import encode

from engine.types import Outcome
from gateway.api.x402.facilitator import LATE, NO_ANSWER, PENDING, Facilitator
from gateway.api.x402.schemas import Asked
from gateway.api.x402.threads import Bounds, Late
from gateway.trading.rejection import Rejection
from merchants.sales.asked import InvoiceRequest
from settlement.chain.chain import CallRevertedError, Receipt
from settlement.outbox.actions import ActionKind, ActionState
from settlement.outbox.authorizations import Authorizations
from settlement.outbox.outbox import Outbox
from settlement.protocol.eip712 import keccak256
from tests.e2e.running import until
from tests.merchants.fixtures import TOKEN, World

CHAIN_ID = 31337
NETWORK = f"eip155:{CHAIN_ID}"
PAYER, OPERATOR = b"\x21" * 20, b"\x22" * 20
TX = b"\x77" * 32
DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
QUICK = Bounds(settled_seconds=0.05, look_seconds=0.01)
IMPATIENT = QUICK._replace(answer_seconds=0.05)


def selector(signature):
    return keccak256(signature)[:4]


class Node:
    """One token with ERC-3009; ``open`` is cleared while the node hangs."""

    chain_id = CHAIN_ID

    def __init__(self):
        self.open = threading.Event()
        self.open.set()
        self.is_used = False
        words = (DOMAIN, b"Token", b"1")
        parts = [keccak256(text) for text in words]
        parts += [CHAIN_ID.to_bytes(32, "big"), bytes(12) + TOKEN]
        self.answers = {
            selector(b"DOMAIN_SEPARATOR()"): keccak256(b"".join(parts)),
            selector(b"name()"): encode(["string"], ["Token"]),
            selector(b"version()"): encode(["string"], ["1"]),
        }

    def call(self, to, calldata, block="latest", sender=bytes(20), gas=None):
        assert self.open.wait(30), "a test has to open it again"
        if to != TOKEN:
            raise CallRevertedError("no such contract")
        if calldata[:4] == selector(b"authorizationState(address,bytes32)"):
            return self.is_used.to_bytes(32, "big")
        return self.answers.get(calldata[:4], b"")

    @contextmanager
    def hanging(self):
        """Let nobody be answered."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()


class Rig:
    """Two stores, an invoice of the first, and who relays for them."""

    def __init__(self, directory):
        self.world = World(directory)
        self.node, self.place = Node(), directory / "outbox.sqlite"
        venue = self.world.venue
        self.store, self.other = (venue.approved_store(name=name).store_id for name in "ab")
        self.begin()

    def begin(self):
        """Start, or start again with what lies on disk."""
        self.outbox = Outbox(self.place)
        self.relays = Authorizations(self.node, self.outbox, OPERATOR, self.world.clock)
        self.serve(QUICK)

    def serve(self, bounds):
        """Answer within other bounds."""
        venue = self.world.venue
        payable_at = venue.merchants.reader.payable_at
        self.facilitator = Facilitator(
            venue.catalog, self.relays, payable_at, CHAIN_ID, self.world.clock, bounds
        )

    def asked(self, nonce=b"\x01" * 32, store=None):
        """Return a payment for a new invoice of the store."""
        wanted = InvoiceRequest("50", tokens=("TOKEN",))
        invoice = self.world.venue.merchants.create_invoice(store or self.store, wanted).invoice
        (option,) = [each for each in invoice.options if each.token == "TOKEN"]
        requirements = {
            "scheme": "exact",
            "network": NETWORK,
            "asset": "0x" + TOKEN.hex(),
            "amount": option.amount_due_raw,
            "payTo": invoice.deposit_address,
        }
        authorization = {
            "from": "0x" + PAYER.hex(),
            "to": invoice.deposit_address,
            "value": option.amount_due_raw,
            "validAfter": "0",
            "validBefore": str(self.world.clock() // 10**9 + 600),
            "nonce": "0x" + nonce.hex(),
        }
        payload = {"authorization": authorization, "signature": "0x" + "11" * 65}
        payment = {"x402Version": 2, "accepted": requirements, "payload": payload}
        whole = {"x402Version": 2, "paymentPayload": payment, "paymentRequirements": requirements}
        return msgspec.json.decode(msgspec.json.encode(whole), type=Asked)

    def settle(self, asked, store=None):
        return asyncio.run(self.facilitator.settle(store or self.store, asked))

    def relayed(self):
        """Return every relay that the outbox has."""
        return self.outbox.in_state(*ActionState, limit=9, kind=ActionKind.AUTHORIZATION)

    def is_mined(self):
        (action,) = self.relayed()
        now_ns = self.world.clock()
        self.outbox.signed(action.id, 1, b"raw", TX, 1, 1, now_ns)
        self.outbox.broadcast(action.id, now_ns)
        self.outbox.mined(action.id, Receipt(TX, 9, b"\x09" * 32, True, 60_000, 1, None), now_ns)
        self.node.is_used = True


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path)
    yield made
    made.node.open.set()


def test_a_slow_transaction_is_pending_until_it_is_in_a_block_and_is_sent_once(rig):
    asked = rig.asked()
    first = rig.settle(asked)
    assert (first.success, first.error_reason, first.transaction) == (False, PENDING, "")
    assert [rig.settle(asked).error_reason for _ in range(2)] == [PENDING] * 2
    (action,) = rig.relayed()
    rig.outbox.signed(action.id, 1, b"raw", TX, 1, 1, rig.world.clock())
    known = rig.settle(asked)
    assert (known.error_reason, known.transaction) == (PENDING, "0x" + TX.hex())
    rig.is_mined()
    done = rig.settle(asked)
    assert (done.success, done.transaction) == (True, "0x" + TX.hex())
    assert rig.settle(asked) == done
    assert len(rig.relayed()) == 1


def test_a_buyer_who_leaves_and_comes_back_has_paid_once(rig):
    asked = rig.asked()

    async def story():
        leaving = asyncio.ensure_future(rig.facilitator.settle(rig.store, asked))
        await asyncio.sleep(0)
        with rig.node.hanging():
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            assert leaving.cancelled()
        return await asyncio.gather(*(rig.facilitator.settle(rig.store, asked) for _ in range(3)))

    assert {one.error_reason for one in asyncio.run(story())} == {PENDING}
    rig.is_mined()
    assert rig.settle(asked).success
    assert len(rig.relayed()) == 1


def test_killed_between_the_signature_and_its_transaction_it_is_paid_once(rig):
    asked = rig.asked()
    assert asyncio.run(rig.facilitator.verify(rig.store, asked)).is_valid
    child = os.fork()
    if child == 0:  # A process of its own: it relays, and is killed before it has answered.
        rig.begin()
        rig.facilitator._begin(rig.store, asked)
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    rig.begin()
    assert len(rig.relayed()) == 1, "what was begun is on disk"
    assert rig.settle(asked).error_reason == PENDING
    rig.is_mined()
    assert rig.settle(asked).success
    assert len(rig.relayed()) == 1
    assert rig.settle(rig.asked(nonce=b"\x02" * 32)).error_reason, "the nonce of another is used"


def test_a_node_that_hangs_is_answered_for_in_time_and_never_by_a_fresh_price(rig):
    asked = rig.asked()
    rig.serve(IMPATIENT)

    async def story():
        with rig.node.hanging():
            verified = await rig.facilitator.verify(rig.store, asked)
            settled = await rig.facilitator.settle(rig.store, asked)
            with pytest.raises(Late):
                await rig.facilitator.assets()
        return verified, settled

    verified, settled = asyncio.run(story())
    rig.serve(QUICK)
    assert (verified.is_valid, verified.invalid_reason) == (False, NO_ANSWER)
    assert (settled.success, settled.error_reason, settled.error_message) == (False, PENDING, LATE)
    rig.settle(asked)
    rig.is_mined()
    assert rig.settle(asked).success, "what was begun while it hung went on, once"


def test_what_may_be_paid_with_is_told_while_the_node_hangs_once_it_is_known(rig):
    async def story():
        known = await rig.facilitator.assets()
        with rig.node.hanging():
            return known, await rig.facilitator.assets()

    known, again = asyncio.run(story())
    assert known == again != []


def test_a_store_that_asks_too_much_waits_and_others_are_heard(rig):
    rig.serve(Bounds(threads=3, of_store=2, waiting=4, answer_seconds=0.5))
    asked, others = rig.asked(), rig.asked(store=rig.other)

    async def story():
        with rig.node.hanging():
            verify = rig.facilitator.verify
            said = await asyncio.gather(
                *(verify(rig.store, asked) for _ in range(6)),
                *(verify(rig.other, others) for _ in range(6)),
                return_exceptions=True,
            )
        return said[:6], said[6:]

    for said in asyncio.run(story()):
        refused = [one for one in said if isinstance(one, Rejection)]
        assert len(refused) == 4
        assert {(one.outcome, one.retry_after) for one in refused} == {(Outcome.OVERLOADED, 1)}
        assert [one.invalid_reason for one in said if one not in refused] == [NO_ANSWER] * 2

    def is_heard():
        try:
            return asyncio.run(rig.facilitator.verify(rig.other, others)).is_valid
        except Rejection:
            return False

    until("their places are free again", is_heard)
