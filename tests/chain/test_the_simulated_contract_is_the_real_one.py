"""Does the simulator's contract do with every call what the real one does?

One venue on a real EVM; each transaction is also carried out by ``tests.sim.contract``. Success,
typed error, logs, heads and balances must be the same, or what the simulator finds means nothing.
"""

from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes

from settlement.chain.chain import Sent
from settlement.chain.dev.devchain import DevChain
from settlement.chain.reverts import revert_reason
from settlement.outbox.actions import ActionKind, ActionState
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import (
    KeyGrant,
    countersignature_digest,
    grant_digest,
    keccak256,
    withdrawal_digest,
)
from settlement.protocol.evidence import ZERO_REF, SignedWithdrawal
from settlement.watching.watcher import EXCHANGE_EVENTS, TRANSFER
from tests.chain.conftest import Clock, until
from tests.chain.venue import ALICE, BOB, CAROL, DELAYS, NS, OPERATOR, Venue, transact
from tests.sim.contract import WITHDRAWN, Ledgers, Machine, RefusedError, Terms, output_of

GAS = 10**6
"""More than any call here takes."""

COMPARED = {event.topic for event in (*EXCHANGE_EVENTS, TRANSFER, WITHDRAWN)}


class Both:
    """A chain that carries out each transaction a second time, in the model."""

    def __init__(self, chain: Any, terms: Terms) -> None:
        self._chain = chain
        self.machine, self.ledgers = Machine(terms), Ledgers()
        self.errors: list[str] = []
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send_raw(self, raw: bytes) -> Sent:
        sent: Sent = self._chain.send_raw(raw)
        receipt = self._chain.receipt(keccak256(raw))
        assert receipt is not None, "this chain mines at once"
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        sender = bytes.fromhex(Account.recover_transaction(raw)[2:])
        block = self._chain.block(receipt.block_number)
        self.compare(sender, bytes(fields["to"]), bytes(fields["data"]), receipt, block)
        return sent

    def compare(self, sender: bytes, to: bytes, calldata: bytes, receipt: Any, block: Any) -> None:
        self.count += 1
        before = self.ledgers.copy()
        try:
            logs = self.machine.execute(self.ledgers, sender, to, calldata, block.timestamp)
        except RefusedError as refused:
            assert not receipt.succeeded, f"only the model refuses: {refused.error}"
            why = revert_reason(self._chain, to, calldata, sender, GAS, block.number - 1)
            # The block before has another time; what depends on time is judged in this one.
            here = revert_reason(self._chain, to, calldata, sender, GAS, block.number)
            assert any(words and words.startswith(refused.error) for words in (why, here)), (
                refused.error,
                why,
                here,
            )
            assert output_of(refused.error)[:4] != b"", "the error has a selector"
            self.errors.append(refused.error)
            self.ledgers = before
            return
        assert receipt.succeeded, "only the model accepts"
        addresses = [to, *(token.address for token in self.machine.terms.deployment.tokens)]
        addresses.append(self.machine.terms.deployment.exchange)
        found = [
            (log.address, log.topics, log.payload)
            for log in self._chain.logs(sorted(set(addresses)), [], block.number, block.number)
            if log.topics[0] in COMPARED and log.tx_hash == receipt.tx_hash
        ]
        assert found == [tuple(log) for log in logs]

    def agree(self, accounts: list[bytes]) -> None:
        """Every reading call gives the same answer."""
        deployment = self.machine.terms.deployment
        exchange = deployment.exchange
        calls = [(exchange, encode_call(name)) for name in ("head", "nextBatch")]
        for token in deployment.tokens:
            address = token.address
            owned = [encode_call("balanceOf", account, address) for account in accounts]
            calls += [(exchange, call) for call in (encode_call("feesOf", address), *owned)]
            calls += [
                (address, encode_call("balanceOf", holder, contract="TestToken"))
                for holder in (*accounts, deployment.custodian)
            ]
        for to, call in calls:
            assert self._chain.call(to, call) == self.machine.view(self.ledgers, to, call)


def settle(venue: Venue) -> None:
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())


def trade_and_replay(venue: Venue, both: Both) -> None:
    """Settle trades and withdrawals, then send everything a second time."""
    venue.fund()
    for turn in range(1, 7):
        venue.trade(turn, lots=3 + turn)
        if turn % 3 == 0:
            venue.withdraw(BOB, venue.usd, 10**8 * turn, nonce=turn)
            settle(venue)
    actions = venue.outbox.in_state(*ActionState, limit=100)
    assert {action.state for action in actions} == {ActionState.FINAL}
    for action in actions:
        transact(both, OPERATOR, action.to, action.calldata)
    # A withdrawal that came too early, and one that says so of another place than was signed.
    for place, signed in ((10**6, 10**6), (10**6, 1)):
        transact(both, ALICE, venue.domain.contract, payout(venue, place, signed))
    batch = next(action for action in actions if action.kind is ActionKind.BATCH)
    transact(both, ALICE, batch.to, batch.calldata)


def payout(venue: Venue, place: int, signed: int) -> bytes:
    """Return calldata of a withdrawal that waits for ``place``; the operator signs ``signed``."""
    expiry = venue.clock() // NS + 10**6
    asked = SignedWithdrawal(BOB.address, venue.usd, BOB.address, 100, 99, expiry, b"", b"")
    digest = withdrawal_digest(venue.domain, asked)
    consent = countersignature_digest(venue.domain, digest, signed)
    return encode_call(
        "withdraw",
        (asked.account, asked.token, asked.amount, asked.to, asked.nonce, asked.expiry),
        place,
        BOB.sign_digest(digest),
        OPERATOR.sign_digest(consent),
    )


def pay_in(venue: Venue, send: Any) -> bytes:
    """Sweep an invoice twice, deposit what can and what cannot be; return the invoice's address."""
    token, ref = venue.token, keccak256(b"an invoice")
    address = venue.settler.deposit_address(CAROL.address, ref)
    send(ALICE, "mint", address, 5 * 10**18 + 7, to=token, contract="TestToken")
    factory = venue.deployment.invoice_deposits
    for _ in range(2):
        send(BOB, "sweep", CAROL.address, ref, token, to=factory, contract="InvoiceDeposits")
    sweep_many(venue, send)
    send(CAROL, "transfer", ALICE.address, 1, to=token, contract="TestToken")
    send(CAROL, "mint", CAROL.address, 10**18, to=token, contract="TestToken")
    send(CAROL, "approve", venue.domain.contract, 10**18, to=token, contract="TestToken")
    for raw in (1, 10**10, 10**18, 0):
        send(CAROL, "deposit", token, raw, CAROL.address, ZERO_REF)
    return address


def sweep_many(venue: Venue, send: Any) -> None:
    """Two that were paid, one that was not, one twice and one of no listed token."""
    refs = [keccak256(b"one of many" + bytes([number])) for number in range(3)]
    for ref in refs[:2]:
        address = venue.settler.deposit_address(BOB.address, ref)
        send(ALICE, "mint", address, 3 * 10**10, to=venue.token, contract="TestToken")
    places = [(BOB.address, ref, venue.token) for ref in (*refs, refs[0])]
    places.append((BOB.address, refs[0], OPERATOR.address))
    factory = venue.deployment.invoice_deposits
    send(CAROL, "sweepMany", places, to=factory, contract="InvoiceDeposits")


def ask_for_exits(venue: Venue, send: Any) -> None:
    send(ALICE, "requestExit", venue.usd, 0)
    for _ in range(2):
        send(ALICE, "requestExit", venue.usd, 10**9 + 1)
    send(ALICE, "finishExit", ALICE.address, venue.usd)
    for _ in range(2):
        send(ALICE, "cancelExit", venue.usd)
    send(ALICE, "requestExit", venue.usd, 10**9 + 1)


def grant_and_revoke(venue: Venue, send: Any) -> None:
    expiry = venue.clock() // NS + 10**6
    market = (venue.token, venue.usd)
    grant = KeyGrant(BOB.address, CAROL.address, *market, 2, expiry, 10**12, 1, nonce=5)
    signature = BOB.sign_digest(grant_digest(venue.domain, grant))
    send(ALICE, "grantKey", tuple(grant._replace(nonce=6)), signature)
    for _ in range(2):
        send(ALICE, "grantKey", tuple(grant), signature)
    for nonce in (5, 6, 7):
        send(BOB, "revokeKey", CAROL.address, nonce)
    # Signed before the revocation, relayed after it: another key, as the model grants none anew.
    late = grant._replace(key=ALICE.address, nonce=6)
    send(ALICE, "grantKey", tuple(late), BOB.sign_digest(grant_digest(venue.domain, late)))
    for floor_price, nonce in ((0, 7), (1, 8)):
        other = late._replace(floor_price=floor_price, nonce=nonce)
        send(ALICE, "grantKey", tuple(other), BOB.sign_digest(grant_digest(venue.domain, other)))


def test_every_call_has_the_same_effect(devchain: DevChain, tmp_path: Path, clock: Clock):
    venue = Venue(tmp_path, devchain, clock)
    terms = Terms(venue.deployment, OPERATOR.address, DELAYS.horizon, DELAYS.exit)
    both = Both(devchain.chain, terms)
    venue.devchain = DevChainOf(devchain, both)
    venue.reopen(both)
    exchange = venue.domain.contract

    def send(sender: Any, name: str, *args: Any, to: bytes = exchange, contract: str = "Exchange"):
        return transact(both, sender, to, encode_call(name, *args, contract=contract))

    trade_and_replay(venue, both)
    invoice = pay_in(venue, send)
    ask_for_exits(venue, send)
    grant_and_revoke(venue, send)
    devchain.rpc("evm_increaseTime", [DELAYS.exit + 60])
    for _ in range(2):
        send(CAROL, "finishExit", ALICE.address, venue.usd)

    both.agree([ALICE.address, BOB.address, CAROL.address, invoice])
    assert both.count > 40
    assert set(both.errors) >= {
        *("BatchOutOfOrder", "NotOperator", "NonceTooLow", "NothingToSweep", "NotWholePips"),
        *("ZeroAmount", "ExitPending", "ExitNotReady", "NoExit", "NotSignedBy", "NoLiveKey"),
        *("ERC20InsufficientBalance", "LogNotSettled", "NoFloorPrice"),
    }
    venue.close()


class DevChainOf:
    """The same development chain, seen through ``both``."""

    def __init__(self, devchain: DevChain, both: Both) -> None:
        self.chain, self._devchain = both, devchain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._devchain, name)
