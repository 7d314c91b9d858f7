"""How does a shop hear that it has been paid?

A small receiver on loopback that checks each webhook's signature as any shop would and remembers
the event types it was told, each message id once.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

BODY_MAX = 1 << 16
Verify = Callable[[bytes, dict[str, str]], bool]


class Shop:
    """A webhook endpoint; ``heard`` maps message id to event type."""

    def __init__(self, port: int, verify: Verify) -> None:
        """Listen on loopback ``port`` (0 for any); ``verify(body, headers)`` judges a message."""
        self.heard: dict[str, str] = {}
        self.refused = 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("content-length", "0")), BODY_MAX)
                body = self.rfile.read(size)
                headers = {name.lower(): value for name, value in self.headers.items()}
                accepted = verify(body, headers)
                if accepted:
                    shop.heard[headers["webhook-id"]] = str(orjson.loads(body)["type"])
                else:
                    shop.refused += 1
                self.send_response(204 if accepted else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the story has its own voice."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/tillbook"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="shop").start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
