"""Is the address ours? Asked before anything expensive is started, and kept from then on.

A socket that is bound and does not listen yet keeps others away, and whoever connects meanwhile is
refused, as it should be of a server that is not there yet.
"""

import errno
import socket


class CannotListenError(OSError):
    """The address is taken, or none of this machine's; the message says which."""


def bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address, 0 for any free port. Raises ``CannotListenError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With SO_REUSEADDR two that start together could both bind, and one would learn it at the end
    # of its start. Without it what is left of old connections would keep us out for a minute.
    try:
        return _bound(family, host, port, is_shared=False)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise _cannot(error, host, port) from None
    try:
        return _bound(family, host, port, is_shared=True)
    except OSError as error:
        raise _cannot(error, host, port) from None


def listen(listening: socket.socket, backlog: int) -> None:
    """Let others connect to a bound socket. Raises ``CannotListenError``."""
    # Connections inherit it: what is left of them must not keep the next start out.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.listen(backlog)
    except OSError as error:
        raise _cannot(error, *listening.getsockname()[:2]) from None


def _bound(family: socket.AddressFamily, host: str, port: int, *, is_shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, is_shared)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _cannot(error: OSError, host: str, port: int) -> CannotListenError:
    return CannotListenError(f"cannot listen on {host} port {port}: {error.strerror}")
