"""Money moves without its owner's signature by busts, exits, returns, late payments. Is each true?

Found: an operator could log any of these out of thin air, and the audit called it honest.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from engine.commands import Kind, command
from engine.types import MoneyFlag
from settlement.audit.audit import CHECKED, OPERATORS
from settlement.audit.onchain import Published, read_published
from settlement.chain.dev.devchain import start_devchain
from settlement.chain.signer import Signer
from settlement.protocol.abi import encode_call
from settlement.protocol.eip712 import countersignature_digest
from settlement.protocol.evidence import (
    AccountOpened,
    AnyAttachment,
    DepositEvidence,
    ExitEvidence,
    KeyUse,
    SignedWithdrawal,
    TokenListing,
    TradeBusted,
    WithdrawalPaid,
    WithdrawalReturned,
    decode,
    encode,
)
from settlement.watching.watcher import Deposited, ExitCancelled, ExitFinished, ExitRequested
from tests.chain.conftest import Clock
from tests.chain.test_audit import Log, audited
from tests.chain.test_refused_batches import settle
from tests.chain.venue import ALICE, BOB, CAROL, DELAYS, DEPLOYER, NS, OPERATOR, Venue, transact

EXIT_PIPS = 10**10
NOWHERE = bytes(32)


class Day(NamedTuple):
    """An honest day, and where in its log things stand."""

    venue: Venue
    log: Log
    published: Published

    def at(self, kind: Kind, evidence: type, last: bool = False) -> int:
        """Return where the first (or last) command of ``kind`` with such evidence stands."""
        found = [
            at
            for at, (row, attachment) in enumerate(self.log)
            if row["kind"] == kind and isinstance(decode(attachment), evidence)
        ]
        return found[-1 if last else 0]

    def faults(self, log: Log, with_batches: bool = False) -> list[str]:
        """Judge ``log``; without batches only money and signatures speak."""
        shown = self.published if with_batches else self.published._replace(batches=[])
        return audited(self.venue, log, shown).judge()

    def appended(self, row: Any, attachment: AnyAttachment | None) -> Log:
        forged = row.copy()
        forged["time_ns"] = self.log[-1][0]["time_ns"]
        return [*self.log, (forged, encode(attachment))]

    def changed(self, at: int, columns: dict[str, int], **evidence: Any) -> Log:
        row, attachment = self.log[at][0].copy(), decode(self.log[at][1])
        for name, value in columns.items():
            row[name] = value
        forged = msgspec.structs.replace(attachment, **evidence)
        return [*self.log[:at], (row, encode(forged)), *self.log[at + 1 :]]

    def again(self, at: int, **columns: int) -> Log:
        row = self.log[at][0].copy()
        for name, value in columns.items():
            row[name] = value
        return self.appended(row, decode(self.log[at][1]))

    def without(self, at: int) -> Log:
        return [*self.log[:at], *self.log[at + 1 :]]

    def account(self, owner: Signer) -> int:
        return self.venue.account(owner.address)


def book(venue: Venue) -> None:
    """Do what the gateway does with all that the chain shows."""
    poll = venue.watcher.poll()
    for value, _ in venue.book.unbooked(s.value for s in poll.observations if s.confirmed):
        if isinstance(value, Deposited):
            token = venue.catalog.token_by_address(value.token)
            assert token is not None
            owner = venue.account(value.account)
            row = command(Kind.DEPOSIT, account=owner, token=token.number, amount=value.amount)
            venue.commit(row, DepositEvidence(*value.at, value.ref))
        elif isinstance(value, ExitRequested):
            row = command(Kind.EXIT_BEGIN, account=venue.account(value.account))
            venue.commit(row, ExitEvidence(*value.at))
        elif isinstance(value, ExitCancelled | ExitFinished):
            end_exit(venue, value)
    venue.watcher.done(poll)


def end_exit(venue: Venue, value: ExitCancelled | ExitFinished) -> None:
    token = venue.catalog.token_by_address(value.token)
    assert token is not None
    unpaid = venue.settler.reversals.unpaid(value.account, value.token)
    row = command(
        Kind.EXIT_END,
        account=venue.account(value.account),
        token=token.number,
        amount=value.amount if isinstance(value, ExitFinished) else 0,
        price_ticks=unpaid.left if unpaid else 0,
        flags=MoneyFlag.ALWAYS,
    )
    venue.commit(row, ExitEvidence(*value.at, unpaid.sequence if unpaid else 0))


def ask(venue: Venue, owner: Signer, name: str, *arguments: Any) -> None:
    call = encode_call(name, *arguments)
    assert transact(venue.chain, owner, venue.domain.contract, call).succeeded, name
    book(venue)


def leave(venue: Venue, clock: Clock, owner: Signer, token: bytes, pips: int) -> None:
    """Exit, from the request to the payment."""
    ask(venue, owner, "requestExit", token, pips)
    clock.ahead_ns += (DELAYS.exit + 100) * NS
    ask(venue, BOB, "finishExit", owner.address, token)


def pay(venue: Venue, signed: SignedWithdrawal) -> None:
    """Pay what the operator has countersigned, whoever sends it."""
    parties = (signed.account, signed.token, signed.amount, signed.to, signed.nonce)
    payout = (*parties, signed.expiry)
    raw = venue.chain.call(venue.domain.contract, encode_call("withdrawalDigest", payout))
    consent = OPERATOR.sign_digest(countersignature_digest(venue.domain, raw, 0))
    call = encode_call("withdraw", payout, 0, signed.signature, consent)
    assert transact(venue.chain, DEPLOYER, venue.domain.contract, call).succeeded


def live(venue: Venue, clock: Clock) -> None:
    """A trade, a withdrawal that is paid, a bust, a return, each kind of exit, a late payment."""
    venue.fund()
    venue.deposit(CAROL, venue.usd, 10**9)
    book(venue)
    venue.trade(1)
    settle(venue, clock)
    venue.withdraw(BOB, venue.usd, 10**6, nonce=1)
    settle(venue, clock)
    venue.trade(2, lots=3)
    clock.ahead_ns += (DELAYS.horizon + 1_500) * NS
    assert settle(venue, clock) == [2], "its orders expired before anybody sent it"
    venue.withdraw(CAROL, venue.usd, 10**7, nonce=1, expires_in_s=5)
    clock.ahead_ns += 10 * NS
    settle(venue, clock)
    ask(venue, BOB, "requestExit", venue.token, EXIT_PIPS)
    ask(venue, BOB, "cancelExit", venue.token)
    leave(venue, clock, CAROL, venue.token, 5)  # She has none: the exit ends all the same.
    leave(venue, clock, ALICE, venue.usd, EXIT_PIPS)
    has = venue.engine.available(venue.account(CAROL.address), 0)
    events = venue.withdraw(CAROL, venue.usd, 10**8, nonce=2, expires_in_s=50_000)
    sequence = int(events[-1]["sequence"])
    leave(venue, clock, CAROL, venue.usd, has)
    venue.deposit(CAROL, venue.usd, 10**9)
    book(venue)
    signed = next(
        decode(entry.attachment)
        for committed in venue.history()
        for entry in committed.entries
        if entry.sequence == sequence
    )
    assert isinstance(signed, SignedWithdrawal)
    pay(venue, signed)
    late = command(Kind.WITHDRAW, account=venue.account(CAROL.address), amount=10**8, flags=1)
    venue.commit(late, WithdrawalPaid(sequence))
    venue.deposit(BOB, venue.token, 10**18)
    book(venue)
    clock.ahead_ns += 25 * 3_600 * NS
    venue.devchain.mine()
    settle(venue, clock)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    directory, clock = tmp_path_factory.mktemp("money"), Clock()
    with start_devchain(directory / "chain", "eth-tester", clock) as chain:
        venue = Venue(directory, chain, clock)
        live(venue, clock)
        entries = [entry for committed in venue.history() for entry in committed.entries]
        log = [(entry.row, entry.attachment) for entry in entries]
        yield Day(venue, log, read_published(chain.chain, venue.deployment))
        venue.close()


def test_a_day_with_a_bust_a_return_exits_and_a_late_payment_is_honest(day: Day):
    kinds = {int(row["kind"]) for row, _ in day.log}
    assert kinds >= {Kind.BUST, Kind.EXIT_BEGIN, Kind.EXIT_END}
    assert {money.kind for money in day.published.money} == {
        *("Deposited", "ExitRequested", "ExitCancelled", "ExitFinished")
    }
    audit = audited(day.venue, day.log, day.published)

    assert audit.judge() == []
    assert audit.settled_count == audit.command_count
    (bust,) = audit.busts
    assert (bust.trade_id, "expired" in bust.reason) == (2, True)
    assert "trades busted for reasons that are the operator's word: 1" in list(audit.notes())
    assert not any("neither paid" in note for note in audit.notes())


def test_every_kind_of_command_is_checked_or_said_to_be_the_operators():
    assert set(Kind) == CHECKED | OPERATORS and not CHECKED & OPERATORS


Forgery = Callable[[Day], Log]


def bust(**columns: int) -> Any:
    return command(Kind.BUST, flags=MoneyFlag.ALWAYS, **columns)


def no_trade(day: Day) -> Log:
    row = bust(account=day.account(ALICE), fee_cap_ppm=day.account(CAROL), price_ticks=1)
    row["amount"] = 10**6
    return day.appended(row, TradeBusted(777, "because"))


def busted(day: Day) -> int:
    return day.at(Kind.BUST, TradeBusted)


def returned(day: Day) -> int:
    return day.at(Kind.DEPOSIT, WithdrawalReturned)


def paid(day: Day) -> int:
    return day.at(Kind.WITHDRAW, SignedWithdrawal)


def late(day: Day) -> int:
    return day.at(Kind.WITHDRAW, WithdrawalPaid)


def begun(day: Day) -> int:
    return day.at(Kind.EXIT_BEGIN, ExitEvidence)


def taking(day: Day) -> int:
    """Return where the exit stands that took from a withdrawal."""
    return day.at(Kind.EXIT_END, ExitEvidence, last=True)


def money_in(day: Day, pips: int, evidence: AnyAttachment | None) -> Log:
    return day.appended(command(Kind.DEPOSIT, account=day.account(ALICE), amount=pips), evidence)


def money_out(day: Day, pips: int, evidence: AnyAttachment) -> Log:
    row = command(Kind.WITHDRAW, account=day.account(CAROL), amount=pips, flags=MoneyFlag.ALWAYS)
    return day.appended(row, evidence)


def exit_begun(day: Day, owner: Signer, evidence: AnyAttachment | None) -> Log:
    return day.appended(command(Kind.EXIT_BEGIN, account=day.account(owner)), evidence)


def key_use(day: Day) -> tuple[KeyUse, ...]:
    return (KeyUse(ALICE.address, CAROL.address, 10**12),)


def listed_otherwise(day: Day) -> Log:
    return day.changed(day.at(Kind.LIST_TOKEN, TokenListing), {}, unit_scale=-1_000)


def opened_twice(day: Day) -> Log:
    row = command(Kind.OPEN_ACCOUNT, account=day.venue.catalog.account_count)
    return day.appended(row, AccountOpened(CAROL.address))


def old_news(day: Day) -> Log:
    """Keep Alice's deposit out and say that all others came from before there were blocks."""
    kept = []
    for row, attachment in day.without(day.at(Kind.DEPOSIT, DepositEvidence)):
        evidence = decode(attachment)
        if isinstance(evidence, DepositEvidence | ExitEvidence):
            evidence = msgspec.structs.replace(evidence, block_number=0)
        kept.append((row, encode(evidence)))
    return kept


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "a bust of no trade": (no_trade, "it busts trade 777, which never was"),
    "a bust that comes twice": (lambda d: d.again(busted(d)), "trade 2 is busted twice"),
    "a bust of more than was traded": (
        lambda d: d.changed(busted(d), {"amount": 10**9}),
        "it busts trade 2: quote_pips is 1000000000, not",
    ),
    "a bust of somebody else": (
        lambda d: d.changed(busted(d), {"fee_cap_ppm": d.account(CAROL)}),
        "it busts trade 2: seller is",
    ),
    "a bust with other fees": (
        lambda d: d.changed(busted(d), {"order_id": 1, "expiry_ns": 0}),
        "it busts trade 2: buyer_fee_pips is 1, not",
    ),
    "a bust without evidence": (
        lambda d: d.appended(d.log[busted(d)][0], None),
        "a bust that names no trade",
    ),
    "a bust that fills up a key": (
        lambda d: d.changed(busted(d), {}, keys=key_use(d)),
        "gives session keys back what they had not used",
    ),
    "a return of no withdrawal": (
        lambda d: money_in(d, 10**15, WithdrawalReturned(12_345, "never was")),
        "it gives back command 12345, which is no open withdrawal",
    ),
    "a return that comes twice": (
        lambda d: d.again(returned(d)),
        "which is no open withdrawal",
    ),
    "a return of more than was debited": (
        lambda d: d.changed(returned(d), {"amount": 10**7 + 1}),
        "with 10000001 pips, not 10000000",
    ),
    "a return to somebody else": (
        lambda d: d.changed(returned(d), {"account": d.account(ALICE)}),
        "another account's or token's",
    ),
    "a return of what was paid": (
        lambda d: d.appended(
            command(Kind.DEPOSIT, account=d.account(BOB), amount=10**6),
            WithdrawalReturned(paid(d) + 1, "refused"),
        ),
        "which was paid on chain",
    ),
    "a late payment of no withdrawal": (
        lambda d: money_out(d, 10**6, WithdrawalPaid(54_321)),
        "it charges again for command 54321, which is no open withdrawal",
    ),
    "a late payment that comes twice": (
        lambda d: d.again(late(d)),
        "which is no open withdrawal",
    ),
    "a late payment of what no exit took": (
        lambda d: d.appended(
            command(Kind.WITHDRAW, account=d.account(BOB), amount=10**6, flags=1),
            WithdrawalPaid(paid(d) + 1),
        ),
        "with 1000000 pips, not 0",
    ),
    "a late payment of more than an exit took": (
        lambda d: d.changed(late(d), {"amount": 2 * 10**8}),
        "with 200000000 pips, not 100000000",
    ),
    "an exit that nobody asked for": (
        lambda d: exit_begun(d, CAROL, ExitEvidence(NOWHERE, 0, 1)),
        "the chain does not say ExitRequested of 0x",
    ),
    "an exit of somebody else": (
        lambda d: d.changed(begun(d), {"account": d.account(ALICE)}),
        "the chain does not say ExitRequested of 0x",
    ),
    "an exit that begins twice": (
        lambda d: d.again(begun(d)),
        "the same log entry is booked twice",
    ),
    "an exit without evidence": (
        lambda d: exit_begun(d, CAROL, None),
        "money without evidence",
    ),
    "an exit that was kept out": (
        lambda d: d.without(begun(d)),
        "is on chain and not in the log",
    ),
    "an exit that nobody took back": (
        lambda d: d.changed(d.at(Kind.EXIT_END, ExitEvidence), {}, tx_hash=NOWHERE),
        "the chain does not say ExitFinished of 0x",
    ),
    "an exit's end that is a return": (
        lambda d: d.appended(
            command(Kind.EXIT_END, account=d.account(ALICE), flags=1, amount=1),
            WithdrawalReturned(1, ""),
        ),
        "money without evidence",
    ),
    "an exit that spares whom it should charge": (
        lambda d: d.changed(d.at(Kind.EXIT_END, ExitEvidence), {"price_ticks": 10**6}),
        "the exit may take 1000000 pips of a withdrawal that has 0 left",
    ),
    "an exit that takes from no withdrawal": (
        lambda d: d.changed(taking(d), {}, withdrawal=1),
        "the exit takes from command 1, no open withdrawal",
    ),
    "an exit that takes from somebody else's": (
        lambda d: d.changed(taking(d), {"price_ticks": 10**6}, withdrawal=paid(d) + 1),
        "another account's or token's",
    ),
    "a withdrawal that is forced": (
        lambda d: d.changed(paid(d), {"flags": int(MoneyFlag.ALWAYS)}),
        "the withdrawal is forced",
    ),
    "a withdrawal that is debited twice": (
        lambda d: d.again(paid(d), amount=10**6),
        "the withdrawal's nonce was used by command",
    ),
    "a payment that was never debited": (
        lambda d: d.without(paid(d)),
        "is on chain and was never debited",
    ),
    "a deposit kept out by blocks that are not true": (
        old_news,
        "is on chain and not in the log",
    ),
    "a token of another size": (listed_otherwise, "token 0 is not listed on chain like this"),
    "a wallet with two accounts": (opened_twice, "has an account already"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_money_that_nobody_signed_is_found_by_name(day: Day, name: str):
    """No batch helps here: an operator would settle what it forged."""
    forge, words = FORGERIES[name]
    assert day.faults(day.log) == []

    faults = day.faults(forge(day))
    assert any(words in fault for fault in faults), faults


def test_an_exit_that_forgets_an_unpaid_withdrawal_is_found(day: Day):
    """Its owner would owe what was only on its way to him."""
    forged = day.changed(taking(day), {"price_ticks": 0}, withdrawal=0)
    payments = {one: at for one, at in day.published.payments.items() if one.amount != 10**8}
    unpaid = day.published._replace(batches=[], payments=payments)

    faults = audited(day.venue, forged, unpaid).judge()
    assert any("the exit does not name withdrawal" in fault for fault in faults), faults


def test_a_late_payment_that_the_chain_never_made_is_found(day: Day):
    payments = {one: at for one, at in day.published.payments.items() if one.amount != 10**8}
    unpaid = day.published._replace(batches=[], payments=payments)

    faults = audited(day.venue, day.log, unpaid).judge()
    assert any("which was not paid on chain" in fault for fault in faults), faults


def test_a_bust_of_what_was_settled_is_found(day: Day):
    trade = day.published.batches[0].trades[0]
    row = bust(
        account=day.account(ALICE),
        fee_cap_ppm=day.account(BOB),
        price_ticks=trade.base_pips,
        amount=trade.quote_pips,
        order_id=trade.buy_fee_pips,
        expiry_ns=trade.sell_fee_pips,
    )
    forged = day.appended(row, TradeBusted(1, "I lost on it"))

    assert day.faults(forged) == [], "without the chain nothing speaks against it"
    faults = day.faults(forged, with_batches=True)
    assert any("it settles trade 1, which the log has undone" in fault for fault in faults), faults


def test_what_is_open_and_why_trades_were_busted_is_said(day: Day):
    idle = command(Kind.CLOCK)
    kept = [
        (idle, b"") if at in (returned(day), late(day)) else entry
        for at, entry in enumerate(day.log)
    ]
    notes = list(audited(day.venue, kept, day.published).notes())

    assert "withdrawals debited and neither paid nor given back: 1" in notes
    assert "withdrawals paid after an exit took them and not charged again: 1" in notes
    hostile = day.changed(busted(day), {}, reason="\x1b[2J")
    assert "\x1b" not in str(audited(day.venue, hostile, day.published).busts[0])


def test_a_clock_that_runs_backwards_or_ahead_of_its_batch_is_found(day: Day):
    at = day.at(Kind.EXIT_END, ExitEvidence)
    back = [(row.copy(), attachment) for row, attachment in day.log]
    back[at][0]["time_ns"] -= 10 * 3_600 * NS
    assert any("came before the one before it" in fault for fault in day.faults(back))

    first = day.published.batches[0].header.command_count
    ahead = [(row.copy(), attachment) for row, attachment in day.log]
    ahead[first - 1][0]["time_ns"] += 10 * 3_600 * NS
    faults = day.faults(ahead, with_batches=True)
    assert any("a command of it came at" in fault for fault in faults), faults
