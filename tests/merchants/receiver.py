"""A shop's endpoint: a real HTTP server on loopback that answers as it is told and remembers."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """``answer(path)`` gives (status, headers); ``seen`` is (path, headers, body) in order."""

    def __init__(self):
        self.answer = lambda path: (200, {})
        self.seen = []
        self.raw = None
        self.url = ""


@contextmanager
def receiving():
    """Serve a ``Receiver`` until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.seen.append((self.path, dict(self.headers), body))
            if receiver.raw is not None:
                self.wfile.write(receiver.raw)
                return
            status, headers = receiver.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()
