"""What becomes of a rest that no order may carry alone?

It is gathered, a store and a token, with the rests of other invoices, and sold together as soon as
that is whole lots worth the market's least order, or when the store's policy says. Every sale of a
pot has a limit from trades, never under the grant's floor. What it brings after fees is shared over
those who gave, in proportion to the pip, by the largest remainder: the shares are all of it.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, lazyload

from merchants.documents.sums import sums_of
from merchants.records.due import POTS_TO_LOOK_AT
from merchants.records.grants import Grant
from merchants.records.policies import ConversionPolicy, PolicyKind, policy_of
from merchants.records.pots import GIFT_WAITS, Gift, Pot
from merchants.records.states import ConversionState
from merchants.records.tables import Conversion, Invoice, Store
from merchants.records.together import has_none
from merchants.records.turns import Turn
from merchants.sales import pricing
from merchants.sales.reference_prices import Prices
from merchants.stores.grants import grant_for
from settlement.orders.catalog import Catalog, Market

GIFTS_MAX: Final = 256
"""Invoices in one sale of a pot, those that gave most: all their shares are written at once."""

LOOK_AGAIN_NS: Final = 30 * 10**9
"""A pot that has no price, or whose sale was too small after all, is looked at again so much
later."""


class Portion(NamedTuple):
    """What of a pot is to be sold now, and when to look at it again; None for when more comes."""

    lots: int
    look_at_ns: int | None


class Pots:
    """Gathers, sells and shares. Every method runs in its caller's transaction."""

    def __init__(self, catalog: Catalog, prices: Prices, market_now_ns: Callable[[], int]) -> None:
        """``market_now_ns`` is the exchange's clock: prices are of its time."""
        self._catalog = catalog
        self._prices = prices
        self._market_now_ns = market_now_ns

    def keep(self, session: Session, invoice: Invoice, token: bytes, pips: int) -> None:
        """Note that ``pips`` of what was credited stay as they came."""
        if pips:
            session.add(_gift(invoice, token, pips, is_kept=True))

    def give(
        self, session: Session, invoice: Invoice, token: bytes, pips: int, now_ns: int
    ) -> None:
        """Put ``pips`` of ``invoice`` into its store's pot. Not where the store has another wallet
        now: one sale is of one account, so they stay with the old one as they came."""
        if pips == 0:
            return
        if _has_moved(invoice):
            self.keep(session, invoice, token, pips)
            return
        gift = None
        if not has_none(invoice, "gifts"):
            mine = (Gift.invoice_id == invoice.id, Gift.token == token)
            gift = session.scalar(select(Gift).where(GIFT_WAITS, *mine))
        if gift is None:
            session.add(_gift(invoice, token, pips))
        else:
            gift.pips += pips
        self._fill(session, invoice.store_id, token, pips, now_ns)

    def _fill(
        self, session: Session, store_id: str, token: bytes, pips: int, look_at_ns: int
    ) -> None:
        """Count more in a pot, and look at it unless a run over time says when."""
        pot = session.get(Pot, (store_id, token))
        if pot is None:
            pot = Pot(
                store_id=store_id,
                token=token,
                pips=0,
                since_ns=look_at_ns,
                look_at_ns=None,
                slices_left=0,
            )
            session.add(pot)
        if pot.pips == 0:
            pot.since_ns = look_at_ns
        pot.pips += pips
        if pot.slices_left == 0 or pot.look_at_ns is None:
            pot.look_at_ns = look_at_ns

    def look_at_all(self, session: Session, store_id: str, now_ns: int) -> None:
        """Look at a store's pots soon: its policy is another."""
        for pot in session.scalars(select(Pot).where(Pot.store_id == store_id)):
            pot.slices_left, pot.look_at_ns = 0, now_ns

    def sell_due(self, session: Session, now_ns: int, turn: Turn) -> None:
        """Open the sales of the pots that are to be looked at, some a call."""
        for pot in turn.rows(session, POTS_TO_LOOK_AT):
            self._sell(session, pot, now_ns)

    def _sell(self, session: Session, pot: Pot, now_ns: int) -> None:
        store = session.get_one(Store, pot.store_id)
        market = self._catalog.market_of_pair(pot.token, store.settle)
        assert market is not None, "a store is made for a listed market"
        pot.look_at_ns = None
        lots = pot.pips // market.lot_pips
        if lots == 0:
            pot.slices_left = 0
            return
        ticks = self._prices.traded_ticks(market, lots, self._market_now_ns())
        if ticks is None:
            pot.look_at_ns = now_ns + LOOK_AGAIN_NS
            return
        grant = grant_for(session, store.id, pot.token, store.settle, store.wallet)
        lowest = lowest_ticks(store, grant, market, ticks)
        policy = policy_of(session, store.id)
        portion = portion_of(policy, pot, market, lowest, now_ns)
        pot.look_at_ns = portion.look_at_ns
        if portion.lots:
            self._open(session, pot, market, portion.lots, lowest, now_ns)

    def _open(
        self, session: Session, pot: Pot, market: Market, lots: int, lowest: int, now_ns: int
    ) -> None:
        """Make one conversion of ``lots`` of the pot, if those that gave most gave enough."""
        gifts = _largest(session, pot)
        lots = min(lots, sum(gift.pips for gift in gifts) // market.lot_pips)
        if lots and market.quote_pips(lots, lowest) >= market.least_notional_pips:
            self._take_out(session, pot, gifts, market, lots, now_ns)

    def open_sold(
        self, session: Session, store_id: str, market: Market, lots: int, now_ns: int
    ) -> Conversion | None:
        """Make the conversion of ``lots`` of a pot of which the log shows that it was made; None
        if there is not so much in it."""
        pot = session.get(Pot, (store_id, market.base.address))
        if pot is None:
            return None
        gifts = _largest(session, pot)
        if sum(gift.pips for gift in gifts) < market.base_pips(lots):
            return None
        return self._take_out(session, pot, gifts, market, lots, now_ns)

    def _take_out(
        self,
        session: Session,
        pot: Pot,
        gifts: Sequence[Gift],
        market: Market,
        lots: int,
        now_ns: int,
    ) -> Conversion:
        left, taken = market.base_pips(lots), []
        for gift in gifts:
            if left == 0:
                break
            if gift.pips > left:
                bearer = session.get_one(Invoice, gift.invoice_id)
                session.add(_gift(bearer, pot.token, gift.pips - left))
                gift.pips = left
            left -= gift.pips
            taken.append(gift)
        bearer = session.get_one(Invoice, max(taken, key=_age).invoice_id)
        conversion = self._conversion(session, bearer, market, lots, now_ns)
        session.add(conversion)
        session.flush()
        for gift in taken:
            gift.conversion_id = conversion.id
        pot.pips -= market.base_pips(lots)
        pot.since_ns = now_ns
        if pot.pips >= market.lot_pips and pot.look_at_ns is None:
            pot.look_at_ns = now_ns  # More than this sale could take.
        session.flush()
        return conversion

    def _conversion(
        self, session: Session, bearer: Invoice, market: Market, lots: int, now_ns: int
    ) -> Conversion:
        number = sums_of(session, self._catalog, (bearer.id,))[bearer.id].number + 1
        return new_conversion(bearer, market, lots, None, number, now_ns, from_pot=True)

    def share(self, session: Session, conversion: Conversion) -> None:
        """Let those who gave have their shares of what a sale of the pot has brought so far."""
        gifts = session.scalars(
            select(Gift).where(Gift.conversion_id == conversion.id).order_by(Gift.id)
        ).all()
        _spread(session, gifts, conversion.proceeds_pips - conversion.fee_pips)

    def take_back(
        self, session: Session, conversion: Conversion, market: Market, pips: int, now_ns: int
    ) -> None:
        """Put what a conversion could not sell, for it is too little for an order, into the pot."""
        conversion.to_pot_pips += pips
        again_ns = now_ns + LOOK_AGAIN_NS
        if not conversion.from_pot:
            self.give(session, conversion.invoice, market.base.address, pips, again_ns)
            return
        gifts = session.scalars(
            select(Gift).where(Gift.conversion_id == conversion.id).order_by(Gift.id.desc())
        ).all()
        _spread(session, gifts, 0)
        has_moved, left = _has_moved(conversion.invoice), pips
        for gift in gifts:
            back = min(gift.pips, left)
            left -= back
            if back == gift.pips:
                gift.conversion_id, gift.is_kept = None, has_moved
            elif back:
                gift.pips -= back
                bearer = session.get_one(Invoice, gift.invoice_id)
                session.add(_gift(bearer, gift.token, back, is_kept=has_moved))
        session.flush()
        self.share(session, conversion)
        if has_moved:
            return
        self._fill(session, conversion.store_id, market.base.address, pips, again_ns)


def new_conversion(
    invoice: Invoice,
    market: Market,
    lots: int,
    quoted_ticks: int | None,
    number: int,
    now_ns: int,
    *,
    from_pot: bool = False,
) -> Conversion:
    """Return a row for ``lots`` to be sold."""
    return Conversion(
        invoice=invoice,
        id=f"{invoice.id}.{number}",
        store_id=invoice.store_id,
        number=number,
        state=ConversionState.PENDING,
        market=market.symbol,
        lots=lots,
        lots_filled=0,
        odd_pips=0,
        quoted_ticks=quoted_ticks,
        lot_pips=market.lot_pips,
        tick_pips=market.tick_pips,
        attempts=0,
        next_attempt_ns=now_ns,
        reason="",
        following=True,
        proceeds_pips=0,
        fee_pips=0,
        from_pot=from_pot,
        to_pot_pips=0,
        reversed_pips=0,
    )


def lowest_ticks(store: Store, grant: Grant | None, market: Market, ticks: int) -> int:
    """Return the lowest price at which ``store`` sells what is worth ``ticks``, by ``grant``."""
    floor_price = 0 if grant is None else grant.floor_price
    return max(
        pricing.limit_ticks(ticks, store.slippage_ppm),
        pricing.ticks_covering(market, floor_price),
    )


def portion_of(
    policy: ConversionPolicy, pot: Pot, market: Market, lowest: int, now_ns: int
) -> Portion:
    """Return what ``policy`` sells now of a pot with whole lots in it, at ``lowest`` ticks or more;
    count a run over time on."""
    lots = pot.pips // market.lot_pips
    least = -(-market.least_notional_pips // market.quote_pips(1, lowest))
    if policy.kind == PolicyKind.THRESHOLD:
        old_ns = pot.since_ns + policy.age_s * 10**9
        is_old = bool(policy.age_s) and now_ns >= old_ns
        if not is_old and market.quote_pips(lots, lowest) < policy.worth_pips:
            return Portion(0, old_ns if policy.age_s else None)
    if policy.kind == PolicyKind.TWAP:
        slices_left = pot.slices_left or policy.slices
        pot.slices_left = slices_left - 1
        slice_lots = max(-(-lots // slices_left), least)
        again_ns = now_ns + policy.period_s * 10**9 // policy.slices if pot.slices_left else None
        return Portion(slice_lots if slice_lots <= lots else 0, again_ns)
    return Portion(lots if lots >= least else 0, None)


def shares_of(net_pips: int, weights: Sequence[int]) -> list[int]:
    """Return whole parts of ``net_pips`` in proportion to ``weights``: what is left by rounding
    down goes to the largest remainders, the first among equals."""
    total = sum(weights)
    if total == 0:
        return []
    parts = [divmod(net_pips * weight, total) for weight in weights]
    left = net_pips - sum(part for part, _ in parts)
    first = sorted(range(len(parts)), key=lambda index: (-parts[index][1], index))[:left]
    lucky = frozenset(first)
    return [part + (index in lucky) for index, (part, _) in enumerate(parts)]


def _spread(session: Session, gifts: Sequence[Gift], net_pips: int) -> None:
    """Write the shares of ``gifts`` in a sale that has brought ``net_pips``."""
    names = sorted({gift.invoice_id for gift in gifts})
    givers = {
        invoice.id: invoice
        for invoice in session.scalars(
            select(Invoice).options(lazyload(Invoice.store)).where(Invoice.id.in_(names))
        )
    }
    shares = shares_of(net_pips, [gift.pips for gift in gifts])
    for gift, share in zip(gifts, shares, strict=True):
        givers[gift.invoice_id].net_pips += share - gift.net_pips
        gift.net_pips = share
    session.flush()


def _gift(invoice: Invoice, token: bytes, pips: int, *, is_kept: bool = False) -> Gift:
    return Gift(
        store_id=invoice.store_id,
        token=token,
        invoice=invoice,
        pips=pips,
        conversion_id=None,
        is_kept=is_kept,
        net_pips=0,
    )


def _has_moved(invoice: Invoice) -> bool:
    """Return whether what came for ``invoice`` is not in the account of its store's wallet."""
    return invoice.wallet != invoice.store.wallet


def _largest(session: Session, pot: Pot) -> Sequence[Gift]:
    """Return the gifts that wait in a pot, of those that gave most."""
    return session.scalars(
        select(Gift)
        .where(GIFT_WAITS, Gift.store_id == pot.store_id, Gift.token == pot.token)
        .order_by(Gift.pips.desc(), Gift.id)
        .limit(GIFTS_MAX)
    ).all()


def _age(gift: Gift) -> int:
    return gift.id
