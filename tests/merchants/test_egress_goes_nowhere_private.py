"""A stranger's URL cannot make us reach into private networks, wait or read without end."""

import asyncio
import socket
import threading

import pytest

from merchants.webhooks.egress import HttpEgress
from merchants.webhooks.places import is_public, judged
from tests.merchants.receiver import receiving


def posted(url, *, loopback_allowed=True):
    return asyncio.run(HttpEgress(loopback_allowed=loopback_allowed).post(url, {"a": "b"}, b"{}"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[fd00::1]",
        "[fe80::1]",
        "224.0.0.1",
        "2130706433",
        "0x7f.1",
    ],
)
def test_no_address_that_is_not_public(host):
    answer = posted(f"https://{host}/", loopback_allowed=False)
    assert answer.status == 0
    assert "is not a public address" in answer.error or "gaierror" in answer.error, answer


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "192.168.0.1", "0.0.0.0"])
def test_development_opens_this_machine_and_nothing_else(host):
    answer = posted(f"http://{host}/")
    assert answer.status == 0 and "is not a public address" in answer.error


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "https://user:secret@8.8.8.8/",
        "https://",
        "//8.8.8.8/",
        "https://8.8.8.8:99999/",
        "https://8.8.8.8/" + "a" * 4096,
    ],
)
def test_only_plain_https_urls(url):
    assert posted(url, loopback_allowed=False).status == 0


def test_no_line_break_reaches_the_wire():
    with receiving() as shop:
        for path in ("/a HTTP/1.1\r\nX-Evil: 1", "/a b", "/ä", "/a\x00"):
            assert posted(shop.url + path).status == 0
        assert shop.seen == []


@pytest.mark.parametrize("status", [200, 204, 301, 404, 410, 500])
def test_the_status_comes_back_and_redirects_are_not_followed(status):
    with receiving() as shop:
        shop.answer = lambda path: (status, {"Location": "/elsewhere", "Retry-After": "17"})
        answer = posted(shop.url + "/hook")
        assert (answer.status, answer.retry_after_s) == (status, 17)
        assert [path for path, _, _ in shop.seen] == ["/hook"]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\x00" * 100,
        b"",
    ],
)
def test_what_is_not_http_is_a_failed_attempt(raw):
    with receiving() as shop:
        shop.raw = raw
        answer = posted(shop.url)
        assert not 200 <= answer.status < 300 and (answer.status or answer.error)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(101)) + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_found_a_legal_answer_was_a_failed_attempt(raw):
    """More than 100 headers were sent again for ever; an interim answer was taken for the last."""
    with receiving() as shop:
        shop.raw = raw
        assert 200 <= posted(shop.url).status < 300


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "::7f00:1",
        "::169.254.169.254",
        "::ffff:0:7f00:1",
        "::ffff:10.0.0.1",
        "fec0::1",
        "2001:0:5ef5:79fb::1",
        "2001:db8::1",
        "100::1",
        "5f00::1",
        "192.0.0.8",
        "192.0.0.170",
        "192.88.99.1",
        "198.18.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_found_private_addresses_in_the_spelling_of_public_ones(address):
    assert not is_public(judged(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2600::1"]
)
def test_what_ends_at_a_public_address_is_reached_however_it_is_spelt(address):
    assert is_public(judged(address))


def test_a_name_with_several_addresses_is_tried_at_each():
    """On most machines `localhost` is ::1 first, where nobody listens here."""
    with receiving() as shop:
        port = shop.url.rpartition(":")[2]
        assert posted(f"http://localhost:{port}/").status == 200
        assert shop.seen[0][1]["Host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://a:b@shop.example/", "http://shop.example/", "https://[::"]
)
def test_a_url_that_can_never_work_is_known_at_once(url):
    assert HttpEgress().rejection(url)
    assert not HttpEgress().rejection("https://shop.example/hook")


@pytest.mark.parametrize("name", ["xn--fa-hia.de", "xn--strae-oqa.de", "xn--nxasmm1c.com"])
def test_found_an_internationalised_name_was_looked_up_as_another(name):
    """Read as a word and written again by older tables, xn--fa-hia.de became fass.de: somebody
    else's. The name goes out as it came."""
    asked = []

    def lookup(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    with receiving() as shop:
        port = shop.url.rpartition(":")[2]
        egress = HttpEgress(loopback_allowed=True, lookup=lookup)
        url = f"http://{name}:{port}/hook"
        assert not egress.rejection(url)
        assert asyncio.run(egress.post(url, {}, b"{}")).status == 200
        assert shop.seen[0][1]["Host"] == f"{name}:{port}"
    assert asked == [name]


def test_the_certificate_is_asked_for_by_the_name_that_was_looked_up():
    greetings = []

    async def greeted(reader, writer):
        greetings.append(await reader.read(2000))
        writer.close()

    async def play():
        server = await asyncio.start_server(greeted, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        egress = HttpEgress(loopback_allowed=True, lookup=lambda host, port: ["127.0.0.1"])
        await egress.post(f"https://xn--fa-hia.example:{port}/", {}, b"{}")
        server.close()

    asyncio.run(play())
    assert b"xn--fa-hia.example" in greetings[0]


@pytest.mark.parametrize(
    "host", ["xn--", "xn--.de", "shop.xn--", "xn--999999999", "a..b", ".", "a" * 64, "a." * 127]
)
def test_found_a_host_that_is_no_name_was_a_fault_of_ours(host):
    url = f"https://{host}/"
    assert HttpEgress().rejection(url)
    answer = posted(url, loopback_allowed=False)
    assert answer.status == 0 and answer.error


def test_a_closed_port_is_a_failed_attempt():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    answer = posted(f"http://127.0.0.1:{port}/")
    assert answer.status == 0 and "ConnectError" in answer.error


def test_found_names_that_hang_kept_all_other_shops_waiting():
    """A name server that never answers: more lookups than the loop's own pool has threads."""
    hangs = threading.Event()

    def lookup(host, port):
        if host == "hangs.example":
            hangs.wait()
        return ["127.0.0.1"]

    async def both(url):
        egress = HttpEgress(loopback_allowed=True, lookup=lookup)
        slow = [
            asyncio.create_task(egress.post("http://hangs.example/", {}, b"{}")) for _ in range(40)
        ]
        fast = asyncio.create_task(egress.post(url, {}, b"{}"))
        try:
            return await fast, [task.done() for task in slow]
        finally:
            hangs.set()
            await asyncio.gather(*slow)

    with receiving() as shop:
        answer, are_done = asyncio.run(both(shop.url))
    assert answer.status == 200 and not any(are_done)
