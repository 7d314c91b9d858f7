"""By how much may what came differ from what was asked before it makes a difference?"""

from typing import Final

from engine.types import PPM
from merchants.records.amounts import DUST_SHARE
from merchants.records.shares import credited_pips
from merchants.records.tables import Invoice

SWEEP_LEAST_PIPS: Final = 10**7
"""What must lie at an address to be worth the gas of a sweep, in quote pips: ten cents. What pays
an invoice in full is swept whatever it is: that is once, and no invoice is paid by less than this.
"""


def tolerated_pips(invoice: Invoice) -> int:
    """Return how many quote pips may be missing of the price; what is left is worth a sweep."""
    store = invoice.store
    share = invoice.amount_pips * store.tolerance_ppm // PPM
    most = max(0, invoice.amount_pips - SWEEP_LEAST_PIPS)
    return min(max(share, store.tolerance_pips), most)


def least_pips(invoice: Invoice) -> int:
    """Return how much of the price pays for it in time."""
    return invoice.amount_pips - tolerated_pips(invoice)


def dust_pips(invoice: Invoice) -> int:
    """Return how much more than the price makes no difference."""
    return max(tolerated_pips(invoice), invoice.amount_pips // DUST_SHARE)


def is_all_dust(invoice: Invoice) -> bool:
    """Return whether no more is booked than anybody may send: it opens nothing."""
    return credited_pips(invoice) * DUST_SHARE < invoice.amount_pips
