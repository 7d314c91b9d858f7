"""What may be said on the stream, and what does it say? The AsyncAPI document.

It is made from the types that decode what clients send and write what they are told, as the OpenAPI
document is.
"""

from typing import Any, Final, get_args

import msgspec

from gateway.api.v1.stream.frames import AnyFrame
from gateway.api.v1.stream_schemas import FRAMES, REPLIES, SCHEMAS, Refused

ASKED: Final[tuple[type[msgspec.Struct], ...]] = get_args(AnyFrame)
"""What clients send."""

STREAM: Final = {"$ref": "#/channels/stream"}

DESCRIPTION: Final = """One WebSocket, frames of JSON text. A client sends frames with an `op` and,
if it likes, an `id`, and is answered under that `id` with a `result` or an `error`. Channels are
followed with `subscribe`; each begins with a snapshot, and its frames name their `channel` and
`type`. Public ones: book:SYMBOL, l3:SYMBOL, bbo:SYMBOL, ticker:SYMBOL, trades:SYMBOL,
candles:SYMBOL:INTERVAL and status; after a login orders and balances. How to keep a book, what the
checksums are over and how to go on after a reconnect stands in docs/PROTOCOL.md, under Feeds."""


def verb_of(asked: type[msgspec.Struct]) -> str:
    """Return the ``op`` of a frame that clients send."""
    return str(asked.__struct_config__.tag)


def document_of(version: str) -> dict[str, Any]:
    """Return the AsyncAPI document of the stream."""
    types = [*ASKED, *FRAMES, Refused, *REPLIES.values()]
    found, schemas = msgspec.json.schema_components(types, ref_template=SCHEMAS + "{name}")
    names = [schema["$ref"].removeprefix(SCHEMAS) for schema in found]
    asked, told = names[: len(ASKED)], names[len(ASKED) : len(ASKED) + len(FRAMES)]
    refused = names[len(ASKED) + len(FRAMES)]
    replies = dict(zip(REPLIES, names[-len(REPLIES) :], strict=True))
    operations = {
        verb_of(frame): {
            "action": "receive",
            "channel": STREAM,
            "summary": _words(frame),
            "messages": [_message(name)],
            "reply": {
                "channel": STREAM,
                "messages": [_message(replies[verb_of(frame)]), _message(refused)],
            },
        }
        for frame, name in zip(ASKED, asked, strict=True)
    }
    operations["tell"] = {
        "action": "send",
        "channel": STREAM,
        "summary": "What is told on channels, and before the end",
        "messages": [_message(name) for name in told],
    }
    messages = {
        name: {"name": name, "payload": {"$ref": SCHEMAS + name}} for name in dict.fromkeys(names)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tillbook stream", "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/v1/stream",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _words(frame: type[msgspec.Struct]) -> str:
    return " ".join((frame.__doc__ or "").split())


def _message(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/stream/messages/{name}"}
