"""What the ledger cannot take is kept due, halts nobody, and is booked when there is room."""

import asyncio
from pathlib import Path

from engine.types import MONEY_MAX, Outcome
from settlement.outbox.outbox import Outbox
from settlement.repair.reversals import Reversal
from settlement.watching.watcher import ExitFinished, ExitRequested, LogId
from tests.admission.fixtures import ALICE, BOB, LIMITS, OTHER, TOKEN, USD
from tests.e2e.fixtures import GatedStorage
from tests.e2e.test_what_the_chain_shows_is_booked_once import (
    ShownChain,
    Watched,
    deposit,
    log,
    watched,
)

HUGE = 10**19
MINUTE_NS = 61 * 10**9


def outcomes(venue):
    return [(due.one.value, due.outcome) for due in venue.loop.due]


def test_found_a_deposit_beyond_64_bits_ended_the_process_at_each_start(tmp_path: Path):
    """Found in the field: the contract takes what the journal cannot hold."""

    async def story():
        storage, shown = GatedStorage(), ShownChain()
        shown.values = [deposit(1, amount=HUGE), deposit(2), deposit(3, BOB, 2**63)]
        for _ in range(2):
            outbox = Outbox(tmp_path / "outbox.sqlite")
            async with Watched(shown, storage, outbox) as venue:
                if not venue.catalog.tokens:
                    await venue.list_all()
                await venue.loop.turn()
                assert venue.usd(ALICE) == 100
                assert outcomes(venue) == [
                    (shown.values[0], Outcome.AMOUNT_OUT_OF_RANGE),
                    (shown.values[2], Outcome.AMOUNT_OUT_OF_RANGE),
                ]
                assert venue.unbooked.pips() == {
                    (ALICE.address, USD): HUGE,
                    (BOB.address, USD): 2**63,
                }
                assert str(HUGE) in str(venue.loop.due[0])
                assert shown.cursor == 3 and not venue.fatal
            outbox.close()

    asyncio.run(story())


def test_found_a_deposit_above_the_supply_was_passed_over_for_ever():
    async def scenario(venue):
        late = deposit(2, BOB, 10)
        venue.shown.values = [deposit(1, amount=MONEY_MAX), late]
        await venue.loop.turn()
        assert venue.usd(ALICE) == MONEY_MAX and venue.usd(BOB) == 0
        assert outcomes(venue) == [(late, Outcome.AMOUNT_OUT_OF_RANGE)]

        commands = venue.sequencer.applied
        venue.now_ns += MINUTE_NS
        await venue.loop.turn()
        assert venue.sequencer.applied == commands, "asking again costs no command"

        venue.shown.values += [
            ExitRequested(log(3), ALICE.address, USD, 10, 0),
            ExitFinished(log(4), ALICE.address, USD, 10),
        ]
        await venue.loop.turn()
        venue.now_ns += MINUTE_NS
        await venue.loop.turn()
        assert venue.usd(BOB) == 10 and venue.loop.due == []
        await venue.loop.turn()
        assert venue.usd(BOB) == 10

    watched(scenario)


def test_an_account_without_room_is_due_and_costs_one_command():
    async def scenario(venue):
        owners = [bytes([1]) * 19 + bytes([i]) for i in range(LIMITS.accounts + 2)]
        venue.shown.values = [
            deposit(i)._replace(account=owner) for i, owner in enumerate(owners, 1)
        ]
        await venue.loop.turn()
        assert [outcome for _, outcome in outcomes(venue)] == [Outcome.CAPACITY] * 2
        commands = venue.sequencer.applied
        for _ in range(3):
            venue.now_ns += MINUTE_NS
            await venue.loop.turn()
        assert venue.sequencer.applied == commands

    watched(scenario)


def test_a_token_that_is_listed_later_is_credited_then():
    async def story():
        async with Watched(ShownChain()) as venue:
            venue.shown.values = [deposit(1)]
            await venue.loop.turn()
            assert outcomes(venue) == [(deposit(1), Outcome.UNKNOWN_TOKEN)]
            await venue.list_all()
            venue.now_ns += MINUTE_NS
            await venue.loop.turn()
            assert venue.usd(ALICE) == 100 and venue.loop.due == []

    asyncio.run(story())


def test_an_exit_waits_for_the_deposit_that_it_pays_out():
    async def scenario(venue):
        venue.shown.values = [
            deposit(1, BOB, MONEY_MAX - 100),
            deposit(2, amount=300),
            ExitRequested(log(3), ALICE.address, USD, 300, 0),
            ExitFinished(log(4), ALICE.address, USD, 300),
            deposit(5, amount=40),
        ]
        await venue.loop.turn()
        assert venue.usd(ALICE) == 40, "a later deposit that fits does not wait"
        assert venue.unbooked.pips()[ALICE.address, USD] == 0
        assert [type(value).__name__ for value, _ in outcomes(venue)] == [
            "Deposited",
            "ExitFinished",
        ]

        venue.shown.values += [
            ExitRequested(log(6), BOB.address, USD, 500, 0),
            ExitFinished(log(7), BOB.address, USD, 500),
        ]
        await venue.loop.turn()
        venue.now_ns += MINUTE_NS
        await venue.loop.turn()
        assert venue.loop.due == [] and venue.usd(ALICE) == 40

    watched(scenario)


def test_of_two_alike_in_one_transaction_each_is_booked_once(tmp_path: Path):
    """That one of them is in the journal says nothing about the other."""

    async def story():
        storage, shown = GatedStorage(), ShownChain()
        half = MONEY_MAX // 2 + 1
        first = deposit(1, amount=half)
        second = first._replace(at=LogId(first.at.tx_hash, 1, 1))
        shown.values = [first, second]
        outbox = Outbox(tmp_path / "outbox.sqlite")
        async with Watched(shown, storage, outbox) as venue:
            await venue.list_all()
            await venue.loop.turn()
            assert venue.usd(ALICE) == half and len(venue.loop.due) == 1
        outbox.close()
        outbox = Outbox(tmp_path / "outbox.sqlite")
        async with Watched(shown, storage, outbox) as again:
            await again.loop.turn()
            assert outcomes(again) == [(second, Outcome.AMOUNT_OUT_OF_RANGE)]
            shown.values += [
                ExitRequested(log(3), BOB.address, USD, 1, 0),
                deposit(4, BOB, 5),
            ]
            await again.loop.turn()
            assert again.usd(ALICE) == half and len(again.loop.due) == 1
        outbox.close()

    asyncio.run(story())


def test_what_leaves_the_chain_is_due_no_more():
    async def scenario(venue):
        venue.shown.values = [deposit(1, amount=HUGE), deposit(2)]
        await venue.loop.turn()
        assert len(venue.loop.due) == 1

        venue.shown.values[0] = deposit(9, token=TOKEN)
        venue.shown.cursor = 0
        await venue.loop.turn()
        assert venue.loop.due == []
        assert venue.usd(ALICE) == 100

    watched(scenario)


def test_a_token_nobody_lists_is_due_beside_others():
    async def scenario(venue):
        venue.shown.values = [deposit(1, token=OTHER), deposit(2)]
        await venue.loop.turn()
        assert [outcome for _, outcome in outcomes(venue)] == [Outcome.UNKNOWN_TOKEN]
        assert venue.usd(ALICE) == 100

    watched(scenario)


def test_found_a_withdrawal_whose_room_was_taken_ended_the_process():
    """Found on the way: what was debited need not fit any more when it is to be given back."""

    async def scenario(venue):
        venue.shown.values = [deposit(1, amount=100), deposit(2, BOB, MONEY_MAX - 100)]
        await venue.loop.turn()
        assert (await venue.exchange.withdraw(ALICE.withdrawal(100))).accepted
        venue.shown.values.append(deposit(3, BOB, 100))
        await venue.loop.turn()
        assert venue.usd(BOB) == MONEY_MAX

        venue.shown.returns = [Reversal(4, ALICE.address, USD, 100, "refused")]
        commands = venue.sequencer.applied
        for _ in range(3):
            await venue.loop.turn()
        assert venue.usd(ALICE) == 0 and venue.sequencer.applied == commands

        venue.shown.values += [
            ExitRequested(log(5), BOB.address, USD, 100, 0),
            ExitFinished(log(6), BOB.address, USD, 100),
        ]
        await venue.loop.turn()
        assert venue.usd(ALICE) == 100

    watched(scenario)
