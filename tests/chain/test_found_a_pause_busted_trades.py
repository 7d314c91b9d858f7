"""Found: when the admin paused a token all its trades on the way were busted for good, while its
market went on trading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Sent
from settlement.chain.dev.devchain import start_devchain
from settlement.halts import is_paused
from settlement.outbox.submitter import Policy
from settlement.outbox.troubles import Paused
from settlement.protocol.abi import encode_call
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.evidence import ZERO_REF
from settlement.watching.watcher import PauseSet
from tests.chain.conftest import Clock, until
from tests.chain.test_refused_batches import settle, trade_on, undo
from tests.chain.venue import ALICE, DEPLOYER, NS, Venue, transact

LONG_S = 86_400
WAITS_NS = Policy(1).pause_lasts_ns


@pytest.fixture
def venue(tmp_path: Path, clock: Clock) -> Iterator[Venue]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Venue(tmp_path, chain, clock)
        built.fund()
        yield built
        built.close()


def pause(venue: Venue, *, is_paused: bool = True) -> None:
    call = encode_call("setPaused", venue.token, is_paused)
    assert transact(venue.devchain.chain, DEPLOYER, venue.domain.contract, call).succeeded


class PausedFirst:
    """A chain on which a pause comes in just before our transaction."""

    def __init__(self, chain: Any, venue: Venue) -> None:
        self._chain = chain
        self._road = venue

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send_raw(self, raw: bytes) -> Sent:
        pause(self._road)
        return self._chain.send_raw(raw)  # type: ignore[no-any-return]


def test_trades_of_a_paused_token_wait_by_name_and_settle_after_it(venue: Venue, clock: Clock):
    trades = [trade_on(venue, turn, expires_in_s=LONG_S) for turn in (1, 2, 3)]
    pause(venue)

    assert settle(venue, clock) == []
    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, Paused) and "TokenPaused(" in str(trouble)
    assert venue.settler.halted is None

    pause(venue, is_paused=False)
    assert settle(venue, clock) == []
    assert {venue.settler.trade_state(trade).state for trade in trades} == {"final"}
    assert venue.settler.troubles == []
    venue.assert_books_agree()


def test_a_batch_that_met_a_pause_on_its_way_is_sealed_anew_after_it(venue: Venue, clock: Clock):
    trade = trade_on(venue, 1, expires_in_s=LONG_S)
    venue.reopen(PausedFirst(venue.chain, venue))  # type: ignore[arg-type]
    venue.settler.seal_now()
    until(lambda: not venue.settler.step())
    assert "TokenPaused(" in str(venue.settler.halted)
    venue.reopen()
    assert settle(venue, clock) == []
    assert "TokenPaused(" in str(venue.settler.halted)

    pause(venue, is_paused=False)
    assert settle(venue, clock) == []
    assert venue.settler.halted is None
    assert venue.settler.trade_state(trade).state == "final"
    venue.assert_books_agree()


def test_a_pause_that_lasts_keeps_the_others_waiting_no_longer_than_that(
    venue: Venue, clock: Clock
):
    trade = trade_on(venue, 1, expires_in_s=LONG_S)
    venue.settler.seal_now()
    pause(venue)
    assert settle(venue, clock) == []

    clock.ahead_ns += WAITS_NS + 60 * NS
    venue.devchain.mine()
    assert settle(venue, clock) == [trade]
    assert venue.settler.halted is None
    venue.assert_books_agree()


def test_a_sweep_of_a_paused_token_waits(venue: Venue, clock: Clock):
    ref = ZERO_REF[:-1] + b"\x07"
    place = venue.settler.deposit_address(ALICE.address, ref)
    call = encode_call("transfer", place, 10**18, contract="TestToken")
    venue.mint(ALICE, venue.token, 10**18)
    assert transact(venue.chain, ALICE, venue.token, call).succeeded
    pause(venue)
    venue.settler.enqueue_sweeps([SweepPlace(ALICE.address, ref, venue.token)])

    assert settle(venue, clock) == []
    (trouble,) = venue.settler.troubles
    assert isinstance(trouble, Paused), trouble

    before = venue.vault(ALICE.address, venue.token)
    pause(venue, is_paused=False)
    settle(venue, clock)
    assert venue.vault(ALICE.address, venue.token) == before + 10**8
    assert undo(venue) == []


def test_the_watcher_shows_a_pause(venue: Venue):
    pause(venue)
    pause(venue, is_paused=False)
    shown = [one.value for one in venue.watcher.poll().observations]
    assert [(one.token, one.is_paused) for one in shown if isinstance(one, PauseSet)] == [
        (venue.token, True),
        (venue.token, False),
    ]


def test_a_start_is_told_of_a_pause_from_long_ago(venue: Venue):
    pause(venue)
    venue.watcher.done(venue.watcher.poll())
    (value,) = venue.watcher.history()
    assert isinstance(value, PauseSet) and (value.token, value.is_paused) == (venue.token, True)


def test_whether_a_token_is_paused_is_the_contracts_word(venue: Venue):
    tokens = [venue.catalog.token_by_address(address) for address in (venue.usd, venue.token)]
    chain, exchange = venue.devchain.chain, venue.domain.contract

    def paused() -> list[bool]:
        return [token is not None and is_paused(chain, exchange, 0, token) for token in tokens]

    assert paused() == [False, False]
    pause(venue)
    assert paused() == [False, True]
    pause(venue, is_paused=False)
    assert paused() == [False, False]
