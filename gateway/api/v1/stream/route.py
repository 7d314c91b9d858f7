"""Where does the stream begin?"""

from typing import Final

from fastapi import APIRouter, WebSocket

from engine.types import Outcome
from gateway.api.dependencies import Entry, Here, Life, client_of
from gateway.api.v1.stream.connection import Connection, hanging_up
from gateway.api.v1.stream.snapshots import Snapshots
from gateway.http.problems import answer_of
from gateway.http.websocket import WIRE
from gateway.trading.networks import network_of
from gateway.trading.rejection import Rejection

CONNECTIONS_MAX: Final = 12_000
"""An idle one costs some tens of KiB (`make bench ONLY=fanout`)."""

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket, services: Here, entry: Entry, life: Life) -> None:
    """Serve one WebSocket; the handshake is charged like a request."""
    client = client_of(socket)
    try:
        services.limits.request(client)
        life.require_open()
        if life.connection_count >= CONNECTIONS_MAX:
            raise Rejection(Outcome.OVERLOADED, f"more than {CONNECTIONS_MAX} connections")
        if life.count_of(network_of(client)) >= services.sockets_per_client:
            most = services.sockets_per_client
            raise Rejection(Outcome.OVERLOADED, f"more than {most} connections from your network")
    except Rejection as rejection:
        # Before the handshake a rejection is an ordinary HTTP answer.
        with hanging_up():
            await socket.send_denial_response(answer_of(rejection))
        return
    snapshots: Snapshots = socket.app.state.snapshots
    wire = socket.scope["extensions"][WIRE]
    await Connection(socket, wire, client, services, entry, snapshots, life).run()
