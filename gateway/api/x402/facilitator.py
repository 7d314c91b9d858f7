"""Would a payment be taken, and what became of it?

A buyer signs a transfer (ERC-3009) to the deposit address of an invoice; we pay the gas and relay
it. From there it is a payment like any other: swept, booked and sold for the shop's stablecoin. So
nothing is relayed that no invoice of the asking shop waits for, to the unit; and an invoice is paid
by one buyer at a time.

While one is on its way the answer is ``settlement_pending``, and never that it should be paid anew.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeVar

import msgspec

from gateway.api.x402.schemas import (
    SCHEME,
    VERSION,
    Asked,
    Exact,
    Requirements,
    Settled,
    Verified,
)
from gateway.api.x402.threads import BOUNDS, Bounds, Late, Threads
from merchants.documents.payable import Payable
from settlement.chain.chain import ChainUnavailableError
from settlement.orders.catalog import Catalog, Token
from settlement.outbox.authorizations import Authorizations, Relay, RelayState, TokenDomain
from settlement.protocol.authorizations import TransferAuthorization
from settlement.protocol.checksum import ADDRESS_SIZE, checksum_address

LEAST_PIPS: Final = 10**7
"""An invoice under ten cents is worth less than the gas of relaying and sweeping it."""

AHEAD_S: Final = 6
"""A signature that ends sooner may end before it is in a block."""

UNSUPPORTED: Final = "unsupported_scheme"
NETWORK: Final = "network_mismatch"
MALFORMED: Final = "invalid_payload"
RECIPIENT: Final = "invalid_exact_evm_payload_recipient_mismatch"
VALUE: Final = "invalid_exact_evm_payload_authorization_value_mismatch"
TOO_LATE: Final = "invalid_exact_evm_payload_authorization_valid_before"
TOO_EARLY: Final = "invalid_exact_evm_payload_authorization_valid_after"
NONCE_USED: Final = "invalid_exact_evm_nonce_already_used"
BALANCE: Final = "invalid_exact_evm_insufficient_balance"
SIGNATURE: Final = "invalid_exact_evm_payload_signature"
NO_ERC3009: Final = "invalid_exact_evm_eip3009_not_supported"
SIMULATION: Final = "invalid_exact_evm_transaction_simulation_failed"
TAKEN: Final = "invoice_is_paid_by_another"
PENDING: Final = "settlement_pending"
NO_ANSWER: Final = "unexpected_verify_error"
LATE: Final = "the chain does not answer in time"

_REASONS: Final = (
    ("ERC20InsufficientBalance", BALANCE),
    ("exceeds balance", BALANCE),
    ("AuthorizationUsedBefore", NONCE_USED),
    ("authorization is used", NONCE_USED),
    ("AuthorizationNotSignedBy", SIGNATURE),
    ("invalid signature", SIGNATURE),
    ("AuthorizationNotValidNow", TOO_LATE),
)
"""What tokens say in the words of x402: ours, and the one that most sellers take."""


Found = TypeVar("Found")


class Refused(NamedTuple):
    """Why a payment is not taken."""

    reason: str
    message: str = ""


class _Checked(NamedTuple):
    """A payment that fits an invoice, as far as its words go."""

    authorization: TransferAuthorization
    payable: Payable


class Facilitator:
    """Answers verify and settle for the shops of one exchange."""

    def __init__(
        self,
        catalog: Catalog,
        authorizations: Authorizations,
        payable_at: Callable[[str, bytes], Payable | None],
        chain_id: int,
        now_ns: Callable[[], int],
        bounds: Bounds = BOUNDS,
    ) -> None:
        """``payable_at`` finds a store's invoice by its deposit address."""
        self._catalog = catalog
        self._authorizations = authorizations
        self._payable_at = payable_at
        self.network = f"eip155:{chain_id}"
        self._now_ns = now_ns
        self._bounds = bounds
        self._threads = Threads(bounds)
        self._domains: dict[bytes, TokenDomain | None] = {}
        """Of listed tokens, of which there are few."""

    async def assets(self) -> list[tuple[Token, TokenDomain]]:
        """Return the listed tokens that take authorizations. Raises ``Late``."""
        if all(token.address in self._domains for token in self._catalog.tokens):
            return self._assets()  # Anybody may ask this, and keeps no thread from the shops.
        return await self._ask("", self._assets)

    async def domain_of(self, store_id: str, token: Token) -> TokenDomain | None:
        """Return in which domain a wallet signs for ``token``; None if it takes no signatures.
        Raises ``Late``."""
        if token.address in self._domains:
            return self._domains[token.address]
        return await self._ask(store_id, partial(self._domain_of, token.address))

    @property
    def signer(self) -> str:
        """Return who pays the gas."""
        return checksum_address(self._authorizations.operator)

    async def verify(self, store_id: str, asked: Asked) -> Verified:
        """Return whether the payment would be taken; nothing is sent."""
        payer = _payer_of(asked)
        try:
            refused = await self._ask(store_id, partial(self._verify, store_id, asked))
        except Late:
            refused = Refused(NO_ANSWER, LATE)
        if refused is None:
            return Verified(True, payer=payer)
        return Verified(False, *refused, payer=payer)

    async def settle(self, store_id: str, asked: Asked) -> Settled:
        """Relay the payment and wait a little for its block; asked again, it is sent no more."""
        payer = _payer_of(asked)
        try:
            state = await self._settled(store_id, asked)
        except Late:
            # It may be on its way: what is not known is not asked for anew.
            state = RelayState(Relay.PENDING, error=LATE)
        if isinstance(state, Refused):
            return Settled(False, "", self.network, *state, payer=payer)
        tx_hash = f"0x{state.tx_hash.hex()}" if state.tx_hash else ""
        if state.relay is Relay.DONE:
            amount = asked.payment_requirements.amount
            return Settled(True, tx_hash, self.network, payer=payer, amount=amount)
        return Settled(False, tx_hash, self.network, PENDING, state.error, payer=payer)

    async def _settled(self, store_id: str, asked: Asked) -> RelayState | Refused:
        state = await self._ask(store_id, partial(self._begin, store_id, asked))
        seconds, each = self._bounds.settled_seconds, self._bounds.look_seconds
        looks = round(seconds / each) if each else 0
        ends = asyncio.get_running_loop().time() + seconds
        while isinstance(state, RelayState) and state.relay is Relay.PENDING and looks:
            looks -= 1
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.sleep(each)
            try:
                state = await self._threads.ask(
                    store_id, partial(self._look, store_id, asked), max(left, each)
                )
            except Late:
                break  # What was known last is the answer.
        return state

    # What asks files and the node, on threads.

    def _assets(self) -> list[tuple[Token, TokenDomain]]:
        found = ((token, self._domain_of(token.address)) for token in self._catalog.tokens)
        return [(token, domain) for token, domain in found if domain is not None]

    def _domain_of(self, token: bytes) -> TokenDomain | None:
        if token not in self._domains:
            self._domains[token] = self._authorizations.domain_of(token)
        return self._domains[token]

    def _verify(self, store_id: str, asked: Asked) -> Refused | None:
        try:
            checked = self._check(store_id, asked)
            if isinstance(checked, Refused):
                return checked
            standing = self._standing(checked)
            if standing is None:
                return self._why_not(checked)
            # It was taken: ask how it goes by settling it.
            return standing if isinstance(standing, Refused) else None
        except ChainUnavailableError:
            return Refused(NO_ANSWER, "the chain does not answer")

    def _begin(self, store_id: str, asked: Asked) -> RelayState | Refused:
        """Return how far the payment is, sent if it was not; or why it is not sent."""
        try:
            checked = self._check(store_id, asked)
            if isinstance(checked, Refused):
                return checked
            standing = self._standing(checked)
            if standing is not None:
                return standing
            refused = self._why_not(checked)
            if refused is not None:
                return refused
            return _outcome(self._authorizations.relay(checked.authorization))
        except ChainUnavailableError:
            # It may have been sent, by whomever: what is not known is not asked for anew.
            return RelayState(Relay.PENDING, error="the chain does not answer")

    def _look(self, store_id: str, asked: Asked) -> RelayState | Refused:
        """Return how far a payment is that was sent."""
        try:
            checked = self._check(store_id, asked)
            if isinstance(checked, Refused):
                return checked
            standing = self._standing(checked)
            return Refused(SIMULATION, "it was given up") if standing is None else standing
        except ChainUnavailableError:
            return RelayState(Relay.PENDING, error="the chain does not answer")

    def _standing(self, checked: _Checked) -> RelayState | Refused | None:
        """Return how far it is, or why it comes to nothing; None while it was never sent.

        Anybody may send it, so what came to the invoice and whether the nonce is used have the last
        word. A nonce that is used and brought nothing yet is waited for as long as the signature
        lasts: the payment may be in a block that was not read yet.
        """
        authorization = checked.authorization
        state = self._authorizations.state(authorization)
        if state.relay in (Relay.PENDING, Relay.DONE):
            return state
        if self._authorizations.is_used(authorization):
            tx_hash = _paid_by(checked)
            if tx_hash:
                return RelayState(Relay.DONE, tx_hash)
            if self._now_ns() // 10**9 <= authorization.valid_before:
                return RelayState(Relay.PENDING, state.tx_hash, "its nonce is used already")
            return Refused(NONCE_USED)
        return _outcome(state) if state.relay is Relay.TAKEN else None

    def _why_not(self, checked: _Checked) -> Refused | None:
        """Return why a payment that was never sent cannot be; None if it can."""
        authorization, payable = checked
        due = payable.due_raw.get(authorization.token)
        now_s = self._now_ns() // 10**9
        if due is None or payable.expires_ns <= self._now_ns():
            return Refused(TAKEN, "its invoice waits for nothing of that: ask for a new offer")
        if due != authorization.value:
            return Refused(VALUE, f"its invoice waits for {due}")
        if payable.amount_pips < LEAST_PIPS:
            return Refused(VALUE, "it is worth less than its gas")
        if authorization.valid_before < now_s + AHEAD_S:
            return Refused(TOO_LATE)
        if authorization.valid_after > now_s:
            return Refused(TOO_EARLY)
        if self._domain_of(authorization.token) is None:
            return Refused(NO_ERC3009)
        why = self._authorizations.refusal(authorization)
        return None if why is None else Refused(_reason_of(why), why)

    def _check(self, store_id: str, asked: Asked) -> _Checked | Refused:
        """Return what was signed and for which invoice, or why the words do not fit."""
        wanted, accepted = asked.payment_requirements, asked.payment_payload.accepted
        if asked.x402_version != VERSION or wanted.scheme != SCHEME or accepted.scheme != SCHEME:
            return Refused(UNSUPPORTED, "version 2, scheme exact")
        if wanted.network != self.network or accepted.network != self.network:
            return Refused(NETWORK, f"here it is {self.network}")
        token = self._catalog.token_by_address(_address(wanted.asset) or b"")
        if token is None or _price(wanted) != _price(accepted):
            return Refused(MALFORMED, "no such asset here, or another than was accepted")
        try:
            exact = msgspec.json.decode(asked.payment_payload.payload, type=Exact)
        except msgspec.DecodeError as fault:
            return Refused(MALFORMED, str(fault))
        signed = exact.authorization
        if signed.to.lower() != wanted.pay_to.lower():
            return Refused(RECIPIENT)
        numbers = [int(text) for text in (signed.value, signed.validAfter, signed.validBefore)]
        if max(numbers) >= 1 << 256:
            return Refused(MALFORMED, "a number has more than 256 bits")
        if signed.value != wanted.amount:
            return Refused(VALUE)
        payable = self._payable_at(store_id, bytes.fromhex(signed.to[2:]))
        if payable is None:
            return Refused(RECIPIENT, "no invoice of this store is paid there")
        authorization = TransferAuthorization(
            token.address,
            bytes.fromhex(signed.payer[2:]),
            bytes.fromhex(signed.to[2:]),
            *(numbers[0], numbers[1], numbers[2]),
            bytes.fromhex(signed.nonce[2:]),
            bytes.fromhex(exact.signature[2:]),
        )
        return _Checked(authorization, payable)

    async def _ask(self, store_id: str, question: Callable[[], Found]) -> Found:
        return await self._threads.ask(store_id, question, self._bounds.answer_seconds)


def _outcome(state: RelayState) -> RelayState | Refused:
    if state.relay is Relay.TAKEN:
        return Refused(TAKEN, "another payment for it is on its way: ask for a new offer")
    return state


def _paid_by(checked: _Checked) -> bytes:
    """Return the transaction in which the payer paid just that; empty if there is none."""
    authorization = checked.authorization
    for paid in checked.payable.paid:
        if (paid.token, paid.sender, paid.raw) == (
            authorization.token,
            authorization.payer,
            authorization.value,
        ):
            return paid.tx_hash
    return b""


def _reason_of(why: str) -> str:
    return next((reason for words, reason in _REASONS if words in why), SIMULATION)


def _address(text: str) -> bytes | None:
    digits = text.removeprefix("0x")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return None
    return raw if len(raw) == ADDRESS_SIZE else None


def _price(wanted: Requirements) -> tuple[str, str, str]:
    return wanted.asset.lower(), wanted.amount, wanted.pay_to.lower()


def _payer_of(asked: Asked) -> str:
    """Return whom the payload names as the payer; empty if it is none of ours."""
    try:
        return msgspec.json.decode(asked.payment_payload.payload, type=Exact).authorization.payer
    except msgspec.DecodeError:
        return ""
