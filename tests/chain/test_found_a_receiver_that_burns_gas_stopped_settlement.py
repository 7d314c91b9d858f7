"""Found: a token's transfer to one receiver ended by INVALID, a bad jump or an endless loop. That
was taken for a node without an answer, and nobody's trades were settled until exits could open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import BlockTag, ChainUnavailableError
from settlement.chain.dev.devchain import DevChain
from settlement.outbox.actions import ActionKind, ActionState
from settlement.outbox.trial import PAYING_GAS, UNTRIED_MAX_NS
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import KeyGrant, grant_digest
from settlement.protocol.evidence import ZERO_REF
from tests.chain.conftest import Clock, until
from tests.chain.test_a_withdrawal_is_tried_before_it_is_signed import give_back
from tests.chain.test_refused_batches import settle
from tests.chain.venue import ALICE, BOB, CAROL, NS, Venue, transact

BAD = bytes.fromhex("bad0" + "00" * 17 + "01")
BEHIND = bytes.fromhex("11" * 20)
"""Where the token's own code is put."""

HERE = b"here"
"""Stands for the place of the ending itself."""

NORMAL = b"rest"
"""Stands for the place where the token's own code goes on."""

ENDINGS = {
    "invalid": bytes.fromhex("5bfe"),
    "jump": bytes.fromhex("5b60ff56"),
    "loop": b"\x5b\x60" + HERE + b"\x56",
    # 12,000 times round: some 300,000 gas, more than a withdrawal has.
    "long": bytes.fromhex("5b612ee0 5b600190038060")
    + HERE
    + bytes.fromhex("57 5060")
    + NORMAL
    + b"\x56",
}


def biased(ending: bytes) -> bytes:
    """Return code that ends a ``transfer`` to BAD by ``ending`` and delegates all else."""
    head = bytes.fromhex("5f3560e01c63a9059cbb14 60043573") + BAD + bytes.fromhex("141660")
    rest = bytes.fromhex("57 5b 365f5f37 5f5f365f73") + BEHIND + bytes.fromhex("5af43d5f5f3e60")
    failed, succeeded = bytes.fromhex("573d5ffd"), bytes.fromhex("5b3d5ff3")
    good = len(head) + 1 + len(rest) + 1 + len(failed)
    bad = good + len(succeeded)
    # The loop of the long one begins behind its count.
    here = bad + (4 if NORMAL in ending else 0)
    tail = ending.replace(HERE, bytes([here])).replace(NORMAL, bytes([len(head) + 2]))
    return head + bytes([bad]) + rest + bytes([good]) + failed + succeeded + tail


def bias(venue: Venue, ending: str) -> None:
    """Give the dollar the code of a token that ends a transfer to BAD like this."""
    code = venue.chain.code(venue.usd)
    venue.devchain.rpc("anvil_setCode", ["0x" + BEHIND.hex(), "0x" + code.hex()])
    venue.devchain.rpc(
        "anvil_setCode", ["0x" + venue.usd.hex(), "0x" + biased(ENDINGS[ending]).hex()]
    )


@pytest.fixture
def venue(anvil: DevChain, tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    built = Venue(tmp_path, anvil, clock)
    built.fund()
    built.deposit(CAROL, built.usd, 10**12)
    built.credit()
    yield built
    built.close()


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_money_is_back_and_everybody_elses_trades_settle(
    venue: Venue, clock: Clock, ending: str
):
    bias(venue, ending)
    before = venue.engine.available(venue.account(CAROL.address), 0)
    withdrawn = venue.withdraw(CAROL, venue.usd, 10**8, nonce=1, expires_in_s=600, to=BAD)
    venue.withdraw(ALICE, venue.usd, 10**8, nonce=1, expires_in_s=600)
    trade = venue.trade(1)

    until(lambda: not venue.settler.step())
    assert len(give_back(venue)) == 1
    settle(venue, clock)

    assert venue.engine.available(venue.account(CAROL.address), 0) == before
    sequence = int(withdrawn[0]["sequence"])
    assert venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence)) is None, "nobody signed"
    paid = venue.outbox.find(ActionKind.WITHDRAWAL, str(sequence + 1))
    assert paid is not None and paid.state is ActionState.FINAL
    assert venue.settler.trade_state(trade).state == "final"
    venue.assert_books_agree()


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_that_was_countersigned_before_costs_no_gas(venue: Venue, clock: Clock, ending: str):
    withdrawn = venue.withdraw(CAROL, venue.usd, 10**8, nonce=1, expires_in_s=600, to=BAD)
    venue.settler.seal_now()
    bias(venue, ending)
    trade = venue.trade(1)

    settle(venue, clock)

    refused = venue.outbox.find(ActionKind.WITHDRAWAL, str(int(withdrawn[0]["sequence"])))
    assert refused is not None and refused.state is ActionState.FAILED
    assert refused.gas_used is None, "it was never sent"
    assert venue.settler.trade_state(trade).state == "final"


class Silent:
    """A node that answers everything but calls of one contract."""

    def __init__(self, chain: Any, mute: bytes) -> None:
        self._chain = chain
        self._mute = mute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def call(
        self,
        to: bytes,
        calldata: bytes,
        block: BlockTag = "latest",
        sender: bytes = bytes(20),
        gas: int | None = None,
    ) -> bytes:
        if to == self._mute:
            raise ChainUnavailableError("eth_call: execution aborted (timeout = 5s)")
        return self._chain.call(to, calldata, block, sender, gas)  # type: ignore[no-any-return]


def test_what_is_sealed_is_sent_while_a_withdrawal_cannot_be_tried(venue: Venue, clock: Clock):
    before = venue.trade(1)
    venue.settler.seal_now()
    venue.reopen(Silent(venue.chain, venue.usd))  # type: ignore[arg-type]
    venue.withdraw(CAROL, venue.usd, 10**8, nonce=1, expires_in_s=3_000, to=BAD)
    behind = venue.trade(2)

    clock.ahead_ns += 10 * NS
    for _ in range(4):
        with pytest.raises(ChainUnavailableError):
            venue.settler.step()
    assert venue.settler.trade_state(before).state == "final"

    clock.ahead_ns += UNTRIED_MAX_NS
    until(lambda: not venue.settler.step())
    assert give_back(venue) == ["nothing could try it for 600 s"]
    settle(venue, clock)
    assert venue.settler.trade_state(behind).state == "final"


def test_what_no_node_can_try_is_named_and_keeps_nobody_else(venue: Venue, clock: Clock):
    venue.settler.enqueue_sweeps([SweepPlace(CAROL.address, ZERO_REF, venue.usd)])
    grant = KeyGrant(
        *(ALICE.address, BOB.address, venue.token, venue.usd),
        *(3, venue.clock() // NS + 3_600, 10**9, 1, 7),
    )
    signature = ALICE.sign_digest(grant_digest(venue.domain, grant))
    venue.settler.enqueue_grant(grant, signature)
    sweeper = venue.deployment.invoice_deposits
    venue.reopen(Silent(venue.chain, sweeper))  # type: ignore[arg-type]

    until(lambda: not venue.settler.step())

    (trouble,) = venue.settler.troubles
    assert str(trouble).startswith("the node cannot try sweep ")
    assert [a.kind for a in venue.outbox.in_state(ActionState.FINAL, limit=9)] == [ActionKind.GRANT]
    venue.reopen()
    until(lambda: not venue.settler.step())
    assert venue.settler.troubles == []


def test_what_a_withdrawal_takes_beside_the_transfer_is_kept_back_from_the_first_trial(
    venue: Venue, clock: Clock
):
    withdrawn = venue.withdraw(CAROL, venue.usd, 10**8, nonce=1, to=b"\x77" * 20)
    settle(venue, clock)
    paid = venue.outbox.find(ActionKind.WITHDRAWAL, str(int(withdrawn[0]["sequence"])))
    assert paid is not None and paid.gas_used is not None
    venue.mint(BOB, venue.usd, 100)
    call = encode_call("transfer", b"\x78" * 20, 100, contract="TestToken")
    plain = transact(venue.devchain.chain, BOB, venue.usd, call).gas_used
    assert 0.8 * PAYING_GAS < paid.gas_used - plain < PAYING_GAS
