"""What does a person's wallet do: sign orders, sign a grant, send a transaction?

Demo wallets live outside the exchange and use its public doors only. Their keys are those of the
embedded chain's funded accounts, worthless anywhere else.
"""

import time
from typing import Final

import msgspec

from engine.types import Side
from settlement.chain.chain import Chain, Receipt, Sending
from settlement.chain.signer import SecretSigner, Transaction
from settlement.orders.catalog import Market
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    address_of_secret,
    grant_digest,
    keccak256,
    login_digest,
    order_digest,
    sign,
)
from settlement.protocol.evidence import ZERO_REF, OrderBits, SignedOrder

GAS_LIMIT: Final = 400_000
FEE_PER_GAS_MAX: Final = 100 * 10**9
TIP_PER_GAS: Final = 10**9
RECEIPT_POLLS_MAX: Final = 600
POLL_SECONDS: Final = 0.05


class TransactionLost(Exception):
    """A wallet's transaction did not happen; the message names its hash."""


class Wallet:
    """One person's key, on one chain."""

    def __init__(self, secret: bytes, chain: Chain, domain: Domain) -> None:
        self.address = address_of_secret(secret)
        self._secret = secret
        self._signer = SecretSigner(secret)
        self._chain = chain
        self._domain = domain

    def order(
        self,
        market: Market,
        side: Side,
        lots: int,
        price_ticks: int,
        *,
        nonce: int,
        expiry: int,
        lane: int = 0,
        upper_half: bool = False,
    ) -> SignedOrder:
        """Return a signed order: resting when it names a ``lane``, else immediate or cancel."""
        flags = OrderBits.SELL if side == Side.SELL else OrderBits(0)
        if not lane:
            flags |= OrderBits.SINGLE_SHOT
        elif upper_half:
            flags |= OrderBits.UPPER_HALF
        unsigned = SignedOrder(
            account=self.address,
            nonce=nonce,
            flags=int(flags),
            lane=lane,
            base=market.base.address,
            quote=market.quote.address,
            base_amount=market.base_pips(lots),
            quote_amount=market.quote_pips(lots, price_ticks),
            trigger_or_display=0,
            expiry=expiry,
            max_fee_ppm=max(market.taker_fee_ppm, market.maker_fee_ppm),
            ref=ZERO_REF,
            signature=b"",
            signer=self.address,
            digest=b"",
        )
        digest = order_digest(self._domain, unsigned)
        return msgspec.structs.replace(
            unsigned, digest=digest, signature=sign(digest, self._secret)
        )

    def grant_signature(self, message: dict[str, str]) -> bytes:
        """Return the signature over a ``KeyGrant`` as a wallet shows it (EIP-712 message)."""
        grant = KeyGrant(
            account=bytes.fromhex(message["account"][2:]),
            key=bytes.fromhex(message["key"][2:]),
            base=bytes.fromhex(message["base"][2:]),
            quote=bytes.fromhex(message["quote"][2:]),
            sides=int(message["sides"]),
            expiry=int(message["expiry"]),
            notional_cap=int(message["notionalCap"]),
            floor_price=int(message["floorPrice"]),
            nonce=int(message["nonce"]),
        )
        assert grant.account == self.address, "a wallet signs for itself only"
        return sign(grant_digest(self._domain, grant), self._secret)

    def sign_digest(self, digest: bytes) -> bytes:
        """Return r, s, v over a digest that the wallet's owner has read."""
        return sign(digest, self._secret)

    def login_signature(self, issued_at: int) -> bytes:
        """Return the signature that opens a session."""
        return sign(login_digest(self._domain, self.address, issued_at), self._secret)

    def prepare(self, to: bytes, calldata: bytes, value: int = 0) -> bytes:
        """Return a signed raw transaction with the account's next nonce; nothing is sent."""
        return self._signer.sign_transaction(
            Transaction(
                chain_id=self._chain.chain_id,
                nonce=self._chain.nonce(self.address, pending=True),
                to=to,
                calldata=calldata,
                gas_limit=GAS_LIMIT,
                fee_max=FEE_PER_GAS_MAX,
                tip_max=TIP_PER_GAS,
                value=value,
            )
        )

    def transact(self, to: bytes, calldata: bytes, value: int = 0) -> Receipt:
        """Prepare and send in one go, for what may be done twice without harm."""
        return self.send(self.prepare(to, calldata, value))

    def send(self, raw: bytes) -> Receipt:
        """Send a prepared transaction (again, if need be) and return its receipt once mined.

        Raises ``TransactionLost`` when the chain does not mine it or it reverts.
        """
        sent = self._chain.send_raw(raw)
        tx_hash = keccak256(raw)
        # What a node will not have is in no pool, and nobody can mine it.
        for _ in range(1 if sent.sending is Sending.REJECTED else RECEIPT_POLLS_MAX):
            receipt = self._chain.receipt(tx_hash)
            if receipt is not None:
                if not receipt.succeeded:
                    raise TransactionLost(f"0x{tx_hash.hex()} reverted")
                return receipt
            time.sleep(POLL_SECONDS)
        raise TransactionLost(f"0x{tx_hash.hex()} was not mined: {sent.reason or 'no receipt'}")
