"""What does a bridge answer? Orders it signs; all else it hands on, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from gateway.api.binance.bridge.exchange import RemoteExchange
from gateway.api.binance.bridge.signing import FRAMES, PATHS, TRIES, TRY_AGAIN, OrderSigner
from gateway.api.binance.errors import Code, Refused, document_of, refused
from gateway.api.binance.params import Params, parsed
from gateway.api.binance.signing import SIGNATURE, payload_of_request, payloads_of_frame
from gateway.api.binance.stream.request_api import Frame, texts_of
from gateway.http.body import DECODE_ERRORS
from gateway.http.lifecycle import Lifecycle

KEY_HEADER: Final = "x-mbx-apikey"
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
HANDED_ON: Final = ("content-type", "retry-after")
METHODS: Final = ["GET", "POST", "PUT", "DELETE"]
FRAME_BYTES_MAX: Final = 1 << 22
GOING_AWAY: Final = 1001

_frames = msgspec.json.Decoder(Frame, float_hook=str)
_outcomes = msgspec.json.Decoder(dict[str, Any])


def bridge_app(exchange: RemoteExchange, signer: OrderSigner, base: str) -> FastAPI:
    """Return the bridge's application; ``base`` is the exchange's address."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await exchange.http.aclose()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.lifecycle = Lifecycle()
    bridge = Bridge(exchange, signer, "ws" + base.removeprefix("http"))
    for path in ("/api/v3/{path:path}", "/sapi/v1/{path:path}"):
        app.add_route(path, bridge.answer, methods=METHODS)
    for path in ("/ws", "/ws/{names:path}", "/stream"):
        app.add_api_websocket_route(path, bridge.follow)
    app.add_api_websocket_route("/ws-api/v3", bridge.talk)
    return app


class Bridge:
    """Between a trader's tools and the exchange."""

    def __init__(self, exchange: RemoteExchange, signer: OrderSigner, socket_base: str) -> None:
        self._exchange = exchange
        self._signer = signer
        self._socket_base = socket_base

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.method == "POST" and request.url.path in PATHS:
                return _handed_on(await self._order(request))
            return _handed_on(await self._pass_on(request))
        except Refused as problem:
            return _problem(problem)
        except httpx.HTTPError as error:
            words = f"The exchange does not answer: {type(error).__name__}"
            return _problem(refused(Code.SERVER_BUSY, words, 503))

    async def _pass_on(self, request: Request) -> httpx.Response:
        headers = {
            name: request.headers[name]
            for name in (KEY_HEADER, "content-type", "authorization")
            if name in request.headers
        }
        query = request.scope["query_string"].decode("latin-1")
        target = f"{request.url.path}?{query}" if query else request.url.path
        body = await request.body()
        return await self._exchange.http.request(
            request.method, target, content=body, headers=headers
        )

    async def _order(self, request: Request) -> httpx.Response:
        query = request.scope["query_string"].decode("latin-1")
        try:
            body = (await request.body()).decode("ascii")
        except UnicodeDecodeError:
            raise refused(Code.ILLEGAL_CHARS, "Illegal characters found in the body.") from None
        params, key = Params(parsed(query, body)), request.headers.get(KEY_HEADER, "")
        self._signer.require_own(key, params, payload_of_request(query, body))
        for _ in range(TRIES):
            texts = await self._signer.with_order(params)
            answer = await self._exchange.http.post(
                request.url.path,
                content=self._signer.sealed_form(texts),
                headers={KEY_HEADER: key, **FORM},
            )
            if not _is_taken_place(answer):
                break
            await self._signer.look_again()
        return answer

    # WebSockets

    async def follow(self, socket: WebSocket) -> None:
        """Hand market streams on."""
        await self._joined(socket, _Plain())

    async def talk(self, socket: WebSocket) -> None:
        """Hand requests on, orders signed."""
        await self._joined(socket, _Signing(self._signer))

    async def _joined(self, socket: WebSocket, manners: "_Plain") -> None:
        query = socket.scope["query_string"].decode("latin-1")
        target = f"{self._socket_base}{socket.url.path}" + (f"?{query}" if query else "")
        try:
            upstream = await connect(target, compression=None, proxy=None, max_size=FRAME_BYTES_MAX)
        except (OSError, InvalidHandshake, TimeoutError):
            await socket.close(GOING_AWAY)
            return
        await socket.accept()
        tasks = {
            asyncio.create_task(_down(upstream, socket)),
            asyncio.create_task(manners.up(socket, upstream)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await upstream.close()
            with suppress(RuntimeError, OSError, WebSocketDisconnect):
                await socket.close(GOING_AWAY)


class _Plain:
    """Hands each message on as it is."""

    async def up(self, socket: WebSocket, upstream: ClientConnection) -> None:
        """Hand on what the client says until it leaves."""
        with suppress(WebSocketDisconnect, ConnectionClosed):
            while True:
                text = await self.said(socket, await socket.receive_text())
                if text is not None:
                    await upstream.send(text)

    async def said(self, socket: WebSocket, text: str) -> str | None:
        """Return what is to be handed on."""
        return text


class _Signing(_Plain):
    """Adds the native order to requests that place one."""

    def __init__(self, signer: OrderSigner) -> None:
        self._signer = signer
        self._is_logged_on = False

    async def said(self, socket: WebSocket, text: str) -> str | None:
        """See ``_Plain``; a request that is refused here is answered here."""
        try:
            frame = _frames.decode(text)
        except DECODE_ERRORS:
            return text
        if frame.method not in (*FRAMES, "session.logon"):
            return text
        try:
            params = Params(texts_of(frame.params))
            if params.text(SIGNATURE) or not self._is_logged_on:
                payloads = payloads_of_frame(params.texts)
                self._signer.require_own(params.text("apiKey"), params, *payloads)
            if frame.method not in FRAMES:
                self._is_logged_on = True
                return text
            texts = self._signer.sealed_frame(await self._signer.with_order(params))
        except Refused as problem:
            error = {"status": problem.saying.status, "error": document_of(problem)}
            await socket.send_text(msgspec.json.encode({"id": frame.id, **error}).decode())
            return None
        except httpx.HTTPError:
            busy = {"code": int(Code.SERVER_BUSY), "msg": "The exchange does not answer."}
            said = {"id": frame.id, "status": 503, "error": busy}
            await socket.send_text(msgspec.json.encode(said).decode())
            return None
        signed = {"id": frame.id, "method": frame.method, "params": texts}
        return msgspec.json.encode(signed).decode()


async def _down(upstream: ClientConnection, socket: WebSocket) -> None:
    """Hand on what the exchange says until it leaves."""
    with suppress(WebSocketDisconnect, ConnectionClosed, RuntimeError, OSError):
        async for message in upstream:
            await socket.send_text(message if isinstance(message, str) else message.decode())


def _is_taken_place(answer: httpx.Response) -> bool:
    if answer.is_success:
        return False
    try:
        document = _outcomes.decode(answer.content)
    except DECODE_ERRORS:
        return False
    return document.get("x_outcome") in TRY_AGAIN


def _handed_on(answer: httpx.Response) -> Response:
    headers: Mapping[str, str] = {
        name: text
        for name, text in answer.headers.items()
        if name in HANDED_ON or name.startswith("x-mbx-")
    }
    return Response(answer.content, answer.status_code, headers)


def _problem(problem: Refused) -> Response:
    content = msgspec.json.encode(document_of(problem))
    return Response(content, problem.saying.status, media_type="application/json")
