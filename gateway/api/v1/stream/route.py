"""Where does the stream begin?"""

from typing import Final

from fastapi import APIRouter, WebSocket

from engine.types import Outcome
from gateway.api.dependencies import Here, Life, Signers, client_of
from gateway.api.v1.stream.connection import Connection, hanging_up
from gateway.http.networks import network_of
from gateway.http.problems import Rejected, problem_response

CONNECTIONS_MAX: Final = 5_000

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket, services: Here, signers: Signers, life: Life) -> None:
    """Serve one WebSocket; the handshake is charged like a request."""
    client = client_of(socket)
    try:
        services.limits.request(client)
        life.require_open()
        if life.connection_count >= CONNECTIONS_MAX:
            raise Rejected(Outcome.OVERLOADED, f"more than {CONNECTIONS_MAX} connections")
        if life.count_of(network_of(client)) >= services.sockets_per_client:
            most = services.sockets_per_client
            raise Rejected(Outcome.OVERLOADED, f"more than {most} connections from your network")
    except Rejected as refusal:
        # Before the handshake a refusal is an ordinary HTTP answer.
        answer = problem_response(refusal.document(), refusal.headers or {})
        with hanging_up():
            await socket.send_denial_response(answer)
        return
    await Connection(socket, client, services, signers, life).run()
