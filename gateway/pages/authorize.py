"""What does an owner see when a shop's plugin sends his browser to ``/api-keys/authorize``?

The dashboard's shell with what is asked for in it, and nothing else: he signs in, reads what the
application may do and where its key goes, and confirms that. Nothing is given by looking. The page
can send a form to that one place alone, and nobody may show it in a frame.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from engine.types import Outcome
from gateway.pages.dashboard import shell
from gateway.pages.headers import headers
from gateway.trading.rejection import Rejection
from merchants.stores.applications import origin_of
from merchants.stores.scopes import INCLUDED

NAME_CHARS_MAX: Final = 80
IDENTIFIER_CHARS_MAX: Final = 200
PERMISSIONS_MAX: Final = 32
PERMISSION_CHARS_MAX: Final = 128
BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


class Asks(msgspec.Struct, frozen=True):
    """What an application asks for. ``store`` is empty where its user chooses; ``origin`` is whom
    the key goes to."""

    application: str
    identifier: str
    redirect: str
    origin: str
    scopes: list[str]
    store: str
    strict: bool


def authorize_router(*, sandbox: bool) -> APIRouter:
    """Return the page's route; in a ``sandbox`` its demo wallet is offered too."""
    router = APIRouter(include_in_schema=False)

    @router.get("/api-keys/authorize")
    async def page(request: Request) -> HTMLResponse:
        """Show what is asked for. ``selectiveStores`` is always so: a key is of one store."""
        said = request.query_params
        asks = asked(
            application=said.get("applicationName", ""),
            identifier=said.get("applicationIdentifier", ""),
            redirect=said.get("redirect", ""),
            permissions=[*said.getlist("permissions"), *said.getlist("permissions[]")],
            strict=said.get("strict", "true"),
        )
        text = shell(sandbox=sandbox, asks=msgspec.json.encode(asks).decode())
        return HTMLResponse(text, headers=headers("no-store", posts_to=asks.origin))

    return router


def asked(
    *,
    application: str,
    identifier: str,
    redirect: str,
    permissions: Sequence[str],
    strict: str,
) -> Asks:
    """Return what is asked for; raises MALFORMED for what cannot be given at all."""
    origin = origin_of(redirect) if redirect else ""
    if origin is None:
        raise Rejection(
            Outcome.MALFORMED, "redirect: a key is sent to https only, or to this machine"
        )
    is_strict = BOOLEANS.get(strict.lower())
    if is_strict is None:
        raise Rejection(Outcome.MALFORMED, "strict is true or false")
    scopes, store = _scopes(permissions, strict=is_strict)
    name = application or origin or "An application"
    for text, most in ((name, NAME_CHARS_MAX), (identifier, IDENTIFIER_CHARS_MAX)):
        if len(text) > most or not text.isprintable():
            raise Rejection(Outcome.MALFORMED, "the application's name is too long or no text")
    return Asks(name, identifier, redirect, origin, scopes, store, is_strict)


def _scopes(permissions: Sequence[str], *, strict: bool) -> tuple[list[str], str]:
    """Return the scopes asked for, and the store where it is said."""
    if len(permissions) > PERMISSIONS_MAX or any(
        len(each) > PERMISSION_CHARS_MAX for each in permissions
    ):
        raise Rejection(Outcome.MALFORMED, f"at most {PERMISSIONS_MAX} permissions")
    split = [each.partition(":") for each in permissions]
    stores = {store for _, _, store in split if store}
    if len(stores) > 1:
        raise Rejection(Outcome.MALFORMED, "a key is of one store")
    unknown = sorted({scope for scope, _, _ in split} - set(INCLUDED))
    if unknown and strict:
        raise Rejection(Outcome.MALFORMED, f"there is no such permission: {', '.join(unknown)}")
    scopes = list(dict.fromkeys(scope for scope, _, _ in split if scope in INCLUDED))
    if not scopes:
        raise Rejection(Outcome.MALFORMED, "no permission is asked for that could be given")
    return scopes, next(iter(stores), "")
