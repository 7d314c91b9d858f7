"""Messages are the same however the network has cut them, and whatever stands between them.

Whole texts are read by us and all else by the library, so both must agree where a frame begins.
"""

import asyncio
import base64
import random
from collections.abc import Iterator

import pytest
from websockets.frames import Frame, Opcode

from gateway.http.body import BODY_MAX
from gateway.http.client_frames import head_at, text_of
from tests.api.fixtures import Venue, served

UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
COUNT = 60


def ping_text(number: int, size: int) -> bytes:
    return b'{"op":"ping","id":%d' % number + b" " * size + b"}"


def frames(dice: random.Random) -> Iterator[bytes]:
    """Texts whole and in fragments, of all three widths of a length, with pings in between."""
    for number in range(COUNT):
        text = ping_text(number, dice.choice([0, 0, 90, 98, 99, 100, 700, 3_000, 65_000]))
        if dice.random() < 0.3:
            yield Frame(Opcode.PING, dice.randbytes(dice.randrange(126))).serialize(mask=True)
        if dice.random() < 0.7:
            yield Frame(Opcode.TEXT, text).serialize(mask=True)
            continue
        cut = dice.randrange(len(text))
        yield Frame(Opcode.TEXT, text[:cut], fin=False).serialize(mask=True)
        yield Frame(Opcode.PONG, b"").serialize(mask=True)
        yield Frame(Opcode.CONT, text[cut:]).serialize(mask=True)


def pieces(stream: bytes, dice: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(stream):
        size = dice.choice([1, 2, 3, 7, 500, 1_024, 40_000])
        yield stream[at : at + size]
        at += size


@pytest.mark.parametrize("seed", range(4))
def test_every_message_is_heard_once_and_in_order(seed: int) -> None:
    async def story() -> None:
        dice = random.Random(seed)
        async with served(Venue()) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            stream = b"".join(frames(dice))
            writer.write(UPGRADE)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            for piece in pieces(stream, dice):
                writer.write(piece)
                await asyncio.sleep(0)
            for number in range(COUNT):
                assert b'"id":%d,' % number in await reader.readuntil(b"}}")
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Frame(Opcode.TEXT, b"{}").serialize(mask=False), 1002),
        (b"\xc1" + Frame(Opcode.TEXT, b"{}").serialize(mask=True)[1:], 1002),
        (Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True), 1007),
        (b"\x81\xff" + (BODY_MAX + 1).to_bytes(8, "big") + bytes(4), 1009),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), 1009),
        (b"\x01\x80" + bytes(4) + Frame(Opcode.TEXT, b"{}").serialize(mask=True), 1002),
    ],
    ids=["unmasked", "compressed", "no text", "too long", "endless", "text within a message"],
)
def test_what_is_wrong_is_refused_by_its_code(wrong: bytes, code: int) -> None:
    async def story() -> None:
        async with served(Venue()) as up:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            writer.write(UPGRADE)
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(wrong)
            head = await reader.readexactly(2)
            assert head[0] == 0x88
            assert int.from_bytes(await reader.readexactly(2), "big") == code
            writer.close()

    asyncio.run(story())


def test_a_head_is_read_as_the_library_reads_it() -> None:
    dice = random.Random(1)
    for size in [0, 1, 125, 126, 127, 65_535, 65_536]:
        text = "".join(dice.choices("aé€", k=size)).encode()
        framed = Frame(Opcode.TEXT, text).serialize(mask=True)
        assert all(head_at(framed[:at], 0) is None for at in range(len(framed) - len(text)))
        head = head_at(b"??" + framed + b"more", 2)
        assert head is not None and head.is_whole_text
        assert head.end == 2 + len(framed)
        assert text_of(b"??" + framed, head).encode() == text
