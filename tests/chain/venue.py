"""How do the settler's tests get a whole exchange? On disk and on a real node, without a gateway.

``Venue`` is what the gateway wires, minus the network: reference engine, journal, catalog,
admission, sealer, outbox, submitter and watcher. ``reopen`` throws every object away and builds
them again from what is on disk, as a restart does.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.commands import Kind, command, list_market
from engine.events import EventKind, Events
from engine.journal.journal import Journal
from engine.journal.storage import DirectoryStorage
from engine.log_entries import Committed
from engine.reference import Engine
from engine.sequencer.sequencer import Sequencer, Submission
from engine.types import Limits, Side
from settlement.audit.reconcile import Reconciler
from settlement.audit.standings import Standings
from settlement.batches.sealer import GAS_MAX, Sealing
from settlement.chain.chain import Chain, Receipt, Sending
from settlement.chain.deploy import BondPlan, Delays, Deployment, TokenPlan, deploy
from settlement.chain.dev.devchain import DevChain, dev_secret
from settlement.chain.signer import SecretSigner, Signer, Transaction
from settlement.orders.admission import Admission, Rejection
from settlement.orders.catalog import Catalog
from settlement.orders.session_keys import SessionKeys
from settlement.outbox.actions import ActionState
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import Policy
from settlement.protocol import eip712
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import keccak256
from settlement.protocol.evidence import (
    ZERO_REF,
    AccountOpened,
    AnyAttachment,
    DepositEvidence,
    MarketListing,
    OrderBits,
    SignedOrder,
    SignedWithdrawal,
    TokenListing,
    encode,
)
from settlement.settler import Settler, open_settler
from settlement.watching.deposits import CreditedDeposits
from settlement.watching.watcher import Deposited, Watcher

NS = 10**9
SYMBOL = "TOKEN-USD"
LIMITS = Limits(tokens=4, markets=2, accounts=32, orders=1 << 10, ladder_ticks=1 << 16)
TOKENS = (TokenPlan("Dollar", "USD", 6), TokenPlan("Token", "TOKEN", 18))
OPERATOR = SecretSigner(dev_secret(8))
DEPLOYER = SecretSigner(dev_secret(9))
ALICE, BOB, CAROL = (SecretSigner(dev_secret(i)) for i in (1, 2, 3))
SECRETS = {SecretSigner(dev_secret(i)).address: dev_secret(i) for i in range(10)}
LANE = 0x8000
AGE_NS = 2 * NS
POLLS_MAX = 10_000
TAKER_FEE_PPM = 1_000
ACKNOWLEDGER = SecretSigner(dev_secret(6))
BOND = BondPlan(ACKNOWLEDGER.address, "USD", 10**9)
DELAYS = Delays(horizon=3_600, exit=7_200, deadman=86_400, custodian=14_400)


def deployed(chain: Chain, directory: Path) -> Deployment:
    """Deploy (or find) the contracts with short delays."""
    path = directory / "deployment.json"
    return deploy(chain, path, DEPLOYER, OPERATOR.address, TOKENS, DELAYS, BOND)


def transact(chain: Chain, sender: Signer, to: bytes, calldata: bytes, value: int = 0) -> Receipt:
    """Send a plain transaction of ``sender`` on a chain that mines at once."""
    nonce = chain.nonce(sender.address, pending=True)
    raw = sender.sign_transaction(
        Transaction(chain.chain_id, nonce, to, calldata, 1_000_000, 10**11, 10**9, value)
    )
    sent = chain.send_raw(raw)
    assert sent.sending is Sending.ACCEPTED, sent
    # A node that mines at once may still answer before it has: a busy machine shows it.
    for _ in range(POLLS_MAX):
        receipt = chain.receipt(keccak256(raw))
        if receipt is not None:
            return receipt
    raise AssertionError("not mined")


class Venue:
    """One exchange on ``directory`` and ``devchain``."""

    def __init__(
        self,
        directory: Path,
        devchain: DevChain,
        clock: Callable[[], int],
        confirmations: int = 1,
        gas_max: int = GAS_MAX,
        maker_fee_ppm: int = 500,
        observe: Callable[[ActionState, bool], None] | None = None,
    ) -> None:
        self.observe = observe
        self.directory, self.devchain, self.clock = directory, devchain, clock
        self.confirmations, self.gas_max = confirmations, gas_max
        self.deployment = deployed(devchain.chain, directory)
        self.domain = self.deployment.domain
        self.usd, self.token = (token.address for token in self.deployment.tokens)
        self._open(devchain.chain)
        if not self.catalog.tokens:
            self._list(maker_fee_ppm)

    def _open(self, chain: Chain) -> None:
        self.chain = chain
        self.storage = DirectoryStorage(self.directory / "journal")
        self.sequencer = Sequencer(Engine, Journal(self.storage, LIMITS), self.clock)
        self.outbox = Outbox(self.directory / "outbox.sqlite", self.observe)
        self.standings = Standings()
        self.catalog = Catalog()
        self.book = CreditedDeposits(self.catalog)
        self.admission = Admission(self.catalog, SessionKeys())
        self.settler = self.new_settler(chain)
        self.queue, self.sealer = self.settler.queue, self.settler.sealer
        self.watcher = Watcher(chain, self.outbox, self.domain.contract, 0, self.confirmations)
        self.watcher.watch_token(self.usd)
        self.watcher.watch_token(self.token)
        self.consumers = (self.book, self.admission, *self.settler.consumers)
        for committed in self.sequencer.recover():
            self._show(committed)

    def new_settler(self, chain: Chain) -> Settler:
        """Return a settler that has seen nothing of the journal yet."""
        return open_settler(
            chain,
            self.outbox,
            self.catalog,
            self.deployment,
            OPERATOR,
            Sealing(AGE_NS, self.gas_max, horizon_s=DELAYS.horizon, exit_delay_s=DELAYS.exit),
            Policy(confirmations=self.confirmations),
            self.clock,
        )

    @property
    def engine(self) -> Engine:
        return self.sequencer.machine

    def reconciler(
        self, chain: Chain | None = None, deployment: Deployment | None = None
    ) -> Reconciler:
        """Return who compares the ledger with ``chain``; money that is not booked yet is none."""
        return Reconciler(
            chain or self.chain,
            self.outbox,
            self.settler.queue,
            self.settler.reversals,
            self.catalog,
            deployment or self.deployment,
            lambda: self.engine,
            Counter,
            self.standings,
        )

    def history(self) -> list[Committed]:
        """Return everything in the journal, read by another engine."""
        self.storage.close()
        self.storage = DirectoryStorage(self.directory / "journal")
        return list(Sequencer(Engine, Journal(self.storage, LIMITS), self.clock).recover())

    def close(self) -> None:
        self.storage.close()
        self.outbox.close()

    def reopen(self, chain: Chain | None = None) -> None:
        """Restart: nothing survives but the files and the chain."""
        self.close()
        self._open(chain or self.devchain.chain)

    # The exchange's side.

    def commit(self, row: Any, attachment: AnyAttachment | None = None) -> Events:
        """Sequence one command and show it to all consumers."""
        committed = self.sequencer.commit([Submission(row, encode(attachment))])
        self._show(committed)
        return committed.events

    def _show(self, committed: Committed) -> None:
        for segment in self.catalog.read(committed):
            for consumer in self.consumers:
                consumer.consume(segment)

    def _list(self, maker_fee_ppm: int) -> None:
        for number, token in enumerate(self.deployment.tokens):
            listing = TokenListing(token.symbol, token.address, token.decimals, token.unit_scale)
            self.commit(command(Kind.LIST_TOKEN, token=number), listing)
        terms = {"maker_fee_ppm": maker_fee_ppm, "taker_fee_ppm": TAKER_FEE_PPM}
        market = list_market(0, 1, 0, lot_pips=10**6, tick_pips=10**4, **terms)
        self.commit(market, MarketListing(SYMBOL))

    def account(self, address: bytes) -> int:
        number = self.catalog.account_number(address)
        if number is None:
            number = self.catalog.account_count
            self.commit(command(Kind.OPEN_ACCOUNT, account=number), AccountOpened(address))
        return number

    def credit(self, moves_cursor: bool = True) -> list[Deposited]:
        """Do what the gateway does with a poll; return the deposits that were credited.

        Without ``moves_cursor`` it stops where a crash after the journal's sync would.
        """
        poll, credited = self.watcher.poll(), []
        for value, _ in self.book.unbooked(s.value for s in poll.observations if s.confirmed):
            if not isinstance(value, Deposited):
                continue
            token = self.catalog.token_by_address(value.token)
            assert token is not None
            row = command(
                Kind.DEPOSIT,
                account=self.account(value.account),
                token=token.number,
                amount=value.amount,
            )
            self.commit(row, DepositEvidence(*value.at, value.ref))
            credited.append(value)
        if moves_cursor:
            self.watcher.done(poll)
        return credited

    def place(
        self,
        owner: Signer,
        side: Side,
        price_ticks: int,
        lots: int,
        nonce: int,
        lane: int = 0,
        expires_in_s: int = 1_800,
        ref: bytes = ZERO_REF,
        bits: int = 0,
        special: int = 0,
        instead: Mapping[str, int] = MappingProxyType({}),
    ) -> Events:
        """Sign and place an order; ``lane`` 0 is immediate or cancel. ``bits`` and ``special`` are
        its further terms; ``instead`` is what an operator who lies gives the engine."""
        flags = OrderBits(bits) | (OrderBits.SELL if side == Side.SELL else OrderBits(0))
        unsigned = SignedOrder(
            account=owner.address,
            nonce=nonce,
            flags=int(flags | (OrderBits(0) if lane else OrderBits.SINGLE_SHOT)),
            lane=lane,
            base=self.token,
            quote=self.usd,
            base_amount=lots * 10**6,
            quote_amount=lots * price_ticks * 10**4,
            trigger_or_display=special,
            expiry=self.clock() // NS + expires_in_s,
            max_fee_ppm=5_000,
            ref=ref,
            signature=b"",
            signer=owner.address,
            digest=b"",
        )
        digest = eip712.order_digest(self.domain, unsigned)
        fields = {name: getattr(unsigned, name) for name in unsigned.__struct_fields__}
        fields |= {"digest": digest, "signature": owner.sign_digest(digest)}
        order = SignedOrder(**fields)
        row = self.admission.admit(order, self.clock())
        assert not isinstance(row, Rejection), row
        for name, value in instead.items():
            row[name] = value
        return self.commit(row, order)

    def withdraw(
        self,
        owner: Signer,
        token: bytes,
        amount: int,
        nonce: int,
        expires_in_s: int = 1_800,
        to: bytes | None = None,
    ) -> Events:
        """Sign a withdrawal to the owner, or to another receiver, and debit it."""
        receiver = owner.address if to is None else to
        expiry = self.clock() // NS + expires_in_s
        unsigned = SignedWithdrawal(owner.address, token, receiver, amount, nonce, expiry, b"", b"")
        digest = eip712.withdrawal_digest(self.domain, unsigned)
        withdrawal = SignedWithdrawal(
            *(owner.address, token, receiver, amount, nonce, expiry),
            owner.sign_digest(digest),
            digest,
        )
        listed = self.catalog.token_by_address(token)
        assert listed is not None
        row = command(
            Kind.WITHDRAW,
            account=self.account(owner.address),
            token=listed.number,
            amount=amount,
        )
        return self.commit(row, withdrawal)

    # The chain's side.

    def mint(self, owner: Signer, token: bytes, raw: int) -> None:
        call = encode_call("mint", owner.address, raw, contract="TestToken")
        assert transact(self.devchain.chain, owner, token, call).succeeded

    def deposit(self, owner: Signer, token: bytes, raw: int) -> Receipt:
        """Mint and deposit."""
        chain, exchange = self.devchain.chain, self.domain.contract
        self.mint(owner, token, raw)
        approve = encode_call("approve", exchange, raw, contract="TestToken")
        assert transact(chain, owner, token, approve).succeeded
        pay = encode_call("deposit", token, raw, owner.address, ZERO_REF)
        receipt = transact(chain, owner, exchange, pay)
        assert receipt.succeeded
        return receipt

    def vault(self, account: bytes, token: bytes) -> int:
        """Return pips of ``account`` in the contract."""
        chain = self.devchain.chain
        return number(chain.call(self.domain.contract, encode_call("balanceOf", account, token)))

    def next_batch(self) -> int:
        return number(self.devchain.chain.call(self.domain.contract, encode_call("nextBatch")))

    def assert_books_agree(self) -> None:
        """Ledger and vault hold the same for everybody, to the pip."""
        for index in range(self.catalog.account_count):
            address = self.catalog.address_of(index)
            for token in self.catalog.tokens:
                ledger = self.engine.available(index, token.number)
                ledger += self.engine.held(index, token.number)
                assert ledger == self.vault(address, token.address), (index, token.symbol)

    def fund(self) -> None:
        """Alice gets dollars, Bob tokens, both credited."""
        self.deposit(ALICE, self.usd, 1_000_000 * 10**6)
        self.deposit(BOB, self.token, 1_000 * 10**18)
        for _ in range(self.confirmations - 1):
            self.devchain.mine()
        assert len(self.credit()) == 2

    def trade(self, turn: int, lots: int = 10, price_ticks: int = 2_500) -> int:
        """Bob rests a sale, Alice takes it; return the last trade id."""
        self.place(BOB, Side.SELL, price_ticks, lots, nonce=turn, lane=LANE)
        events = self.place(ALICE, Side.BUY, price_ticks, lots, nonce=turn)
        trades = events[events["kind"] == EventKind.TRADE]
        return int(trades[-1]["trade_id"])


def number(answer: bytes) -> int:
    return int.from_bytes(answer, "big")


def as_one_batch(history: Iterable[Committed]) -> Committed:
    """Return a log as if all of it had come at one moment."""
    batches = list(history)
    return Committed(
        batches[0].first_sequence,
        np.concatenate([batch.commands for batch in batches]),
        [attachment for batch in batches for attachment in batch.attachments],
        np.concatenate([batch.events for batch in batches]),
        [head for batch in batches for head in batch.heads],
    )
