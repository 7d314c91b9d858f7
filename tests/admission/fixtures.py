"""How do admission's tests get signed orders, a book to put them in, and a second opinion?

``Driver`` is admission before the reference engine, without a journal: what is admitted is applied
at once. ``Driver.replayed`` shows the same history to a fresh admission, as a restart does.
"""

from copy import deepcopy

import msgspec

from engine.commands import Kind, batch_of, command, list_market
from engine.events import EventKind
from engine.log_entries import Committed
from engine.reference import Engine
from engine.types import Limits, Side
from settlement.orders.admission import Admission
from settlement.orders.catalog import Catalog
from settlement.orders.nonces import Rejection
from settlement.orders.session_keys import MAY_BUY, MAY_SELL, SessionKeys
from settlement.protocol.eip712 import (
    Domain,
    KeyGrant,
    address_of_secret,
    order_digest,
    recover,
    sign,
    withdrawal_digest,
)
from settlement.protocol.evidence import (
    ZERO_REF,
    AccountOpened,
    DepositEvidence,
    MarketListing,
    OrderBits,
    SignedOrder,
    SignedWithdrawal,
    TokenListing,
    encode,
)

NS = 10**9
START = 1_800_000_000
DOMAIN = Domain(31337, bytes([0xEE] * 20))
USD, TOKEN, OTHER = (bytes([mark] * 20) for mark in (0x11, 0x22, 0x33))
LOT_PIPS, TICK_PIPS = 10_000, 100
FEE_PPM = 1_000
PLENTY = 10**15
LANE = 0x8000
LIMITS = Limits(tokens=4, markets=4, accounts=16, orders=256, ladder_ticks=1 << 12)


class Signer:
    """A private key; signs for itself or, as a session key, for another account."""

    def __init__(self, seed, account=None):
        self.secret = seed.to_bytes(32, "big")
        self.address = address_of_secret(self.secret)
        self.account = account or self.address

    def order(
        self,
        side=Side.BUY,
        lots=10,
        ticks=100,
        *,
        nonce=1,
        lane=0,
        bits=0,
        trigger=0,
        shown=0,
        **changes,
    ):
        """Return a signed order; without a lane it is single-shot. ``bits`` are further flags, with
        a stop's ``trigger`` in ticks or the lots that an iceberg has ``shown``."""
        flags = OrderBits(bits) | (OrderBits.SELL if side == Side.SELL else OrderBits(0))
        if not lane:
            flags |= OrderBits.SINGLE_SHOT
        fields = {
            "account": self.account,
            "nonce": nonce,
            "flags": int(flags),
            "lane": lane,
            "base": TOKEN,
            "quote": USD,
            "base_amount": lots * LOT_PIPS,
            "quote_amount": lots * ticks * TICK_PIPS,
            "trigger_or_display": lots * trigger * TICK_PIPS + shown * LOT_PIPS,
            "expiry": START + 3600,
            "max_fee_ppm": FEE_PPM,
            "ref": ZERO_REF,
            **changes,
        }
        unsigned = SignedOrder(**fields, signature=b"", signer=b"", digest=b"")
        digest = order_digest(DOMAIN, unsigned)
        signature = sign(digest, self.secret)
        signer = recover(digest, signature)
        return msgspec.structs.replace(unsigned, digest=digest, signature=signature, signer=signer)

    def withdrawal(self, amount=1, *, nonce=1, token=USD):
        """Return a signed withdrawal to the signer itself."""
        unsigned = SignedWithdrawal(
            self.account, token, self.address, amount, nonce, START + 3600, b"", b""
        )
        digest = withdrawal_digest(DOMAIN, unsigned)
        signature = sign(digest, self.secret)
        return msgspec.structs.replace(unsigned, digest=digest, signature=signature)


ALICE, BOB, STRANGER = Signer(1), Signer(2), Signer(3)
ALICES_KEY = Signer(4, ALICE.address)
BOBS_KEY = Signer(5, BOB.address)


def grant_for(key, **changes):
    """Return a wide grant of ``key`` by its account, as the chain's log shows it."""
    fields = {
        "account": key.account,
        "key": key.address,
        "base": TOKEN,
        "quote": USD,
        "sides": MAY_BUY | MAY_SELL,
        "expiry": START + 7200,
        "notional_cap": PLENTY,
        "floor_price": 1,
        "nonce": 0,
        **changes,
    }
    return KeyGrant(**fields)


class Driver:
    """Admission, catalog, session keys and engine; Alice and Bob have plenty of both tokens."""

    def __init__(self):
        self.catalog, self.keys = Catalog(), SessionKeys()
        self.admission = Admission(self.catalog, self.keys)
        self.engine = Engine(LIMITS)
        self.now_ns = START * NS
        self.grants = []
        self.history = []
        for number, (symbol, address) in enumerate((("USD", USD), ("TOKEN", TOKEN))):
            listing = TokenListing(symbol, address, 8, 1)
            self.commit(command(Kind.LIST_TOKEN, token=number), listing)
        market = list_market(
            0,
            1,
            0,
            lot_pips=LOT_PIPS,
            tick_pips=TICK_PIPS,
            maker_fee_ppm=FEE_PPM,
            taker_fee_ppm=FEE_PPM,
        )
        self.commit(market, MarketListing("TOKEN-USD"))
        for number, owner in enumerate((ALICE, BOB)):
            row = command(Kind.OPEN_ACCOUNT, account=number)
            self.commit(row, AccountOpened(owner.address))
            for token in (0, 1):
                evidence = DepositEvidence(bytes([number] * 32), token, 1, ZERO_REF)
                row = command(Kind.DEPOSIT, account=number, token=token, amount=PLENTY)
                self.commit(row, evidence)

    def commit(self, row, attachment=None):
        """Sequence and apply one command, show it to catalog and admission; return its events."""
        row["sequence"] = sequence = self.engine.sequence + 1
        row["time_ns"] = self.now_ns
        rows = batch_of([row])
        events = self.engine.apply(rows)
        batch = Committed(sequence, rows, [encode(attachment)], events, [bytes(32)])
        self.history.append(batch)
        for segment in self.catalog.read(batch):
            self.admission.consume(segment)
        return events

    def grant(self, grant):
        """Let the chain show a grant."""
        self.grants.append(grant)
        self.keys.granted(grant)

    def admit(self, order):
        return self.admission.admit(order, self.now_ns)

    def place(self, order):
        """Admit and apply ``order``; return its events. It must not be refused."""
        admitted = self.admit(order)
        assert not isinstance(admitted, Rejection), admitted
        return self.commit(admitted, order)

    def cancel(self, owner, order_id):
        number = self.catalog.account_number(owner.account)
        return self.commit(command(Kind.CANCEL, account=number, order_id=order_id))

    def asks(self, order):
        """Return what admission would say to ``order``, and leave everything as it is."""
        return deepcopy(self.admission).admit(order, self.now_ns)

    def replayed(self):
        """Return a driver that has seen the same grants and history, and nothing else."""
        other = deepcopy(self)
        other.catalog, other.keys = Catalog(), SessionKeys()
        other.admission = Admission(other.catalog, other.keys)
        for grant in self.grants:
            other.keys.granted(grant)
        for batch in self.history:
            for segment in other.catalog.read(batch):
                other.admission.consume(segment)
        return other


def rejection(answer):
    """Return why ``answer`` is a rejection; None when it is a command."""
    return answer.outcome if isinstance(answer, Rejection) else None


def order_id_of(events):
    """Return the engine's id of the order that was just placed."""
    assert events[0]["kind"] == EventKind.ACCEPTED, events
    return int(events[0]["order_id"])


def state_of(thing):
    """Return everything that ``thing`` knows, as plain values that can be compared."""
    if isinstance(thing, dict):
        return {key: state_of(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [state_of(value) for value in thing]
    if hasattr(type(thing), "__slots__") and not isinstance(thing, tuple | msgspec.Struct):
        names = type(thing).__slots__
        return {name: state_of(getattr(thing, name)) for name in names} or thing
    if type(thing).__module__.startswith("settlement.") and hasattr(thing, "__dict__"):
        return {name: state_of(value) for name, value in vars(thing).items()}
    return thing
