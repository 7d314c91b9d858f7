"""Found: when the admin paused a token all its trades on the way were busted for good, while its
market went on trading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settlement.chain.chain import Sent
from settlement.chain.dev.devchain import start_devchain
from settlement.outbox.submitter import Policy
from settlement.outbox.troubles import Paused
from settlement.protocol.abi import encode_call
from settlement.protocol.evidence import ZERO_REF
from settlement.watching.watcher import PauseSet
from tests.chain.conftest import Clock, until
from tests.chain.road import ALICE, DEPLOYER, NS, Road, transact
from tests.chain.test_refused_batches import settle, trade_on, undo

LONG_S = 86_400
WAITS_NS = Policy(1).pause_lasts_ns


@pytest.fixture
def road(tmp_path: Path, clock: Clock) -> Iterator[Road]:
    with start_devchain(tmp_path / "chain", "eth-tester", clock) as chain:
        built = Road(tmp_path, chain, clock)
        built.fund()
        yield built
        built.close()


def pause(road: Road, *, is_paused: bool = True) -> None:
    call = encode_call("setPaused", road.token, is_paused)
    assert transact(road.devchain.chain, DEPLOYER, road.domain.contract, call).succeeded


class PausedFirst:
    """A chain on which a pause comes in just before our transaction."""

    def __init__(self, chain: Any, road: Road) -> None:
        self._chain = chain
        self._road = road

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chain, name)

    def send_raw(self, raw: bytes) -> Sent:
        pause(self._road)
        return self._chain.send_raw(raw)  # type: ignore[no-any-return]


def test_trades_of_a_paused_token_wait_by_name_and_settle_after_it(road: Road, clock: Clock):
    trades = [trade_on(road, turn, expires_in_s=LONG_S) for turn in (1, 2, 3)]
    pause(road)

    assert settle(road, clock) == []
    (trouble,) = road.settler.troubles
    assert isinstance(trouble, Paused) and "TokenPaused(" in str(trouble)
    assert road.settler.halted is None

    pause(road, is_paused=False)
    assert settle(road, clock) == []
    assert {road.settler.trade_state(trade).state for trade in trades} == {"final"}
    assert road.settler.troubles == []
    road.assert_books_agree()


def test_a_batch_that_met_a_pause_on_its_way_is_sealed_anew_after_it(road: Road, clock: Clock):
    trade = trade_on(road, 1, expires_in_s=LONG_S)
    road.reopen(PausedFirst(road.chain, road))  # type: ignore[arg-type]
    road.settler.seal_now()
    until(lambda: not road.settler.step())
    assert "TokenPaused(" in str(road.settler.halted)
    road.reopen()
    assert settle(road, clock) == []
    assert "TokenPaused(" in str(road.settler.halted)

    pause(road, is_paused=False)
    assert settle(road, clock) == []
    assert road.settler.halted is None
    assert road.settler.trade_state(trade).state == "final"
    road.assert_books_agree()


def test_a_pause_that_lasts_keeps_the_others_waiting_no_longer_than_that(road: Road, clock: Clock):
    trade = trade_on(road, 1, expires_in_s=LONG_S)
    road.settler.seal_now()
    pause(road)
    assert settle(road, clock) == []

    clock.ahead_ns += WAITS_NS + 60 * NS
    road.devchain.mine()
    assert settle(road, clock) == [trade]
    assert road.settler.halted is None
    road.assert_books_agree()


def test_a_sweep_of_a_paused_token_waits(road: Road, clock: Clock):
    ref = ZERO_REF[:-1] + b"\x07"
    place = road.settler.deposit_address(ALICE.address, ref)
    call = encode_call("transfer", place, 10**18, contract="TestToken")
    road.mint(ALICE, road.token, 10**18)
    assert transact(road.chain, ALICE, road.token, call).succeeded
    pause(road)
    road.settler.enqueue_sweep(ALICE.address, ref, road.token)

    assert settle(road, clock) == []
    (trouble,) = road.settler.troubles
    assert isinstance(trouble, Paused), trouble

    before = road.vault(ALICE.address, road.token)
    pause(road, is_paused=False)
    settle(road, clock)
    assert road.vault(ALICE.address, road.token) == before + 10**8
    assert undo(road) == []


def test_the_watcher_shows_a_pause(road: Road):
    pause(road)
    pause(road, is_paused=False)
    shown = [one.value for one in road.watcher.poll().observations]
    assert [(one.token, one.is_paused) for one in shown if isinstance(one, PauseSet)] == [
        (road.token, True),
        (road.token, False),
    ]
