"""What does the row of a new invoice say?"""

import msgspec

from merchants.documents.native import LeftOut
from merchants.records.states import InvoiceException, InvoiceState
from merchants.records.tables import Invoice, Store
from merchants.sales.asked import Asked, InvoiceRequest
from merchants.sales.offers import Offered, why_of


def drawn_up(
    store: Store, request: InvoiceRequest, asked: Asked, offered: Offered, now_ns: int
) -> Invoice:
    """Return the row of a new invoice, which has no name and no address yet."""
    return Invoice(
        store_id=store.id,
        store=store,
        state=InvoiceState.NEW,
        exception=InvoiceException.NONE,
        created_ns=now_ns,
        expires_ns=now_ns + store.lifetime_s * 10**9,
        processing_ns=0,
        late=False,
        order_id=request.order_id,
        details=request.metadata,
        redirect_url=request.redirect_url,
        settle=store.settle,
        wallet=store.wallet,
        amount=request.amount,
        currency=asked.currency,
        fx_rate=asked.rate,
        fx_source=asked.source,
        fx_as_of_s=asked.as_of_s,
        amount_pips=asked.pips,
        left_out=written(offered),
        sweep_at_ns=None,
        judge_at_ns=None,
        short_pips=0,
        over_pips=0,
        confirmations=0,
        deep_at_block=None,
        is_pressed=False,
        other_count=0,
        event_count=0,
        sweep_tries=0,
        requotes=0,
        net_pips=0,
        options=offered.options,
        payments=[],
        sweeps=[],
        credits=[],
        conversions=[],
        gifts=[],
        others=[],
    )


def written(offered: Offered) -> str:
    """Return what could not be offered as it is kept."""
    left_out = [
        LeftOut(symbol, rejection.outcome.name, why_of(rejection))
        for symbol, rejection in offered.left_out.items()
    ]
    return msgspec.json.encode(left_out).decode()
