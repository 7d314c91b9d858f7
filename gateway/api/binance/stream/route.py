"""Where do the WebSockets of this dialect begin?"""

from collections.abc import Callable

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from engine.types import Outcome
from gateway.api.binance.desk import Desk
from gateway.api.binance.stream.market_streams import STREAMS_A_REQUEST, MarketStreams
from gateway.api.binance.stream.request_api import RequestApi
from gateway.api.binance.stream.streams import Streams
from gateway.http.clients import Clients
from gateway.http.problems import answer_of
from gateway.http.websocket import WIRE, Wire
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection

CONNECTIONS_MAX = 12_000


def sockets_of(desk: Desk, clients: Clients, per_client: int) -> APIRouter:
    """Return the routes of streams and of the request API. ``per_client`` is how many WebSockets
    one network may have."""
    router, streams = APIRouter(), Streams(desk)

    async def plain(socket: WebSocket) -> None:
        names = socket.path_params.get("names", "").split("/")
        await follow(socket, names, is_combined=False)

    async def combined(socket: WebSocket) -> None:
        names = socket.query_params.get("streams", "").split("/")
        await follow(socket, names, is_combined=True)

    async def follow(socket: WebSocket, names: list[str], *, is_combined: bool) -> None:
        def made(wire: Wire, client: str) -> MarketStreams:
            market = MarketStreams(desk, socket, wire, client, streams, is_combined)
            market.follow([name for name in names if name])
            return market

        weight = 1 + len(names) // STREAMS_A_REQUEST
        await _serve(desk, clients, per_client, socket, made, weight)

    async def requests(socket: WebSocket) -> None:
        def made(wire: Wire, client: str) -> RequestApi:
            return RequestApi(desk, socket, wire, client)

        await _serve(desk, clients, per_client, socket, made)

    router.add_api_websocket_route("/ws", plain)
    router.add_api_websocket_route("/ws/{names:path}", plain)
    router.add_api_websocket_route("/stream", combined)
    router.add_api_websocket_route("/ws-api/v3", requests)
    return router


async def _serve(
    desk: Desk,
    clients: Clients,
    per_client: int,
    socket: WebSocket,
    made: Callable[[Wire, str], MarketStreams | RequestApi],
    weight: int = 1,
) -> None:
    client, life = clients.of(socket), desk.lifecycle
    try:
        desk.limits.request(client, weight)
        life.require_open()
        if life.connection_count >= CONNECTIONS_MAX:
            raise Rejection(Outcome.OVERLOADED, f"more than {CONNECTIONS_MAX} connections")
        if life.count_of(network_of(client)) >= per_client:
            raise Rejection(
                Outcome.OVERLOADED, f"more than {per_client} connections from your network"
            )
    except Rejection as rejection:
        try:
            await socket.send_denial_response(answer_of(rejection))
        except (OSError, RuntimeError):
            raise WebSocketDisconnect from None
        return
    conversation = made(socket.scope["extensions"][WIRE], client)
    try:
        await conversation.run()
    finally:
        conversation.leave()
