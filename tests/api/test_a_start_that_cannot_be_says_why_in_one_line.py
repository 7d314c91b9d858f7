"""The port is taken, or the directory is: whoever starts us reads a sentence, not a traceback."""

import asyncio
import errno
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from engine.journal.storage import StorageInUse
from gateway.cli import main as cli
from gateway.http.listening import CannotListenError, bound, listen
from gateway.http.server import HttpServer
from settlement.chain.dev.devchain import DevChainError
from tests.processes import Tillbook


def test_found_a_port_that_is_taken_ended_in_an_assertion() -> None:
    async def story(port: int) -> None:
        with pytest.raises(CannotListenError, match=f"{port}.*in use"):
            await HttpServer(FastAPI(), "127.0.0.1", port).start()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(story(taken.getsockname()[1]))


@pytest.mark.parametrize("kind", [StorageInUse, CannotListenError, DevChainError])
def test_what_can_be_mended_is_one_line(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    async def start() -> int:
        raise kind("another process has it")

    with pytest.raises(SystemExit) as ended:
        cli._run(start())
    assert ended.value.code == 1
    assert capsys.readouterr().out == "another process has it\n"


def full_database() -> None:
    with sa.create_engine("sqlite://").connect() as db:
        db.execute(sa.text("CREATE TABLE rows (body BLOB)"))
        db.execute(sa.text("PRAGMA max_page_count = 2"))
        db.execute(sa.text("INSERT INTO rows VALUES (zeroblob(100000))"))


def full_file() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("write", [full_database, full_file])
def test_found_a_full_disk_was_a_traceback(
    write: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    async def start() -> int:
        write()
        return 0

    with pytest.raises(SystemExit) as ended:
        cli._run(start())
    assert ended.value.code == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_whoever_starts_keeps_the_address_from_others_that_start() -> None:
    with bound("127.0.0.1", 0) as ours:
        port = ours.getsockname()[1]
        with pytest.raises(CannotListenError, match=f"{port}.*in use"):
            bound("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        listen(ours, 1)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_what_is_left_of_old_connections_keeps_no_start_out() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        listen(first, 1)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            first.accept()[0].close()  # Who closes first is left in TIME_WAIT.
            assert client.recv(1) == b""
    with bound("127.0.0.1", port) as second:
        listen(second, 1)


def tillbook(*arguments: str) -> tuple[int, str]:
    """Run the command in a process of its own; return exit code and all that it said."""
    process = Tillbook(*arguments)
    said, _ = process.communicate(timeout=60)
    return process.wait(), said


def test_found_a_port_that_is_taken_was_told_after_half_a_minute(tmp_path: Path) -> None:
    """Chain, contracts and journal were started first; now nothing is there when it ends."""
    directory, file = tmp_path / "new", tmp_path / "file"
    file.write_text("")
    serving = [
        word
        for name in ("--deployment", "--keystore", "--password-file", "--markets")
        for word in (name, str(file))
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in (["run"], ["serve", "--rpc", "http://127.0.0.1:1", *serving]):
            code, said = tillbook(*command, "--data", str(directory), "--port", port)
            assert (code, said.count("\n")) == (1, 1), said
            assert port in said and "in use" in said
            assert not directory.exists()


@pytest.mark.parametrize(
    "command",
    [
        ["receipt", "inv_1"],
        ["export", "--to", "TMP/export"],
        ["journal", "verify"],
        ["journal", "dump"],
        ["journal", "repair-tail"],
        ["journal", "trim", "--exported", "TMP"],
    ],
    ids=" ".join,
)
def test_found_looking_at_no_exchange_was_a_traceback_or_made_one(
    command: list[str], tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    words = [word.replace("TMP", str(tmp_path)) for word in command]
    code, said = tillbook(*words, "--data", str(nowhere))

    assert code == 1 and said.startswith(f"There is no exchange in {nowhere}"), said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing was made"


@pytest.mark.parametrize("command", [["run", "--port", "0"], ["demo"], ["acknowledger"]])
def test_a_directory_that_is_none_is_no_traceback(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        code, said = tillbook(*command, "--data", str(data))
        assert code in (1, 2) and "Traceback" not in said, said
