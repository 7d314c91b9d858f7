"""Which session keys have traders given into this gateway's keeping? A file names them.

Opt-in, and custody of a kind: who reads the file may trade for these accounts, within what each
wallet has approved; it can withdraw nothing.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from gateway.api.binance.bridge.key_file import KeyFileError, KeyText, private_text
from gateway.api.binance.signed_json import Address, Uint32
from gateway.http.body import DECODE_ERRORS
from gateway.trading.api_keys import HeldKey
from settlement.protocol.checksum import address_of_text


class HeldText(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename="camel"):
    """One entry of the file's JSON array; ``expiresAt`` is the end of the key's grant."""

    account: Address
    session_key: KeyText
    expires_at: Uint32 = 2**32 - 1


def read_held_keys(path: Path | None) -> Mapping[bytes, HeldKey]:
    """Return session keys by account; none without a file. Raises ``KeyFileError``, OSError."""
    if path is None:
        return {}
    try:
        entries = msgspec.json.decode(private_text(path), type=list[HeldText])
    except DECODE_ERRORS as error:
        raise KeyFileError(f"{path}: {error}") from None
    held = {}
    for entry in entries:
        account = address_of_text(entry.account)
        if account is None:
            raise KeyFileError(f"{path}: the EIP-55 checksum of {entry.account} is wrong")
        held[account] = HeldKey(bytes.fromhex(entry.session_key[2:]), entry.expires_at)
    return held
