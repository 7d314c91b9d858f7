"""Which withdrawals does the exchange not take, before anybody signs or pays anything for them?"""

import asyncio

import msgspec

from engine.types import Outcome
from settlement.orders.withdrawals import EXIT_MARGIN_S, OpenWithdrawal, Withdrawals, lasts_max_s
from settlement.protocol.eip712 import withdrawal_digest
from tests.admission.fixtures import ALICE, BOB, DOMAIN, START, TOKEN, USD
from tests.e2e.fixtures import Venue

CUSTODIAN = b"\x0c" * 20
LEAST = 500
EXIT_DELAY_S = 48 * 3600


class Book(dict):
    """Open withdrawals by (account, token)."""

    def unpaid(self, account, token):
        return self.get((account, token))


def to(receiver, nonce):
    """Return Alice's withdrawal to ``receiver``."""
    withdrawal = msgspec.structs.replace(ALICE.withdrawal(1_000, nonce=nonce), to=receiver)
    return msgspec.structs.replace(withdrawal, digest=withdrawal_digest(DOMAIN, withdrawal))


def lasting(seconds, nonce):
    """Return Alice's withdrawal that may be sent for so long."""
    withdrawal = msgspec.structs.replace(
        ALICE.withdrawal(1_000, nonce=nonce), expiry=START + seconds
    )
    return msgspec.structs.replace(withdrawal, digest=withdrawal_digest(DOMAIN, withdrawal))


def asked_of(book, *withdrawals, together=False):
    """Return what each of ``withdrawals`` comes to, one after the other or at once."""

    async def ask():
        ours = frozenset({DOMAIN.contract, CUSTODIAN})
        rules = Withdrawals(ours, {"USD": LEAST}, book, EXIT_DELAY_S)
        async with Venue(withdrawals=rules) as venue:
            await venue.list_all()
            await venue.fund(ALICE, BOB)
            asks = [venue.exchange.withdraw(withdrawal) for withdrawal in withdrawals]
            results = await asyncio.gather(*asks) if together else [await ask for ask in asks]
            return [result.outcome for result in results]

    return asyncio.run(ask())


def test_found_a_withdrawal_to_nobody_was_signed_and_paid_for():
    """C2, H3: zero, the token, and our own contracts; the operator paid for each revert."""
    receivers = (bytes(20), USD, DOMAIN.contract, CUSTODIAN)

    outcomes = asked_of(Book(), *(to(receiver, i + 1) for i, receiver in enumerate(receivers)))

    assert outcomes == [Outcome.BAD_RECEIVER] * 4


def test_less_than_the_least_payout_is_refused():
    outcomes = asked_of(
        Book(), ALICE.withdrawal(LEAST - 100, nonce=1), ALICE.withdrawal(LEAST, nonce=2)
    )

    assert outcomes == [Outcome.BELOW_LEAST_WITHDRAWAL, Outcome.ACCEPTED]


def test_found_one_could_outlast_an_exit_and_take_money_that_came_later():
    """Both signatures are public: it was sent after the exit had taken what was debited for it."""
    longest = EXIT_DELAY_S - EXIT_MARGIN_S

    outcomes = asked_of(Book(), lasting(longest + 1, nonce=1), lasting(longest, nonce=2))

    assert outcomes == [Outcome.EXPIRY_TOO_FAR, Outcome.ACCEPTED]


def test_where_exits_are_quick_half_of_their_delay_is_left_for_a_withdrawal():
    assert [lasts_max_s(delay) for delay in (60, 2 * EXIT_MARGIN_S, 3 * EXIT_MARGIN_S)] == [
        30,
        EXIT_MARGIN_S,
        2 * EXIT_MARGIN_S,
    ]


def test_of_one_token_the_next_has_to_wait_until_the_first_is_paid():
    book = Book({(ALICE.address, USD): OpenWithdrawal(9, ALICE.address, USD, 1_000)})

    outcomes = asked_of(
        book,
        ALICE.withdrawal(1_000, nonce=1),
        ALICE.withdrawal(10**6, nonce=2, token=TOKEN),
        BOB.withdrawal(1_000, nonce=1),
    )

    assert outcomes == [Outcome.WITHDRAWAL_OPEN, Outcome.ACCEPTED, Outcome.ACCEPTED]


def test_two_asked_for_at_once_are_one():
    first, second = ALICE.withdrawal(1_000, nonce=1), ALICE.withdrawal(1_000, nonce=2)

    assert asked_of(Book(), first, second, together=True) == [
        Outcome.ACCEPTED,
        Outcome.WITHDRAWAL_OPEN,
    ]
