"""Exit, payment, deposit, expiry: does the ledger end at what the vault holds in every order?

The vault is told here in ten lines: it pays whoever comes first, as far as its balance reaches.
After each event vault and ledger must agree, what is on its way taken into account; at the end,
when nothing is on its way, to the pip.
"""

from itertools import permutations, product

import numpy as np
import pytest

from engine.commands import Kind, batch_of, command
from engine.events import EVENT, EventKind
from engine.log_entries import Committed
from engine.reference import Engine
from engine.types import Limits, MoneyFlag
from settlement.batches.builder import PendingWithdrawal
from settlement.batches.sealer import Sealer, Sealing
from settlement.batches.trade_queue import TradeQueue
from settlement.chain.chain import Block, Log
from settlement.orders.catalog import Catalog
from settlement.outbox.actions import ActionKind, ActionState
from settlement.outbox.outbox import Outbox
from settlement.outbox.submitter import REORG_BLOCKS_MAX
from settlement.protocol.evidence import (
    ZERO_REF,
    AccountOpened,
    DepositEvidence,
    ExitEvidence,
    TokenListing,
    WithdrawalPaid,
    WithdrawalReturned,
    encode,
)
from settlement.repair.reversals import WITHDRAWN_TOPIC, WithdrawalReversals
from tests.admission.fixtures import ALICE, DOMAIN, NS, START, USD
from tests.chain.venue import OPERATOR

HAS = 100
EVENTS = ("countersign", "pay", "exit", "deposit", "stranger", "expire")
AMOUNTS = tuple(product((40, 100), (30, 100), (10, 70)))
"""Of the withdrawal, the exit and the deposit."""


class Vault:
    """The balance of one account on chain, and the little that is asked of a node."""

    def __init__(self):
        self.pips, self.time, self.logs_made = HAS, START, []

    def take(self, pips):
        paid = min(pips, self.pips)
        self.pips -= paid
        return paid

    def pay(self, withdrawal):
        """Pay a countersigned withdrawal, or refuse it; once."""
        if self.pips < withdrawal.amount or self.time > withdrawal.expiry or self.logs_made:
            return False
        self.pips -= withdrawal.amount
        nonce = withdrawal.nonce.to_bytes(32, "big")
        self.logs_made.append(Log(bytes(20), (WITHDRAWN_TOPIC,), nonce, 1, bytes(32), bytes(32), 0))
        return True

    def head(self):
        return Block(1, bytes(32), bytes(32), self.time)

    def block(self, number):
        return self.head()

    def logs(self, addresses, topics, first, last):
        return self.logs_made


class Driver:
    """What an outbox says of one action, without a disk: a world is made for each order."""

    def __init__(self, sealed):
        self.sealed, self.state, self.newest = sealed, None, None

    def find(self, kind, key):
        if not self.state:
            return None
        return self.sealed._replace(key=key, state=self.state, block_number=1)

    def last_key(self, kind):
        return self.newest

    def mined(self, action_id, receipt, now_ns):
        self.state = ActionState.FINAL

    def block_before(self, action_id):
        return 0


def reversals_of(chain, outbox):
    """Return the consumer that is tested; every block is as deep as can be."""
    return WithdrawalReversals(
        *(chain, outbox, DOMAIN.contract, 0, 1),
        trial=lambda _: None,
        newest=lambda: REORG_BLOCKS_MAX + 1,
        now_ns=lambda: START * NS,
    )


class World:
    """One account with money and a withdrawal that is asked for."""

    def __init__(self, sealed, amounts):
        self.to_pay, self.to_exit, self.to_deposit = amounts
        self.vault, self.driver = Vault(), Driver(sealed)
        self.engine = Engine(Limits(tokens=1, markets=1, accounts=1, orders=1, ladder_ticks=64))
        self.catalog = Catalog()
        self.reversals = reversals_of(self.vault, self.driver)
        self.journal = []
        self.commit(command(Kind.LIST_TOKEN), TokenListing("USD", USD, 8, 1))
        self.commit(command(Kind.OPEN_ACCOUNT), AccountOpened(ALICE.address))
        self.deposit(HAS)
        self.asked = ALICE.withdrawal(self.to_pay)
        self.commit(command(Kind.WITHDRAW, amount=self.to_pay), self.asked)
        self.pending = PendingWithdrawal(self.engine.sequence, self.asked, 0)

    def commit(self, row, attachment):
        row["sequence"] = sequence = self.engine.sequence + 1
        row["time_ns"] = START * NS
        rows = batch_of([row])
        events = self.engine.apply(rows)
        assert events[0]["kind"] != EventKind.REJECTED
        committed = Committed(sequence, rows, [encode(attachment)], events, [bytes(32)])
        self.journal.append(committed)
        for segment in self.catalog.read(committed):
            self.reversals.consume(segment)

    def deposit(self, pips):
        evidence = DepositEvidence(bytes(32), self.engine.sequence, 1, ZERO_REF)
        self.commit(command(Kind.DEPOSIT, amount=pips), evidence)

    # What may happen, in any order.

    def countersign(self):
        if self.driver.state is None and not self.reversals.is_void(self.pending.sequence):
            self.driver.state = ActionState.SEALED if self.reversals.may_pay(self.pending) else None

    def pay(self):
        """The operator's transaction is mined, if there is one."""
        if self.driver.state is ActionState.SEALED:
            is_paid = self.vault.pay(self.asked)
            self.driver.state = ActionState.FINAL if is_paid else ActionState.FAILED

    def stranger(self):
        """Somebody else sends what is public."""
        if self.driver.state is not None:
            self.vault.pay(self.asked)

    def exit(self):
        paid = self.vault.take(self.to_exit)
        self.commit(command(Kind.EXIT_BEGIN), ExitEvidence(bytes(32), 1, 1))
        unpaid = self.reversals.unpaid(ALICE.address, USD)
        row = command(Kind.EXIT_END, amount=paid, flags=MoneyFlag.ALWAYS)
        row["price_ticks"] = unpaid.left if unpaid else 0
        named = unpaid.sequence if unpaid else 0
        self.commit(row, ExitEvidence(bytes(32), 2, 1, named))

    def add(self):
        self.vault.pips += self.to_deposit
        self.deposit(self.to_deposit)

    def expire(self):
        self.vault.time = self.asked.expiry + 1

    def restart(self):
        """Nothing is left but journal and outbox."""
        self.reversals = reversals_of(self.vault, self.driver)
        for committed in self.journal:
            self.reversals.consume(committed)

    # What settlement does about it.

    def put_right(self):
        self.reversals.look()
        for due in self.reversals.due():
            evidence = WithdrawalReturned(due.sequence, due.reason)
            self.commit(command(Kind.DEPOSIT, amount=due.amount), evidence)
        for paid in self.reversals.late():
            row = command(Kind.WITHDRAW, amount=paid.amount, flags=MoneyFlag.ALWAYS)
            self.commit(row, WithdrawalPaid(paid.sequence))

    def differs_by(self):
        """Return what the ledger expects of the vault beyond what it holds."""
        found = self.reversals.unpaid(ALICE.address, USD)
        owed = 0
        if found is not None:
            owed = found.amount * (not self.vault.logs_made) - found.taken
        return self.engine.available(0, 0) + owed - self.vault.pips


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Return a countersigned withdrawal as an outbox keeps it."""
    outbox = Outbox(tmp_path_factory.mktemp("outbox") / "settlement.sqlite")
    reversals = reversals_of(Vault(), outbox)
    queue = TradeQueue(outbox)
    sealer = Sealer(outbox, queue, Catalog(), DOMAIN, OPERATOR, Sealing(0), reversals)
    row = command(Kind.WITHDRAW, amount=1)
    row["sequence"] = 1
    events = np.zeros(1, EVENT)
    events["kind"], events["sequence"] = EventKind.WITHDRAWN, 1
    attachment = encode(ALICE.withdrawal(1))
    queue.consume(Committed(1, batch_of([row]), [attachment], events, [bytes(32)]))
    sealer.seal(START * NS)
    action = outbox.find(ActionKind.WITHDRAWAL, "1")
    outbox.close()
    return action


@pytest.mark.parametrize("amounts", AMOUNTS, ids=str)
def test_vault_and_ledger_agree_whatever_came_first(sealed, amounts):
    for order in permutations(EVENTS):
        if order.index("pay") < order.index("countersign"):
            continue  # Nothing is paid that nobody has signed.
        world = World(sealed, amounts)
        for name in order:
            getattr(world, "add" if name == "deposit" else name)()
            world.put_right()
            assert world.differs_by() == 0, (order, name)
        world.pay()
        world.expire()
        world.countersign()
        world.pay()
        world.put_right()
        world.put_right()
        assert world.engine.available(0, 0) == world.vault.pips >= 0, order
        assert world.reversals.unpaid(ALICE.address, USD) is None, order
        world.engine.check()


def test_what_was_given_back_at_once_is_never_signed(sealed):
    world = World(sealed, (40, 70, 10))

    world.exit()
    world.countersign()
    world.put_right()
    world.countersign()

    assert world.driver.state is None
    assert (world.engine.available(0, 0), world.vault.pips) == (30, 30)


def test_found_what_an_exit_had_taken_whole_was_open_again_after_a_restart(sealed):
    """The queue skips at a start what is older than the newest that is countersigned: nobody asked
    for this one any more, its account could withdraw no more, and the books differed by it."""
    world = World(sealed, (100, 100, 10))
    world.exit()
    world.countersign()
    world.put_right()
    assert world.reversals.is_void(world.pending.sequence), "the exit has had all of it"
    world.driver.newest = str(world.pending.sequence + 1)

    world.restart()
    world.put_right()

    assert world.reversals.unpaid(ALICE.address, USD) is None
    assert (world.reversals.shortened(), world.reversals.unsigned()) == ([], [])
    assert world.engine.available(0, 0) == world.vault.pips == 0


def test_an_older_one_waits_though_the_newest_was_given_back(sealed):
    world = World(sealed, (40, 70, 10))
    world.commit(command(Kind.WITHDRAW, amount=20), ALICE.withdrawal(20))
    newer = world.engine.sequence
    assert [w.sequence for w in world.reversals.unsigned()] == [world.pending.sequence, newer]

    world.commit(command(Kind.DEPOSIT, amount=20), WithdrawalReturned(newer, "refused"))

    assert [w.sequence for w in world.reversals.unsigned()] == [world.pending.sequence]
