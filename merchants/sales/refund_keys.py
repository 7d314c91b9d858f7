"""How does a shop that does not want to sign each refund let us pay them?

By a refund account: a key of ours with an account of its own in the vault. What the merchant puts
there is all it can spend; his wallet's account is out of its reach. It pays refunds that are
approved and claimed, and buys on the book what it has to give back and has not. After its end it
pays to the store's wallet alone.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from engine.events import EventKind
from engine.log_entries import LogEntry
from engine.types import LOTS_MAX, MONEY_MAX, PPM, PRICE_MAX, Outcome, fee_pips
from merchants.records.database import reading, transaction
from merchants.records.due import TO_BUY, TO_PAY, TO_RETURN
from merchants.records.refunds import (
    Payer,
    Refund,
    RefundKey,
    RefundOrder,
    RefundState,
    RefundWithdrawal,
)
from merchants.records.rejection import Rejection
from merchants.records.tables import Store
from merchants.records.turns import Turn
from merchants.sales.key_orders import KeyTerms, signed_order
from merchants.sales.reference_prices import Prices
from merchants.sales.refund_payouts import ROWS_MAX, RefundPayouts
from merchants.stores.closing import Closed
from merchants.stores.keyring import SECRET_SIZE, Keyring
from merchants.webhooks.store_events import refund_account_changed
from settlement.orders.catalog import Market, Token
from settlement.ports import ExchangePort, SettlementPort, Transfer
from settlement.protocol.deposit_address import SweepPlace
from settlement.protocol.eip712 import address_of_secret, keccak256, sign
from settlement.protocol.evidence import OrderBits, SignedOrder, decode, encode, evidence_of

NS: Final = 10**9
ORDER_LIFETIME_S: Final = 60
RETURN_NS: Final = 3600 * NS
"""How often an account that has ended is looked at: something may have been put there since."""

NOTIONAL_MAX: Final = MONEY_MAX // 2
"""No order may be worth more quote pips: the engine's bound."""


class KeyFunds(NamedTuple):
    """What a refund key is and has; ``balances`` are available pips by symbol."""

    key_address: bytes
    top_up_address: bytes
    expires_ns: int
    slippage_ppm: int
    balances: dict[str, int]


class RefundKeys:
    """Makes refund accounts, pays out of them, and gives back what they have left."""

    def __init__(
        self,
        *,
        database: Engine,
        exchange: ExchangePort,
        settlement: SettlementPort,
        prices: Prices,
        keyring: Keyring,
        payouts: RefundPayouts,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        follow: Callable[[bytes], None],
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._settlement = settlement
        self._prices = prices
        self._keyring = keyring
        self._payouts = payouts
        self._clock = clock
        self._entropy = entropy
        self._follow = follow
        with reading(database) as session:
            keys = session.scalars(select(RefundKey)).all()
        self._topped_up = {key.top_up_address: (key.key_address, key.ref) for key in keys}

    # What the merchant asks for

    def create(self, store_id: str, lifetime_s: int, slippage_ppm: int) -> KeyFunds | Rejection:
        """Make a store's refund account; the one before it ends now. Rejects UNKNOWN_STORE."""
        secret = self._entropy(SECRET_SIZE)
        address = address_of_secret(secret)
        ref = keccak256(b"refund key" + address)
        now_ns = self._clock()
        # The key first: a key without an account is litter, the other way round money is lost.
        self._keyring.put(address, secret)
        with transaction(self._database) as session:
            if session.get(Store, store_id) is None:
                return Rejection(Outcome.UNKNOWN_STORE, {"store": store_id})
            self._end(session, store_id, now_ns)
            top_up_address = self._settlement.deposit_address(address, ref)
            key = RefundKey(
                key_address=address,
                store_id=store_id,
                created_ns=now_ns,
                expires_ns=now_ns + lifetime_s * NS,
                ref=ref,
                top_up_address=top_up_address,
                slippage_ppm=slippage_ppm,
                next_ns=now_ns + lifetime_s * NS,
            )
            session.add(key)
            refund_account_changed(session, key, "made", now_ns)
            session.execute(
                update(Refund)
                .where(
                    Refund.store_id == store_id,
                    Refund.state == RefundState.AWAITING_PAYMENT,
                    Refund.receiver != b"",
                )
                .values(next_ns=now_ns)
            )
        self._topped_up[top_up_address] = (address, ref)
        self._follow(address)
        return self._funds(key)

    def end(self, store_id: str) -> KeyFunds | Rejection:
        """End a store's refund account now: what it has left goes to the store's wallet. Rejects
        NOT_FOUND where it has none."""
        with transaction(self._database) as session:
            key = self._newest(session, store_id)
            if key is None:
                return Rejection(Outcome.NOT_FOUND, {"store": store_id})
            now_ns = self._clock()
            if key.expires_ns > now_ns:
                self._end(session, store_id, now_ns)
                session.refresh(key)
                refund_account_changed(session, key, "ended", now_ns)
            return self._funds(key)

    def funds(self, store_id: str) -> KeyFunds | None:
        """Return a store's refund account; None if it has none."""
        with reading(self._database) as session:
            key = self._newest(session, store_id)
            return None if key is None else self._funds(key)

    def end_with(self, session: Session, closed: Closed) -> None:
        """End the refund account of a store that is closed: an ``Ending``."""
        self._end(session, closed.store.id, closed.now_ns)

    def _end(self, session: Session, store_id: str, now_ns: int) -> None:
        session.execute(
            update(RefundKey)
            .where(RefundKey.store_id == store_id, RefundKey.expires_ns > now_ns)
            .values(expires_ns=now_ns, next_ns=now_ns)
            .execution_options(synchronize_session="fetch")
        )

    def _newest(self, session: Session, store_id: str) -> RefundKey | None:
        newest = select(RefundKey).where(RefundKey.store_id == store_id)
        order = (RefundKey.expires_ns.desc(), RefundKey.created_ns.desc())
        return session.scalar(newest.order_by(*order).limit(1))

    def _funds(self, key: RefundKey) -> KeyFunds:
        has = ((token.symbol, self._available(key, token)) for token in self._tokens())
        balances = {symbol: pips for symbol, pips in has if pips}
        return KeyFunds(
            key.key_address, key.top_up_address, key.expires_ns, key.slippage_ppm, balances
        )

    def _tokens(self) -> Sequence[Token]:
        return tuple(self._exchange.catalog.tokens)

    def _available(self, key: RefundKey, token: Token) -> int:
        return self._exchange.balance(key.key_address, token.address).available

    # What comes in

    def watched_addresses(self) -> list[bytes]:
        """Return where refund accounts are filled."""
        return list(self._topped_up)

    def take_transfers(self, transfers: Sequence[Transfer], depth: int) -> None:
        """Have what was put into a refund account swept into the vault, once it is deep enough.

        Not what could not be paid out either: a stranger's dust is not worth a sweep's gas. It is
        swept with whatever comes on top of it.
        """
        for transfer in transfers:
            filled = self._topped_up.get(transfer.to)
            token = self._exchange.catalog.token_by_address(transfer.token)
            if filled is None or token is None or transfer.confirmations < depth:
                continue
            if token.pips_of(transfer.raw_amount) >= self._exchange.least_withdrawal(token):
                self._settlement.enqueue_sweeps([SweepPlace(*filled, transfer.token)])

    # What it pays

    def pay_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Sign what can be paid, and the orders for what must be bought first."""
        for refund in turn.rows(session, TO_PAY):
            self._pay(session, refund, now_ns)

    async def place_due(self) -> None:
        """Place the orders that are stored: those a restart left open, and new ones."""
        with reading(self._database) as session:
            open_rows = session.scalars(TO_BUY.limit(ROWS_MAX))
            found = [(row.digest, decode(row.body)) for row in open_rows]
        for digest, order in found:
            assert isinstance(order, SignedOrder), "only orders are stored there"
            result = await self._exchange.place(order)
            if result.sequence == 0:
                with transaction(self._database) as session:
                    self._rejected(session, digest, result.outcome)

    def _pay(self, session: Session, refund: Refund, now_ns: int) -> None:
        key = self._newest(session, refund.store_id)
        if key is None or key.expires_ns <= now_ns:
            refund.next_ns = None  # It waits for the wallet.
            return
        if self._payouts.why_uncovered(session, refund) or self._is_busy(session, refund, key):
            self._payouts.later(refund)
            return
        token = self._exchange.catalog.token_by_address(refund.token)
        assert token is not None, "a listed token is never delisted"
        if self._available(key, token) >= refund.pips:
            row = self._payouts.composed(session, refund, key.key_address)
            row.signature = sign(row.digest, self._keyring.get(key.key_address))
            self._payouts.begin(session, refund, Payer.KEY)
            return
        refund.note = self._buy(session, refund, key, token)
        refund.attempts += 1
        self._payouts.later(refund)

    def _is_busy(self, session: Session, refund: Refund, key: RefundKey) -> bool:
        """Return whether something of the account, or for the refund, is still undecided: what it
        has available may be spoken for, and two would be given the same nonce."""
        withdrawals = select(RefundWithdrawal.digest).where(
            RefundWithdrawal.outcome.is_(None),
            (RefundWithdrawal.account == key.key_address)
            | (RefundWithdrawal.refund_id == refund.id),
        )
        orders = select(RefundOrder.digest).where(
            RefundOrder.outcome.is_(None), RefundOrder.account == key.key_address
        )
        return (
            session.scalar(withdrawals.limit(1)) is not None
            or session.scalar(orders.limit(1)) is not None
        )

    def _buy(self, session: Session, refund: Refund, key: RefundKey, token: Token) -> str:
        """Store an order for what is missing; return why there is none, or that there is."""
        settle = refund.invoice.store.settle
        market = self._exchange.catalog.market_of_pair(token.address, settle)
        if market is None:
            return Outcome.INSUFFICIENT_BALANCE.name
        missing = refund.pips - self._available(key, token)
        lots = -(-missing // market.lot_pips)
        ticks = self._prices.traded_ticks(market, lots, self._exchange.now_ns())
        if ticks is None:
            return Outcome.NO_QUOTE.name
        limit = min(PRICE_MAX, -(-ticks * (PPM + key.slippage_ppm) // PPM))
        per_lot = market.quote_pips(1, limit)
        # The market's smallest order may be more than is missing; the rest stays in the account.
        lots = max(lots, -(-market.least_notional_pips // per_lot))
        cost = lots * per_lot
        fee = fee_pips(cost, market.taker_fee_ppm) if market.taker_fee_ppm > 0 else 0
        has = self._exchange.balance(key.key_address, settle).available
        if lots > LOTS_MAX or cost > NOTIONAL_MAX or has < cost + fee:
            return Outcome.INSUFFICIENT_BALANCE.name
        expiry = self._exchange.now_ns() // NS + ORDER_LIFETIME_S
        order = self._signed(refund, key, market, lots, limit, expiry)
        while session.get(RefundOrder, order.digest) is not None:
            expiry += 1
            order = self._signed(refund, key, market, lots, limit, expiry)
        session.add(
            RefundOrder(
                digest=order.digest,
                refund_id=refund.id,
                account=key.key_address,
                body=encode(order),
                sequence=0,
                outcome=None,
                bought_pips=0,
                paid_pips=0,
            )
        )
        session.flush()
        self._payouts.waiting.add(key.key_address)
        return "BUYING"

    def _signed(
        self, refund: Refund, key: RefundKey, market: Market, lots: int, ticks: int, expiry: int
    ) -> SignedOrder:
        terms = KeyTerms(
            account=key.key_address,
            key=key.key_address,
            flags=OrderBits.SINGLE_SHOT,
            ref=refund.invoice.ref,
            max_fee_ppm=max(0, market.taker_fee_ppm),
        )
        return signed_order(self._exchange, self._keyring, terms, market, lots, ticks, expiry)

    def _rejected(self, session: Session, digest: bytes, outcome: Outcome) -> None:
        """An order was rejected before the journal had it; it is never sent again."""
        row = session.get_one(RefundOrder, digest)
        if row.outcome is None:
            session.get_one(Refund, row.refund_id).note = outcome.name
            self._resolve(session, row, outcome)

    def take_order(self, session: Session, entry: LogEntry) -> None:
        """Learn from the journal what an order of ours has bought; ignore everybody else's."""
        attachment = evidence_of(entry)
        if not isinstance(attachment, SignedOrder):
            return
        row = session.get(RefundOrder, attachment.digest)
        if row is None or row.outcome is not None:
            return
        outcome, market, answer = Outcome.ACCEPTED, entry.market, entry.answer
        for event in answer:
            if event.order_id != answer[0].order_id:
                continue  # A stop that our order woke.
            if event.kind == EventKind.TRADE:
                row.bought_pips += market.base_pips(event.amount)
                cost = market.quote_pips(event.amount, event.price_ticks)
                row.paid_pips += cost + event.fee_pips
            elif event.kind in (EventKind.REJECTED, EventKind.POISONED, EventKind.UNFILLED):
                outcome = Outcome(event.outcome)
        row.sequence = entry.sequence
        self._resolve(session, row, outcome)
        refund = session.get_one(Refund, row.refund_id)
        if refund.state is RefundState.AWAITING_PAYMENT:
            refund.note = "" if row.bought_pips else outcome.name
            if row.bought_pips:
                refund.next_ns = self._clock()

    def _resolve(self, session: Session, row: RefundOrder, outcome: Outcome) -> None:
        row.outcome = outcome
        session.flush()
        self._payouts.forget(session, row.account)

    # What is left

    def return_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Sign what accounts that have ended pay back to their store's wallet."""
        for key in turn.rows(session, TO_RETURN):
            key.next_ns = now_ns + RETURN_NS
            if key.expires_ns <= now_ns:
                self._give_back(session, key)

    def _give_back(self, session: Session, key: RefundKey) -> None:
        """Sign a withdrawal of each token that the account has, as far as the chain moves it."""
        undecided = select(RefundWithdrawal.digest).where(
            RefundWithdrawal.outcome.is_(None), RefundWithdrawal.account == key.key_address
        )
        if session.scalar(undecided.limit(1)) is not None:
            key.next_ns = self._clock() + NS
            return
        wallet = session.get_one(Store, key.store_id).wallet
        for token in self._tokens():
            pips = token.pips_of(token.raw_of(self._available(key, token)))
            if pips < max(1, self._exchange.least_withdrawal(token)):
                continue
            row = self._payouts.store_row(
                session, None, key.store_id, key.key_address, token.address, pips, wallet
            )
            row.signature = sign(row.digest, self._keyring.get(key.key_address))
