"""In which words is an endpoint told?

A format turns an event into the headers and the body of one attempt, and says which events it has
words for. ``standard`` is ours: the event's body exactly as it is in the event list, signed after
Standard Webhooks. Other dialects stand beside it in ``FORMATS``.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from merchants.webhooks import greenfield_words
from merchants.webhooks.sign import headers_of


class Message(NamedTuple):
    """One event on its way to one endpoint.

    ``body`` is the event's own JSON; ``webhook_id`` stays the same over attempts and redeliveries,
    ``first_delivery_id`` is ``delivery_id`` where it is no redelivery. Times are unix seconds.
    """

    type: str
    webhook_id: str
    body: str
    store_id: str
    invoice_id: str
    endpoint_id: str
    delivery_id: str
    first_delivery_id: str
    created_at: int


class Encoded(NamedTuple):
    """What leaves: the headers that are not of every request, and the body as it is signed."""

    headers: dict[str, str]
    body: bytes


class Format(NamedTuple):
    """``tells`` says whether there are words for an event type; ``encode`` takes the message, the
    endpoint's secrets, the newest first, and unix seconds now."""

    tells: Callable[[str], bool]
    encode: Callable[[Message, list[str], int], Encoded]


def _tells_all(_type: str) -> bool:
    return True


def _standard(message: Message, secrets: list[str], now_s: int) -> Encoded:
    body = message.body.encode()
    return Encoded(headers_of(secrets, message.webhook_id, now_s, body), body)


STANDARD: Final = "standard"

GREENFIELD: Final = "greenfield"


def _greenfield(message: Message, secrets: list[str], _now_s: int) -> Encoded:
    body = greenfield_words.body_of(message)
    return Encoded(greenfield_words.headers_of(secrets[0], body), body)


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        STANDARD: Format(_tells_all, _standard),
        GREENFIELD: Format(greenfield_words.has_words, _greenfield),
    }
)
"""By the name that an endpoint has it under."""
