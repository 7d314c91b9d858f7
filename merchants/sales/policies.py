"""How may a store have its payments sold, and what would another way have brought?"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, select

from engine.types import PPM
from engine.types import Outcome as Rejected
from merchants.records.database import reading, transaction
from merchants.records.policies import SLICES_MAX, ConversionPolicy, PolicyKind, policy_of
from merchants.records.rejection import Rejection
from merchants.records.states import ON_CHAIN
from merchants.records.tables import Credit, Invoice, Store
from merchants.sales.backtest import PAYMENTS_MAX, History, Outcome, Paid, replayed
from merchants.sales.pots import Pots
from merchants.sales.recent_trades import TapeMemory
from merchants.sales.reference_prices import Prices
from settlement.orders.catalog import Catalog, Market

PERIOD_MAX_S: Final = 30 * 86_400
"""What is gathered longer than a month is no sale but a holding."""


class PolicyRequest(NamedTuple):
    """What a store asks for; what its kind does not use is 0. ``worth_pips`` are of stablecoin."""

    kind: PolicyKind
    worth_pips: int = 0
    age_s: int = 0
    slices: int = 0
    period_s: int = 0
    keep_ppm: int = 0


class Simulation(NamedTuple):
    """What selling at once and another policy would have brought. ``since_ns`` is since when trades
    are held, None for none; ``passed_over`` payments are older and in neither."""

    market: str
    payments: int
    passed_over: int
    since_ns: int | None
    outcomes: list[Outcome]


class Policies:
    """Keeps stores' policies and tries others on their history."""

    def __init__(
        self,
        database: Engine,
        catalog: Catalog,
        prices: Prices,
        pots: Pots,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._prices = prices
        self._pots = pots
        self._clock = clock

    def of(self, store_id: str) -> ConversionPolicy:
        """Return a store's policy; any thread may ask."""
        with reading(self._database) as session:
            found = policy_of(session, store_id)
            session.expunge_all()
            return found

    def change(self, store_id: str, request: PolicyRequest) -> ConversionPolicy | Rejection:
        """Let a store sell otherwise from now on, what is gathered already too. Rejects MALFORMED
        for figures that do not fit the kind, UNKNOWN_STORE."""
        why = misfit(request)
        if why:
            return Rejection(Rejected.MALFORMED, {"why": why})
        with transaction(self._database) as session:
            if session.get(Store, store_id) is None:
                return Rejection(Rejected.UNKNOWN_STORE, {"store": store_id})
            row = session.get(ConversionPolicy, store_id)
            if row is None:
                row = ConversionPolicy(store_id=store_id)
                session.add(row)
            for name, value in request._asdict().items():
                setattr(row, name, value)
            self._pots.look_at_all(session, store_id, self._clock())
            session.flush()
            return row

    def tape(self, market: Market) -> TapeMemory:
        """Return what is held of a market's trades: on the event loop's thread, as it goes on."""
        return self._prices.held(market)

    def simulate(
        self, store_id: str, market: Market, tape: TapeMemory, request: PolicyRequest
    ) -> Simulation | Rejection:
        """Replay a store's newest payments by ``request`` and at once; any thread may."""
        why = misfit(request)
        if why:
            return Rejection(Rejected.MALFORMED, {"why": why})
        newest = (
            select(Credit.booked_ns, Credit.amount_pips)
            .join(Invoice, Invoice.id == Credit.invoice_id)
            .where(
                Invoice.store_id == store_id,
                Credit.token == market.base.address,
                Credit.state.in_(ON_CHAIN),
            )
            .order_by(Credit.sequence.desc())
            .limit(PAYMENTS_MAX)
        )
        with reading(self._database) as session:
            rows = [Paid(*row) for row in reversed(session.execute(newest).all())]
        history = History(market, tape)
        since_ns = history.since_ns
        payments = [] if since_ns is None else [paid for paid in rows if paid.time_ns >= since_ns]
        tried = (PolicyRequest(PolicyKind.AT_ONCE), request)
        policies = [ConversionPolicy(store_id=store_id, **each._asdict()) for each in tried]
        now_ns = self._clock()
        return Simulation(
            market=market.symbol,
            payments=len(payments),
            passed_over=len(rows) - len(payments),
            since_ns=since_ns,
            outcomes=[replayed(policy, payments, history, now_ns) for policy in policies],
        )


def misfit(request: PolicyRequest) -> str:
    """Return why the figures of ``request`` do not fit its kind; nothing if they do."""
    kind, worth, age_s, slices, period_s, keep_ppm = request
    wants = {
        PolicyKind.AT_ONCE: (),
        PolicyKind.THRESHOLD: ("worth_pips", "age_s"),
        PolicyKind.TWAP: ("slices", "period_s"),
        PolicyKind.KEEP: ("keep_ppm",),
    }[kind]
    extra = [name for name, value in request._asdict().items() if name not in ("kind", *wants)]
    if any(getattr(request, name) for name in extra):
        return f"{kind} takes no {', '.join(name for name in extra if getattr(request, name))}"
    if kind is PolicyKind.THRESHOLD and not (worth > 0 and 0 <= age_s <= PERIOD_MAX_S):
        return f"a threshold is an amount above 0 and an age of at most {PERIOD_MAX_S} seconds"
    if kind is PolicyKind.TWAP and not (
        2 <= slices <= SLICES_MAX and slices <= period_s <= PERIOD_MAX_S
    ):
        return f"a run has 2 to {SLICES_MAX} slices, a second apart or more, in {PERIOD_MAX_S} s"
    if kind is PolicyKind.KEEP and not 0 < keep_ppm <= PPM:
        return "what is kept is a share above 0"
    return ""
