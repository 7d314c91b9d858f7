"""A process that is told to end says so, answers, closes its sockets, keeps its state and ends."""

import asyncio
import signal
import threading
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from engine.journal import DirectoryReader, SnapshotFiles
from engine.journal.reader import about_last_sequence
from engine.journal.snapshot import sequence_of
from gateway.node.closing import END_SECONDS_MAX, EXIT_LATE, HardLimit
from tests.e2e.running import Running, ask, until


@pytest.fixture
def running(tmp_path: Path):
    started = []

    def start() -> Running:
        started.append(Running(tmp_path))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


async def last_words(running: Running, end) -> tuple[list[str], int | None]:
    """Return what a client who follows our state is told from ``end`` on, and how it is closed."""
    url = f"ws://127.0.0.1:{running.port}/v1/stream"
    heard = []
    async with connect(url, compression=None, proxy=None) as socket:
        await socket.send('{"op": "subscribe", "id": 1, "channel": "status"}')
        assert orjson.loads(await socket.recv())["id"] == 1
        assert orjson.loads(await socket.recv())["status"] in ("ready", "restricted")
        await asyncio.to_thread(end)
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                while True:
                    said = orjson.loads(await socket.recv())
                    heard.append(said.get("status") or said["event"])
        except ConnectionClosed as closed:
            return heard, closed.rcvd.code if closed.rcvd else None


def last_of(directory: Path) -> tuple[int, int]:
    """Return the last sequence of the journal, and of the newest snapshot."""
    names = SnapshotFiles(DirectoryReader(directory / "snapshots")).names()
    newest = max(map(sequence_of, names), default=0)
    return about_last_sequence(DirectoryReader(directory / "journal")), newest


def test_a_signal_tells_closes_keeps_and_ends(running, tmp_path):
    first = running()

    heard, code = asyncio.run(last_words(first, lambda: first.process.send_signal(signal.SIGTERM)))

    assert (heard[-2:], code) == (["draining", "shutdown"], 1012)
    output, _ = first.process.communicate(timeout=3 * END_SECONDS_MAX)
    assert first.process.returncode == 0, output
    assert "let itself be closed" not in output, "nobody was waited for until the time was over"
    journal, snapshot = last_of(tmp_path)
    assert snapshot > 0 and journal <= snapshot, "nothing is left to replay"


COUNTED = {
    "loop_lag": "tillbook_event_loop_lag_seconds_count",
    "stage": 'tillbook_order_stage_seconds_count{stage="journal"}',
    "journal_sync": "tillbook_journal_sync_seconds_count",
    "book_depth": 'tillbook_book_depth{market="TOKEN-USD",side="bid"}',
    "best_spread": 'tillbook_best_spread{market="TOKEN-USD"}',
    "ready": "tillbook_ready",
}


def line_of(figure: str, scraped: str) -> str:
    """Return the line of a scrape that has ``figure``."""
    (line,) = (x for x in scraped.splitlines() if x.startswith(COUNTED[figure] + " "))
    return line


def test_an_operator_drains_takes_it_back_and_stops(running):
    here = running()
    order = b'{"account": "0x00"}'

    def placed() -> tuple[int, str]:
        status, _, body = ask(here.port, "POST", "/v1/orders", order)
        return status, orjson.loads(body)["outcome"]

    assert placed() == (400, "MALFORMED")
    assert here.admin("POST", "/drain", {"reason": "a look"})[0] == 200
    assert ask(here.port, "GET", "/readyz")[0] == 503
    assert placed() == (503, "SHUTTING_DOWN")
    assert ask(here.port, "GET", "/v1/markets")[0] == 200
    assert here.admin("POST", "/undrain", {"reason": "it was nothing"})[0] == 200
    assert placed() == (400, "MALFORMED")

    def scraped() -> str:
        token = (here.directory / "operator.token").read_text()
        return ask(here.port, "GET", "/metrics", headers={"Authorization": f"Bearer {token}"})[
            2
        ].decode()

    until("a second has passed for the loop", lambda: " 0.0" not in line_of("loop_lag", scraped()))
    for figure in ("stage", "journal_sync", "book_depth", "best_spread", "ready"):
        assert " 0.0" not in line_of(figure, scraped()), figure

    def stop() -> None:
        body = {"reason": "a new version", "stop_after_seconds": 0}
        status, state = here.admin("POST", "/drain", body)
        assert (status, state["draining"]) == (200, True)

    heard, code = asyncio.run(last_words(here, stop))
    assert heard[-2:] == ["draining", "shutdown"]
    assert code == 1012
    output, _ = here.process.communicate(timeout=3 * END_SECONDS_MAX)
    assert here.process.returncode == 0, output


def test_what_was_answered_is_there_after_a_kill(running):
    first = running()
    band = {"lowest_ticks": 240_000, "highest_ticks": 260_000, "reason": "quiet please"}
    assert first.admin("POST", "/markets/TOKEN-USD/band", band)[0] == 200
    halt = {"phase": "CANCEL_ONLY", "reason": "a look at it"}
    status, done = first.admin("POST", "/markets/TOKEN-USD/phase", halt)
    first.process.kill()
    assert status == 200
    first.process.communicate()

    second = running()
    row = second.admin("GET", "/markets")[1]["markets"][0]
    assert (row["phase"], row["lowest_ticks"]) == ("CANCEL_ONLY", 240_000)
    assert second.admin("GET", "/state")[1]["sequence"] >= done["sequence"]
    status, _ = second.admin("POST", "/snapshot", {"reason": "to see it"})
    assert status == 202

    def is_kept() -> bool:
        now = second.admin("GET", "/state")[1]
        return not now["snapshot_under_way"] and now["snapshot_sequence"] >= done["sequence"]

    until("the snapshot is kept", is_kept)
    code, output = second.stop()
    assert code == 0, output


def test_whoever_does_not_end_in_time_is_ended():
    codes, ended = [], threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    with HardLimit(0, end) as limit:
        limit.begin()
        assert ended.wait(10)
        limit.begin()
    assert codes == [EXIT_LATE]
    with HardLimit(3_600, end) as limit:
        limit.begin()
    with HardLimit(0, end):
        pass
    assert codes == [EXIT_LATE], "who ends in time is left alone"
