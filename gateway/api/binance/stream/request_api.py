"""How does a client ask, order and hear of its own account on one connection?

The requests of REST under their names here, each proven by its own signature or, after
``session.logon``, by the connection's; and ``userDataStream.subscribe``, behind which the account's
events come.
"""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from starlette.websockets import WebSocket

from gateway.api.binance.desk import Caller, Desk
from gateway.api.binance.errors import Code, Refused, document_of, of_rejection, refused
from gateway.api.binance.params import Params, invalid
from gateway.api.binance.signing import payloads_of_frame, require_timely
from gateway.api.binance.stream.conversation import Conversation
from gateway.api.binance.stream.news import plain_frame
from gateway.api.binance.stream.user_events import UserEvents
from gateway.api.binance.table import (
    BY_FRAME,
    Sealed,
    admit,
    caller_of,
    charge,
    require_live,
)
from gateway.http.body import DECODE_ERRORS
from gateway.http.websocket import Wire
from gateway.trading.rejection import Rejection
from gateway.views.channels import Published
from gateway.views.user_orders import balances_channel, orders_channel

FrameId = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=64)] | None
OK: Final = 200
VALUE_CHARS_MAX: Final = 8_192
NOT_LOGGED_ON: Final = "session.logon first, or sign the request"


class Frame(Struct, frozen=True):
    """What a client asks."""

    method: Annotated[str, Meta(max_length=64)]
    id: FrameId = None
    params: dict[str, Any] = {}


# A number with a point stays the text that it was sent as: nothing here is ever a float.
_frames = msgspec.json.Decoder(Frame, float_hook=str)


class RequestApi(Conversation):
    """A connection that asks."""

    def __init__(self, desk: Desk, socket: WebSocket, wire: Wire, client: str) -> None:
        super().__init__(desk, socket, wire, client, plain_frame)
        self._logged_on: Caller | None = None
        self._logged_on_ms = 0
        self._subscriptions: dict[int, _Subscription] = {}
        self._subscribed = 0

    def leave(self) -> None:
        """See ``Conversation``."""
        for subscription in self._subscriptions.values():
            subscription.end()

    def farewell(self) -> Mapping[str, object]:
        """See ``Conversation``."""
        return {"event": super().farewell()}

    def obey(self, text: str) -> None:
        """See ``Conversation``."""
        frame_id: FrameId = None
        try:
            try:
                frame = _frames.decode(text)
            except DECODE_ERRORS:
                self.desk.limits.request(self.client)
                raise refused(Code.ILLEGAL_CHARS, "JSON message must be an object.") from None
            frame_id = frame.id
            params = Params(texts_of(frame.params))
            operation = BY_FRAME.get(frame.method)
            if operation is None:
                self.desk.limits.request(self.client)
                self._answer(frame_id, self._own(frame.method, params))
                return
            charge(self.desk, operation, params, self.client)
            call = admit(
                operation, self.desk, params, self.client, _sealed(params), self._logged_on
            )
            found = operation.run(call)
            if inspect.isawaitable(found):
                self.begin(self._answer_later(frame_id, found))
            else:
                self._answer(frame_id, found)
        except Refused as problem:
            self._reject(frame_id, problem)
        except Rejection as rejection:
            self._reject(frame_id, of_rejection(rejection))
            if rejection.retry_after is not None:
                raise

    async def _answer_later(self, frame_id: FrameId, found: Any) -> None:
        try:
            self._answer(frame_id, await found)
        except Refused as problem:
            self._reject(frame_id, problem)
        except Rejection as rejection:
            self._reject(frame_id, of_rejection(rejection))

    def _answer(self, frame_id: FrameId, result: Any) -> None:
        self.say({"id": frame_id, "status": OK, "result": result, "rateLimits": []})

    def _reject(self, frame_id: FrameId, problem: Refused) -> None:
        document = document_of(problem)
        self.say({"id": frame_id, "status": problem.saying.status, "error": document})

    # What there is here alone

    def _own(self, method: str, params: Params) -> Any:
        match method:
            case "session.logon":
                self._logged_on = self._proven(params)
                self._logged_on_ms = self.desk.now_ms
                return self._status(params.text("apiKey"))
            case "session.status":
                return self._status(None)
            case "session.logout":
                self._logged_on = None
                return self._status(None)
            case "userDataStream.subscribe":
                if self._logged_on is None:
                    raise refused(Code.REJECTED_KEY, NOT_LOGGED_ON, 401)
                require_live(self.desk, self._logged_on)
                return self._subscribe(self._logged_on)
            case "userDataStream.subscribe.signature":
                return self._subscribe(self._proven(params))
            case "userDataStream.unsubscribe":
                self._unsubscribe(params)
                return {}
        raise refused(Code.UNSUPPORTED_OPERATION, "This operation is not supported.")

    def _proven(self, params: Params) -> Caller:
        caller = caller_of(self.desk, _sealed(params), params)
        require_timely(params, self.desk.now_ms)
        return caller

    def _status(self, key: str | None) -> dict[str, Any]:
        return {
            "apiKey": key,
            "authorizedSince": self._logged_on_ms if self._logged_on else None,
            "connectedSince": None,
            "returnRateLimits": False,
            "serverTime": self.desk.now_ms,
            "userDataStream": bool(self._subscriptions),
        }

    def _subscribe(self, caller: Caller) -> dict[str, int]:
        for number, subscription in self._subscriptions.items():
            if subscription.caller.account == caller.account:
                subscription.caller = caller
                return {"subscriptionId": number}
        number, self._subscribed = self._subscribed, self._subscribed + 1
        self._subscriptions[number] = _Subscription(self, number, caller)
        return {"subscriptionId": number}

    def _unsubscribe(self, params: Params) -> None:
        numbers = list(self._subscriptions)
        if params.text("subscriptionId"):
            numbers = [params.integer("subscriptionId", 0)]
            if numbers[0] not in self._subscriptions:
                raise invalid("subscriptionId")
        for number in numbers:
            self._subscriptions.pop(number).end()

    def terminate(self, number: int) -> None:
        """End a subscription whose key has ended, as the dialect tells it."""
        subscription = self._subscriptions.pop(number, None)
        if subscription is not None:
            subscription.end()
            ended = {"e": "eventStreamTerminated", "E": self.desk.now_ms}
            self.say({"subscriptionId": number, "event": ended})


class _Subscription:
    """Follows one account and tells its events on one connection."""

    def __init__(self, api: RequestApi, number: int, caller: Caller) -> None:
        self.caller = caller
        account = caller.account
        self._api = api
        self._number = number
        self._events = UserEvents(api.desk, account)
        self._channels = (orders_channel(account), balances_channel(account))
        for channel in self._channels:
            api.desk.channels.subscribe(channel, self)

    def offer(self, channel: str, published: Published) -> None:
        """See ``gateway.views.channels.Listener``."""
        # Whoever publishes speaks to everybody: a fault that is ours alone is not theirs.
        with self._api.faults:
            if not self._api.desk.keys.is_live(self.caller.key):
                self._api.terminate(self._number)
                return
            for event in self._events.of(published.news):
                self._api.say({"subscriptionId": self._number, "event": event})

    def end(self) -> None:
        """Follow nothing any more."""
        for channel in self._channels:
            self._api.desk.channels.unsubscribe(channel, self)


def _sealed(params: Params) -> Sealed:
    return Sealed(params.text("apiKey"), payloads_of_frame(params.texts))


def texts_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as text, whatever they were as JSON."""
    texts = {}
    for name, value in given.items():
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, int | str):
            texts[name] = str(value)
        elif isinstance(value, list):
            texts[name] = msgspec.json.encode(value).decode()
        elif value is not None:
            raise invalid(name[:32])
        if len(texts.get(name, "")) > VALUE_CHARS_MAX:
            raise invalid(name[:32])
    return texts
