"""Where does the stream begin?"""

from typing import Final

from fastapi import APIRouter, WebSocket

from engine.types import Outcome
from gateway.problems import Rejected, problem_response
from gateway.rest.depends import Here, Life, Signers, client_of
from gateway.ws.connection import Connection

CONNECTIONS_MAX: Final = 5_000

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket, services: Here, signers: Signers, life: Life) -> None:
    """Serve one WebSocket; the handshake is charged like a request."""
    try:
        services.limits.request(client_of(socket))
        life.require_open()
        if life.connection_count >= CONNECTIONS_MAX:
            raise Rejected(Outcome.OVERLOADED, f"more than {CONNECTIONS_MAX} connections")
    except Rejected as refusal:
        # Before the handshake a refusal is an ordinary HTTP answer.
        answer = problem_response(refusal.document(), refusal.headers or {})
        await socket.send_denial_response(answer)
        return
    await Connection(socket, services, signers, life, services.outbox_bounds).run()
