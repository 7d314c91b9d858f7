"""What does an owner say about an application that asks for a key, and what is it answered?"""

from typing import Annotated

import msgspec

from gateway.api.v1.encoding import END
from gateway.api.v1.shop_key_schemas import ApiKeyMade, Scope
from merchants.stores.applications import REDIRECT_CHARS_MAX

IDENTIFIER_CHARS_MAX = 200
SCOPES_MAX = 32

Said = f"^[^\\x00-\\x1f\\x7f]*{END}"


class AuthorizeApplication(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An application that is to have a key. ``redirect`` is where a browser sends it, https or this
    machine, empty for nowhere; ``identifier`` says that it is the same application as before, whose
    key for the same origin then ends a day later."""

    application: Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=Said)]
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=SCOPES_MAX)]
    redirect: Annotated[str, msgspec.Meta(max_length=REDIRECT_CHARS_MAX)] = ""
    identifier: Annotated[str, msgspec.Meta(max_length=IDENTIFIER_CHARS_MAX, pattern=Said)] = ""


class ApplicationAuthorized(ApiKeyMade, frozen=True):
    """A new key and what BTCPay's plugins call its permissions: each with the store's id."""

    permissions: list[str]
