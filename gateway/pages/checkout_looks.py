"""What does an invoice show now, to however many ask?

It is looked up at most once in ``FRESH_SECONDS``, on a thread, for all that ask meanwhile; and
drawn once a language for as long as it stays what it was. Streams look for themselves, the less
often the more there are: together they cost no more than ``LOOKS_PER_SECOND`` looks.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.types import Outcome
from gateway.pages.checkout_view import CheckoutPage, Reading, qr_of, reading_of
from gateway.pages.languages import Language
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection
from merchants.documents.checkout import ENDED, PAYABLE, Checkout
from merchants.documents.reader import Reader

FRESH_SECONDS: Final = 0.5
LOOKS_KEPT: Final = 1_000
READERS_MAX: Final = 2

RECEIPTS_MAX: Final = 256
PROOFS_KEPT: Final = 64
PROOF_FRESH_SECONDS: Final = 30

LOOKS_PER_SECOND: Final = 100
STREAM_SECONDS: Final = 45
"""A stream ends then and its page comes again: the door lets no answer take longer than a minute,
and whoever does not read is cut off there at the latest."""

SEND_SECONDS: Final = 5
"""A reader that has not taken a state within so long is dropped."""

CLOCK_SECONDS: Final = 15
"""Between two words on a stream on which nothing changes."""

Found = TypeVar("Found")


class Drawn(NamedTuple):
    """A state as one reading of it is sent."""

    state: bytes
    etag: str


class Look:
    """What an invoice showed when it was last looked at; good until ``stale_at``."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.stale_at: float = 0
        self.drawn: dict[Reading, Drawn] = {}


class Looks:
    """The last looks at invoices. ``now`` is a monotonic clock in seconds."""

    def __init__(
        self, reader: Reader, pages: CheckoutPage, fresh_seconds: float, now: Callable[[], float]
    ) -> None:
        self._reader = reader
        self._pages = pages
        self._fresh_seconds = fresh_seconds
        self._now = now
        self._threads = ThreadPoolExecutor(READERS_MAX, "checkout")
        self._looks: dict[str, Look] = {}
        self._proofs: dict[str, tuple[float, bytes]] = {}
        self._asked: dict[str, asyncio.Future[Checkout | None]] = {}
        self._proving: dict[str, asyncio.Future[bytes | None]] = {}

    async def at(self, invoice_id: str) -> Look:
        """Return what an invoice shows; refused when there is none."""
        known = self._looks.get(invoice_id)
        if known is None or self._now() >= known.stale_at:
            checkout = await self._once(self._asked, invoice_id, self._read)
            if checkout is None:
                raise Rejection(Outcome.NOT_FOUND, "There is no such invoice.")
            known = self._looks.get(invoice_id)
            if known is None or known.checkout != checkout:
                known = Look(checkout)
            known.stale_at = self._now() + self._fresh_seconds
        self._looks.pop(invoice_id, None)
        if len(self._looks) >= LOOKS_KEPT:
            del self._looks[next(iter(self._looks))]
        self._looks[invoice_id] = known
        return known

    def forget(self, invoice_id: str) -> None:
        """Look anew the next time: it was just changed."""
        self._looks.pop(invoice_id, None)

    async def state(self, invoice_id: str, language: Language, token: str) -> tuple[Look, Drawn]:
        """Return what an invoice shows to who reads it so."""
        look = await self.at(invoice_id)
        reading = reading_of(look.checkout, language, token)
        drawn = look.drawn.get(reading)
        if drawn is None:
            state = self._pages.state(look.checkout, reading)
            drawn = look.drawn[reading] = Drawn(state, f'"{sha256(state).hexdigest()[:16]}"')
        return look, drawn

    async def proofs(self, invoice_id: str) -> bytes:
        """Return a document with the proofs of an invoice's first sales; refused when there is no
        such invoice. They are kept: to put one together a batch is decoded."""
        known = self._proofs.get(invoice_id)
        if known is None or self._now() >= known[0]:
            document = await self._once(self._proving, invoice_id, self._prove)
            if document is None:
                raise Rejection(Outcome.NOT_FOUND, "There is no such invoice.")
            known = (self._now() + PROOF_FRESH_SECONDS, document)
            self._proofs.pop(invoice_id, None)
            if len(self._proofs) >= PROOFS_KEPT:
                del self._proofs[next(iter(self._proofs))]
            self._proofs[invoice_id] = known
        return known[1]

    def _prove(self, invoice_id: str) -> bytes | None:
        sales = self._reader.sales(invoice_id)
        if sales is None:
            return None
        first, room = [], RECEIPTS_MAX
        for one in sales:
            first.append(one._replace(trade_ids=one.trade_ids[:room]))
            room -= len(first[-1].trade_ids)
        return msgspec.json.encode(
            {
                "invoice": invoice_id,
                "trades": sum(len(one.trade_ids) for one in sales),
                "receipts": self._reader.receipts(first),
            }
        )

    async def _once(
        self,
        asked: "dict[str, asyncio.Future[Found | None]]",
        invoice_id: str,
        question: Callable[[str], Found | None],
    ) -> Found | None:
        """Ask once for all who ask at the same time."""
        answer = asked.get(invoice_id)
        if answer is None:
            loop = asyncio.get_running_loop()
            answer = loop.run_in_executor(self._threads, question, invoice_id)
            asked[invoice_id] = answer
            answer.add_done_callback(lambda _: asked.pop(invoice_id, None))
        # Whoever leaves meanwhile takes the answer from nobody else.
        return await asyncio.shield(answer)

    def _read(self, invoice_id: str) -> Checkout | None:
        checkout = self._reader.checkout(invoice_id)
        if checkout is not None and checkout.phase in PAYABLE:
            qr_of(checkout.invoice.deposit_address)  # Ten milliseconds for a new address: kept.
        return checkout


class StreamBounds(NamedTuple):
    """How many streams there may be, and how long and how often they look."""

    all_max: int = 1_000
    per_network_max: int = 16
    stream_seconds: float = STREAM_SECONDS
    send_seconds: float = SEND_SECONDS
    look_seconds: float = 1.0


STREAM_BOUNDS: Final = StreamBounds()


class Streams:
    """Counts the streams that are open."""

    def __init__(self, bounds: StreamBounds) -> None:
        self.bounds = bounds
        self._networks: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Return how many are open."""
        return self._networks.total()

    @property
    def look_seconds(self) -> float:
        """Return how long each stream waits between two looks."""
        return max(self.bounds.look_seconds, self.count / LOOKS_PER_SECOND)

    def join(self, client: str) -> str:
        """Count one stream more of a client's network, which is returned; refused where there are
        too many: the page then asks from time to time instead."""
        network = network_of(client)
        if self._networks[network] >= self.bounds.per_network_max:
            raise Rejection(Outcome.RATE_LIMITED, "too many streams of this address", {}, 5)
        if self.count >= self.bounds.all_max:
            raise Rejection(Outcome.OVERLOADED, "too many streams; ask from time to time", {}, 5)
        self._networks[network] += 1
        return network

    def leave(self, network: str) -> None:
        """Forget a stream."""
        self._networks[network] -= 1
        if not self._networks[network]:
            del self._networks[network]


class StateStream(Response):
    """Server-sent events: the state when it changes, and the server's time."""

    def __init__(
        self,
        streams: Streams,
        client: str,
        look: Callable[[], Coroutine[None, None, tuple[Look, Drawn]]],
        now_s: Callable[[], int],
        is_closing: Callable[[], bool],
        headers: dict[str, str],
    ) -> None:
        super().__init__(None, headers=headers, media_type="text/event-stream")
        del self.headers["content-length"]
        self._streams = streams
        self._client = client
        self._look = look
        self._now_s = now_s
        self._is_closing = is_closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the sale has ended, the reader has gone, or it has been long enough."""
        network = self._streams.join(self._client)
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await self._send_all(send, gone)
        finally:
            gone.cancel()
            self._streams.leave(network)

    async def _send_all(self, send: Send, gone: "asyncio.Future[None]") -> None:
        bounds, loop = self._streams.bounds, asyncio.get_running_loop()
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        ends_at, told, spoke_at = loop.time() + bounds.stream_seconds, "", float("-inf")
        while loop.time() < ends_at and not gone.done() and not self._is_closing():
            look, drawn = await self._look()
            is_new = drawn.etag != told
            if is_new or loop.time() - spoke_at >= CLOCK_SECONDS:
                state = b"event: state\ndata: %b\n\n" % drawn.state if is_new else b""
                clock = b"retry: 500\nevent: clock\ndata: %d\n\n" % self._now_s()
                await self._send(send, clock + state)
                told, spoke_at = drawn.etag, loop.time()
            if look.checkout.phase in ENDED:
                await self._send(send, b"event: end\ndata:\n\n")
                break
            await asyncio.wait({gone}, timeout=self._streams.look_seconds)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(self._streams.bounds.send_seconds):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError as slow:
            raise ClientDisconnect from slow


async def _gone(receive: Receive) -> None:
    """Return when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
