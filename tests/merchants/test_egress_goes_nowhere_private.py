"""A stranger's URL cannot make us reach into private networks, wait or read without end."""

import asyncio
import socket

import pytest

from merchants.webhooks.egress import HEAD_SIZE_MAX, HttpEgress
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
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_SIZE_MAX * 2),
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200",
        b"\x00" * 100,
        b"",
    ],
)
def test_what_is_not_http_is_a_failed_attempt(raw):
    with receiving() as shop:
        shop.raw = raw
        answer = posted(shop.url)
        assert answer.status == 0 and answer.error


def test_a_closed_port_is_a_failed_attempt():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    answer = posted(f"http://127.0.0.1:{port}/")
    assert answer.status == 0 and "Connection" in answer.error
