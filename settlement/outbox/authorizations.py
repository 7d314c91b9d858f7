"""How does a payer's signature become a transfer on chain, exactly once, with our gas?

An authorization is an action like any other, named by whom it pays: an invoice's address is paid by
one at a time, so that two buyers do not pay the same invoice. The outbox knows whether it was ever
sent, and the submitter sends it. The chain has the last word about what became of it, for anybody
may have sent it before us.
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from settlement.chain.chain import CallRevertedError, Chain
from settlement.chain.reverts import revert_reason
from settlement.outbox.actions import Action, ActionKind, ActionState, Call
from settlement.outbox.outbox import Outbox
from settlement.protocol.authorizations import TransferAuthorization, state_call
from settlement.protocol.eip712 import keccak256

RELAY_GAS: Final = 150_000
"""The limit. A plain token takes half of it; a contract that signs has the rest."""

TURNS_MAX: Final = 3
"""How often a payee is tried to be paid: each that fails in a block is gas of ours for nothing."""

NAME_SIZE_MAX: Final = 128

_DOMAIN: Final = (
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_OPEN: Final = frozenset(ActionState) - {ActionState.FAILED}


class Relay(StrEnum):
    """How far an authorization is."""

    UNKNOWN = "unknown"
    """It was never given to us."""

    TAKEN = "taken"
    """Its payee is paid by another one, or too many have failed."""

    PENDING = "pending"
    """It is on its way, or will be; it must not be signed anew."""

    DONE = "done"
    """It is in a block and has moved the money."""

    REFUSED = "refused"
    """The token refuses it; nothing has moved by it."""

    USED = "used"
    """We could not carry it out, for its nonce is used: by somebody else who sent it, or by another
    authorization, or it was cancelled. What came to the payee tells which."""


class RelayState(NamedTuple):
    """See ``Relay``; ``tx_hash`` is empty before there is one."""

    relay: Relay
    tx_hash: bytes = b""
    error: str = ""


class TokenDomain(NamedTuple):
    """What a wallet has to name when it signs for a token (EIP-712)."""

    name: str
    version: str


class Authorizations:
    """Tries, relays and follows them. Any thread may call; each method asks files or the chain."""

    def __init__(
        self, chain: Chain, outbox: Outbox, operator: bytes, now_ns: Callable[[], int]
    ) -> None:
        """``operator`` is the address that pays the gas."""
        self._chain = chain
        self._outbox = outbox
        self._operator = operator
        self._now_ns = now_ns
        self._relaying = threading.Lock()

    @property
    def operator(self) -> bytes:
        """Return who sends them."""
        return self._operator

    def domain_of(self, token: bytes) -> TokenDomain | None:
        """Return the domain in which ``token`` takes authorizations; None if it takes none.

        Raises ``ChainUnavailableError``.
        """
        if len(self._asked(token, state_call(bytes(20), bytes(32)))) != 32:
            return None
        separator = self._asked(token, _selector("DOMAIN_SEPARATOR()"))
        name = _text(self._asked(token, _selector("name()")))
        version = _text(self._asked(token, _selector("version()"))) or "1"
        if name is None or separator != self._separator(token, name, version):
            return None  # A wallet could not know what to sign.
        return TokenDomain(name, version)

    def refusal(self, authorization: TransferAuthorization) -> str | None:
        """Return why the token would not carry it out now; None if it would.

        Raises ``ChainUnavailableError``.
        """
        calldata = authorization.calldata()
        return revert_reason(self._chain, authorization.token, calldata, self._operator, RELAY_GAS)

    def is_used(self, authorization: TransferAuthorization) -> bool:
        """Return whether its nonce is used. Raises ``ChainUnavailableError``."""
        call = state_call(authorization.payer, authorization.nonce)
        return any(self._asked(authorization.token, call))

    def relay(self, authorization: TransferAuthorization) -> RelayState:
        """Send it once, unless its payee is paid by another; return how far it is.

        One that was refused and is good now may be sent again: its nonce sees to it that it is
        carried out once.
        """
        with self._relaying:
            newest = self._newest(authorization)
            turn = 1 if newest is None else int(newest.key.rpartition(":")[2]) + 1
            if turn > TURNS_MAX:
                return RelayState(Relay.TAKEN)
            if newest is None or newest.state not in _OPEN:
                key = f"{authorization.payee.hex()}:{turn}"
                calldata = authorization.calldata()
                kind, token = ActionKind.AUTHORIZATION, authorization.token
                self._outbox.enqueue(Call(kind, key, token, calldata, RELAY_GAS), self._now_ns())
        return self.state(authorization)

    def state(self, authorization: TransferAuthorization) -> RelayState:
        """Return how far it is. Raises ``ChainUnavailableError`` where only the chain can say."""
        action = self._newest(authorization)
        if action is None:
            return RelayState(Relay.UNKNOWN)
        if action.calldata != authorization.calldata() or action.to != authorization.token:
            return RelayState(Relay.TAKEN if action.state in _OPEN else Relay.UNKNOWN)
        if action.state in (ActionState.MINED, ActionState.FINAL):
            return RelayState(Relay.DONE, action.mined_hash or b"")
        if action.state is ActionState.FAILED:
            relay = Relay.USED if self.is_used(authorization) else Relay.REFUSED
            return RelayState(relay, self._newest_hash(action), action.error or "")
        return RelayState(Relay.PENDING, self._newest_hash(action))

    def _newest(self, authorization: TransferAuthorization) -> Action | None:
        return self._outbox.newest(ActionKind.AUTHORIZATION, f"{authorization.payee.hex()}:")

    def _newest_hash(self, action: Action) -> bytes:
        return next(iter(self._outbox.tx_hashes(action)), b"")

    def _asked(self, token: bytes, calldata: bytes) -> bytes:
        """Return the answer; nothing where the token knows no such question."""
        try:
            return self._chain.call(token, calldata, gas=RELAY_GAS)
        except CallRevertedError:
            return b""

    def _separator(self, token: bytes, name: str, version: str) -> bytes:
        words = [keccak256(text) for text in (_DOMAIN, name.encode(), version.encode())]
        words += [self._chain.chain_id.to_bytes(32, "big"), bytes(12) + token]
        return keccak256(b"".join(words))


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]


def _text(answer: bytes) -> str | None:
    try:
        (text,) = decode(["string"], answer)
    except (DecodingError, UnicodeDecodeError):
        return None
    return text if 0 < len(text) <= NAME_SIZE_MAX else None
