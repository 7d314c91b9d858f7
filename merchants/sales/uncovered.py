"""What of a sale is of money that a reorganisation has taken from the chain?

The ledger keeps a deposit that was booked, so the sale could go on: it would sell what the vault
has not. While nobody knows what becomes of the money its sales wait; when it is given up they
shrink to what is covered, and what is taken out is opened anew if it ever comes back. What was sold
already was sold by the store's account, and whatever comes next on the invoice makes good for it
before more is sold.
"""

from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from merchants.documents.sums import placed_pips, sums_of
from merchants.records import terms
from merchants.records.database import reading
from merchants.records.options import Way
from merchants.records.others import others_of
from merchants.records.pots import GIFT_WAITS, Gift, Pot
from merchants.records.shares import booked_pips
from merchants.records.states import UNSURE, ConversionState, CreditState
from merchants.records.tables import CREDIT_ASTRAY, Conversion, Credit, Invoice
from merchants.sales.pots import Pots
from settlement.orders.catalog import Catalog, Market

SALES_MAX: Final = 1_000
"""Most open sales of one invoice, or gifts of it, that are shrunk at once."""


class Uncovered:
    """Knows which invoices miss money: hardly ever one, so nobody else pays for being asked."""

    def __init__(self, database: Engine, catalog: Catalog, pots: Pots) -> None:
        self._catalog = catalog
        self._pots = pots
        self.unsure: set[str] = set()
        """Invoices with money that is missing, or not deep again yet."""
        self.short: set[str] = set()
        """Invoices with money that is gone."""
        with reading(database) as session:
            astray = select(Credit.invoice_id, Credit.state).where(CREDIT_ASTRAY)
            for invoice_id, state in session.execute(astray):
                (self.unsure if state in UNSURE else self.short).add(invoice_id)

    def note(self, invoice: Invoice) -> None:
        """See anew what an invoice misses."""
        states = {credit.state for credit in invoice.credits}
        for names, holds in (
            (self.unsure, not states.isdisjoint(UNSURE)),
            (self.short, CreditState.GONE in states),
        ):
            (names.add if holds else names.discard)(invoice.id)

    def is_unsure(self, session: Session, conversion: Conversion) -> bool:
        """Return whether a sale has to wait for money to be found."""
        if not self.unsure:
            return False
        if not conversion.from_pot:
            return conversion.invoice_id in self.unsure
        givers = select(Gift.invoice_id).where(Gift.conversion_id == conversion.id)
        return not self.unsure.isdisjoint(session.scalars(givers))

    def shrink(self, session: Session, conversion: Conversion) -> bool:
        """Take out of one sale of an invoice what no money of it covers; return whether it has
        nothing left to sell by that."""
        market = terms.market_of(self._catalog, conversion.market)
        if conversion.invoice_id in self.short and not conversion.from_pot:
            for way in _all_ways(conversion.invoice):
                if way.token == market.base.address:
                    left = self._excess(session, conversion.invoice, way, market)
                    conversion.reversed_pips += min(left, terms.unsold_pips(market, conversion))
        return conversion.reversed_pips > 0 and terms.unsold_pips(market, conversion) == 0

    def take_back(self, session: Session, invoice: Invoice) -> list[Conversion]:
        """Take out of pots and sales what no money of an invoice covers any more, what waits
        longest for a sale first; return the sales that are to be held."""
        held = []
        for way in _all_ways(invoice):
            market = self._catalog.market_of_pair(way.token, invoice.settle)
            if market is None:
                continue
            session.flush()
            left = self._excess(session, invoice, way, market)
            left -= self._from_gifts(session, invoice, way.token, left)
            sales = session.scalars(
                select(Conversion)
                .where(
                    Conversion.invoice_id == invoice.id,
                    Conversion.market == market.symbol,
                    Conversion.from_pot.is_(False),
                    Conversion.state == ConversionState.PENDING,
                )
                .order_by(Conversion.number.desc())
                .limit(SALES_MAX)
            )
            for sale in sales:
                back = min(left, terms.unsold_pips(market, sale))
                left -= back
                sale.reversed_pips += back
                if back and terms.unsold_pips(market, sale) == 0:
                    held.append(sale)
            self._from_pot_sales(session, invoice, market, left)
        session.flush()
        return held

    def _excess(self, session: Session, invoice: Invoice, way: Way, market: Market) -> int:
        """Return how much more of a token is sold, to be sold or gathered than is booked."""
        session.flush()
        sums = sums_of(session, self._catalog, (invoice.id,))[invoice.id]
        return max(0, placed_pips(sums, market) - booked_pips(way))

    def _from_gifts(self, session: Session, invoice: Invoice, token: bytes, pips: int) -> int:
        """Take back up to ``pips`` of what waits in a pot or stays as it came; return how much."""
        mine = (Gift.invoice_id == invoice.id, Gift.token == token)
        waiting = select(Gift).where(GIFT_WAITS, *mine)
        kept = select(Gift).where(Gift.is_kept, *mine)
        left = pips
        for query, is_in_pot in ((waiting, True), (kept, False)):
            for gift in session.scalars(query.order_by(Gift.id.desc()).limit(SALES_MAX)):
                back = min(left, gift.pips)
                left -= back
                self._lessen(session, gift, back)
                pot = session.get(Pot, (invoice.store_id, token)) if is_in_pot else None
                if pot is not None:
                    pot.pips -= back
        return pips - left

    def _from_pot_sales(
        self, session: Session, invoice: Invoice, market: Market, pips: int
    ) -> None:
        """Take up to ``pips`` out of sales of the store's pot that wait."""
        query = (
            select(Gift, Conversion)
            .join(Conversion, Conversion.id == Gift.conversion_id)
            .where(
                Gift.invoice_id == invoice.id,
                Gift.token == market.base.address,
                Conversion.state == ConversionState.PENDING,
            )
        )
        for gift, sale in session.execute(query.order_by(Gift.id.desc()).limit(SALES_MAX)).all():
            back = min(pips, gift.pips, terms.unsold_pips(market, sale))
            pips -= back
            if back:
                sale.reversed_pips += back
                invoice.net_pips -= gift.net_pips
                gift.net_pips = 0
                self._lessen(session, gift, back)
                session.flush()
                self._pots.share(session, sale)

    @staticmethod
    def _lessen(session: Session, gift: Gift, pips: int) -> None:
        gift.pips -= pips
        if gift.pips == 0:
            session.delete(gift)


def _all_ways(invoice: Invoice) -> list[Way]:
    return [*invoice.options, *others_of(invoice)]
